use xcloud::{handler, Object, Result};

#[handler(object = "uploads", on = "renamed")]
async fn f(_o: Object) -> Result<()> { Ok(()) }

fn main() {}
