//! One function, as `cargo lambda deploy` deploys one: for `deploy.py`.

use order::{Order, Receipt, price};
use xcloud::{App, Error, Http, Json, Result, handler};

#[handler(http = "POST /orders")]
async fn create(order: Http<Order>) -> Result<Json<Receipt>> {
    price(&order).map(Json).ok_or_else(|| Error::unprocessable("too much"))
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![create]))
}
