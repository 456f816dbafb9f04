use xcloud::{handler, Http};

#[handler(http = "GET /")]
fn f(_r: Http) -> &'static str { "x" }

fn main() {}
