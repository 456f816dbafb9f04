use xcloud::{handler, BatchOutcome, Change, Result};

#[handler(change = "ledger")]
async fn f(_c: Change<u8>) -> Result<BatchOutcome> { Ok(BatchOutcome::new()) }

fn main() { let _ = xcloud::App::new().functions(xcloud::functions![f]); }
