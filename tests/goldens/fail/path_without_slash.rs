use xcloud::{handler, Http};

#[handler(http = "GET orders")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
