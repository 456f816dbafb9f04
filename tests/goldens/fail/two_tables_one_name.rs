use xcloud::{handler, Http, Table};

#[handler(http = "GET /", tables = "insights")]
async fn f(_r: Http, _a: Table<u8>, _b: Table<u16>) -> &'static str { "x" }

fn main() {}
