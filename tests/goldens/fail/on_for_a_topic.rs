use xcloud::{handler, Result, Topic};

#[handler(topic = "news", on = "created")]
async fn f(_t: Topic<u8>) -> Result<()> { Ok(()) }

fn main() {}
