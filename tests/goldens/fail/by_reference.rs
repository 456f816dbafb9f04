use xcloud::{handler, Http};

#[handler(http = "GET /")]
async fn f(_r: &Http) -> &'static str { "x" }

fn main() {}
