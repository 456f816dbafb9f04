use xcloud::{handler, Result, Tick};

#[handler(schedule = "0 9 * * 1-5", timezone = "+02:00")]
async fn f(_t: Tick) -> Result<()> { Ok(()) }

fn main() {}
