use xcloud::{handler, Http};

#[handler(htttp = "GET /")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
