use xcloud::{handler, Http};

#[handler(http = "GET /orders/x-{id}")]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
