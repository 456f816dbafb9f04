use xcloud::{handler, Http, Result, State};

#[handler(http = "GET /")]
async fn f(_r: Http, _s: State<u8>) -> &'static str { "x" }

async fn open() -> Result<u16> { Ok(1) }

fn app() -> xcloud::App<u16> {
    xcloud::App::init(open).functions(xcloud::functions![f])
}

fn main() {}
