use xcloud::{handler, Http, Table};

#[handler(http = "GET /", tables = 3)]
async fn f(_r: Http, _t: Table<u8>) -> &'static str { "x" }

fn main() {}
