use xcloud::{handler, Http};

#[handler]
async fn f(_r: Http) -> &'static str { "x" }

fn main() {}
