use xcloud::{handler, Http};

#[handler(http = 3)]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
