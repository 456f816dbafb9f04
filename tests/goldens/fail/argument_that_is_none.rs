use xcloud::{handler, Http};

#[handler(http = "GET /")]
async fn f(_r: Http, _n: u32) -> &'static str { "x" }

fn main() {}
