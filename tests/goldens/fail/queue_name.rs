use xcloud::{handler, Queue, Result};

#[handler(queue = "Orders!")]
async fn f(_m: Queue<String>) -> Result<()> { Ok(()) }

fn main() {}
