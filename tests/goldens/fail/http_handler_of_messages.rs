use xcloud::{handler, Queue, Result};

#[handler(http = "GET /")]
async fn f(_m: Queue<String>) -> Result<()> { Ok(()) }

fn main() {}
