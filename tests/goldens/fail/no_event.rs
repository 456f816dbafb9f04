use xcloud::{handler};

#[handler(http = "GET /")]
async fn f() -> &'static str { "x" }

fn main() {}
