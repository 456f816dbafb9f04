use xcloud::{App, Http, Json, Result, handler};

#[handler(http = "GET /hello")]
async fn hello(_request: Http) -> Result<Json<&'static str>> {
    Ok(Json("hello"))
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![hello]))
}
