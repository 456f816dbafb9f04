use xcloud::{handler, Http};

#[handler(http = "GET /", http = "GET /b")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
