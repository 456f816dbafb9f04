use xcloud::{handler, Http, State};

#[handler(http = "GET /")]
async fn f(_r: Http, _a: State<u8>, _b: State<u16>) -> &'static str { "x" }

fn main() {}
