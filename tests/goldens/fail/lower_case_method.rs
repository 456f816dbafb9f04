use xcloud::{handler, Http};

#[handler(http = "get /")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
