use xcloud::{handler, Result, Tick};

#[handler(schedule = "rate(5 minutes)")]
async fn f(_t: Tick) -> Result<()> { Ok(()) }

fn main() {}
