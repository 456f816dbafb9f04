use xcloud::{App, BatchOutcome, Context, Http, Json, Queue, Raw, Result, Sender, State, handler};

#[handler(http = "GET /orders/{id}")]
async fn read(request: Http, cx: Context, shop: State<u16>) -> Result<Json<u32>> {
    cx.log().info(format!("{}", *shop));
    Ok(Json(request.param("id")?))
}

#[handler(http = "POST /orders", sends = "orders")]
async fn write(order: Http<String>, orders: Sender<String>) -> Result<&'static str> {
    orders.send(&order.into_body()).await?;
    Ok("sent")
}

#[handler(queue = "orders", batch = 5)]
async fn take(_messages: Queue<String>) -> Result<BatchOutcome> {
    Ok(BatchOutcome::new())
}

#[handler(raw)]
async fn other(event: Raw) -> Result<Json<usize>> {
    Ok(Json(event.0.len()))
}

async fn open() -> Result<u16> {
    Ok(1)
}

fn main() {
    let app = App::init(open).functions(xcloud::functions![read, write, take, other]);
    assert_eq!(app.describe().functions.len(), 3);
}
