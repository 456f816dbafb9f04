//! The function on xcloud: HTTP and a queue, on whatever platform starts it.

use order::{Order, Receipt, price};
use xcloud::{App, BatchOutcome, Error, Http, Json, Queue, Result, handler};

#[handler(http = "POST /orders")]
async fn create(order: Http<Order>) -> Result<Json<Receipt>> {
    price(&order).map(Json).ok_or_else(|| Error::unprocessable("too much"))
}

#[handler(queue = "orders")]
async fn fulfil(orders: Queue<Order>) -> Result<BatchOutcome> {
    let mut outcome = BatchOutcome::new();
    for message in orders.iter() {
        if price(message).is_none() {
            outcome.fail(message.id(), Error::unprocessable("too much"));
        }
    }
    Ok(outcome)
}

async fn open() -> Result<()> {
    Ok(())
}

fn main() -> Result<()> {
    xcloud::run(App::init(open).functions(xcloud::functions![create, fulfil]))
}
