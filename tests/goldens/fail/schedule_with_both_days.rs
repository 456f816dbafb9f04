use xcloud::{handler, Result, Tick};

#[handler(schedule = "0 9 1 * 1")]
async fn f(_t: Tick) -> Result<()> { Ok(()) }

fn main() {}
