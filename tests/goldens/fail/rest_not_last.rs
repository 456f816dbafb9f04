use xcloud::{handler, Http};

#[handler(http = "GET /{*rest}/x")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
