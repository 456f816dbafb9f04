use xcloud::{handler, Queue, Result};

#[handler(queue = "orders", batch = 0)]
async fn f(_m: Queue<String>) -> Result<()> { Ok(()) }

fn main() {}
