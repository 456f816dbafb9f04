use xcloud::{handler, Http};

#[handler(http = "GET /", tables = "insights")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
