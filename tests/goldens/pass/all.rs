use xcloud::{App, BatchOutcome, Context, Http, Json, Queue, Raw, Result, Sender, State, Table, handler};

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

#[handler(queue = "orders", batch = 5, tables = ["seen", "totals"], sends = "echoes")]
async fn take(
    messages: Queue<String>,
    seen: Table<String>,
    echoes: Sender<String>,
    totals: Table<u32>,
) -> Result<BatchOutcome> {
    for message in &messages {
        seen.put(message.id(), message.body()).await?;
        echoes.send(message.body()).await?;
    }
    let row = totals.row("all").await?;
    match &row {
        Some(row) => totals.replace("all", &(row.value + 1), &row.version).await?,
        None => totals.insert("all", &1).await?,
    };
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
    let spec = app.describe();
    assert_eq!(spec.functions.len(), 3);
    assert_eq!((spec.tables, &spec.functions[0].tables), (vec!["seen".to_owned(), "totals".to_owned()], &vec![]));
    assert_eq!(spec.functions[1].tables, ["seen", "totals"]);
}
