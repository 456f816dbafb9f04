use xcloud::{handler, Queue, Result};

#[handler(queue = "orders")]
async fn http(_m: Queue<String>) -> Result<()> { Ok(()) }

fn main() {}
