use xcloud::{handler, Http};

#[handler(http = "GET /")]
async fn f<T>(_r: Http) -> &'static str { "x" }

fn main() {}
