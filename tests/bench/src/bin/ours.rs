//! The function on xcloud.

use bench::{Order, Receipt, price};
use xcloud::{App, Error, Http, Json, Result, handler};

#[handler(http = "POST /orders")]
async fn order(order: Http<Order>) -> Result<Json<Receipt>> {
    price(&order).map(Json).ok_or_else(|| Error::unprocessable("too much"))
}

async fn open() -> Result<()> {
    Ok(())
}

fn main() -> Result<()> {
    xcloud::run(App::init(open).functions(xcloud::functions![order]))
}
