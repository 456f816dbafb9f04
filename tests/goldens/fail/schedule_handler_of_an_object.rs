use xcloud::{handler, Object, Result};

#[handler(schedule = "every hour")]
async fn f(_o: Object) -> Result<()> { Ok(()) }

fn main() {}
