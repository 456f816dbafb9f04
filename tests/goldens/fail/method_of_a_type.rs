use xcloud::{handler, Http};

struct S;
impl S {
    #[handler(http = "GET /")]
    async fn f(&self, _r: Http) -> &'static str { "x" }
}

fn main() {}
