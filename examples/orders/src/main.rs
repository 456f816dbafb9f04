//! Order processing: an HTTP function takes an order, a queue function fulfils it.

mod order;
mod payments;

use xcloud::{App, BatchOutcome, Context, Error, Http, Json, Queue, Result, Sender, State, handler};

use self::order::{Order, OrderPlaced, Receipt};
use self::payments::{Payments, SandboxPayments};

/// What an instance makes once, before its first event.
struct Shop {
    payments: Box<dyn Payments>,
}

impl Shop {
    async fn open() -> Result<Self> {
        Ok(Self { payments: Box::new(SandboxPayments) })
    }

    /// Whether every line can be delivered. The demo shop is out of what begins with `OUT-`.
    fn check_stock(&self, order: &Order) -> Result<()> {
        match order.items.iter().find(|item| item.sku.starts_with("OUT-")) {
            Some(item) => Err(Error::conflict(format!("{} is out of stock", item.sku))),
            None => Ok(()),
        }
    }
}

/// Takes an order: rules, stock and price first, then the money is reserved, the order stored, and only then the
/// money taken. An order that could not be stored costs nothing.
#[handler(http = "POST /orders", sends = "order-placed")]
async fn create_order(
    order: Http<Order>,
    shop: State<Shop>,
    placed: Sender<OrderPlaced>,
    cx: Context,
) -> Result<Json<Receipt>> {
    let total_cents = order.total()?;
    shop.check_stock(&order)?;
    let hold = shop.payments.authorise(&order.order_id, total_cents, &order.currency, &cx).await?;
    let event = OrderPlaced {
        order_id: order.order_id.clone(),
        customer: order.customer.clone(),
        currency: order.currency.clone(),
        total_cents,
    };
    if let Err(error) = placed.send(&event).await {
        shop.payments.void(hold, &cx).await?;
        return Err(error);
    }
    shop.payments.capture(hold, &cx).await?;
    cx.log().field("order_id", order.order_id.as_str()).info("order accepted");
    let items = order.items.len();
    Ok(Json(Receipt { order_id: order.into_body().order_id, status: "accepted", items, total_cents }))
}

/// Ships what was ordered. A message that fails comes again alone where the platform can, with its batch elsewhere.
#[handler(queue = "order-placed", batch = 10)]
async fn fulfil(messages: Queue<OrderPlaced>, cx: Context) -> Result<BatchOutcome> {
    let mut outcome = BatchOutcome::new();
    for message in messages.iter() {
        match ship(message.body()) {
            Ok(()) => cx.log().field("order_id", message.order_id.as_str()).info("order fulfilled"),
            Err(error) => outcome.fail(message.id(), error),
        }
    }
    Ok(outcome)
}

/// Hands one order to the warehouse; one without an id cannot be found there.
fn ship(order: &OrderPlaced) -> Result<()> {
    if order.order_id.is_empty() {
        return Err(Error::unprocessable("the order has no id"));
    }
    Ok(())
}

fn main() -> Result<()> {
    xcloud::run(App::init(Shop::open).functions(xcloud::functions![create_order, fulfil]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud::{ErrorKind, Message};

    fn order(items: &str) -> Http<Order> {
        let json = format!(r#"{{"order_id":"o-1","customer":"ada","currency":"EUR","items":{items}}}"#);
        Http::new(serde_json::from_str(&json).unwrap())
    }

    fn shop() -> State<Shop> {
        State::new(Shop { payments: Box::new(SandboxPayments) })
    }

    #[tokio::test]
    async fn an_order_is_priced_stored_and_answered() {
        let (placed, sent) = Sender::for_test();
        let two = r#"[{"sku":"A","qty":2,"price_cents":1250},{"sku":"B","qty":1,"price_cents":5}]"#;
        let Json(receipt) = create_order(order(two), shop(), placed, Context::for_test()).await.unwrap();
        assert_eq!((receipt.items, receipt.total_cents), (2, 2505));
        assert_eq!(sent.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_out_of_stock_is_not_sent() {
        let (placed, sent) = Sender::for_test();
        let out = r#"[{"sku":"OUT-1","qty":1,"price_cents":1}]"#;
        let error = create_order(order(out), shop(), placed, Context::for_test()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(sent.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_bad_message_fails_alone() {
        let placed = |id: &str| OrderPlaced {
            order_id: id.to_owned(),
            customer: "ada".to_owned(),
            currency: "EUR".to_owned(),
            total_cents: 1,
        };
        let batch = Queue::new(vec![Message::new("m-1", placed("o-1")), Message::new("m-2", placed(""))]);
        let outcome = fulfil(batch, Context::for_test()).await.unwrap();
        assert_eq!(outcome.failed().iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["m-2"]);
    }
}
