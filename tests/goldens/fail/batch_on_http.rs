use xcloud::{handler, Http};

#[handler(http = "GET /", batch = 3)]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
