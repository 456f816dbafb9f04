use xcloud::{handler, Http};

#[handler(http = "GET /{a}/{a}")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
