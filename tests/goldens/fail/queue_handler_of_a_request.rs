use xcloud::{handler, Http, Result};

#[handler(queue = "orders")]
async fn f(_r: Http) -> Result<()> { Ok(()) }

fn main() {}
