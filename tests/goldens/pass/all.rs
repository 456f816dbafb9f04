use xcloud::{
    App, BatchOutcome, Change, CloudEvent, Context, Http, Json, Object, Queue, Raw, Result, Sender, State, Table,
    Tick, Topic,    handler,
};

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

#[handler(topic = "news")]
async fn hear(news: Topic<String>, cx: Context) -> Result<()> {
    cx.log().info(news.as_str());
    Ok(())
}

#[handler(object = "uploads", on = "any")]
async fn see(object: Object, _size: State<u16>) -> Result<()> {
    assert!(!object.key.is_empty());
    Ok(())
}

#[handler(schedule = "30 9 * * MON-FRI", timezone = "Europe/Berlin")]
async fn wake(tick: Tick) {
    drop(tick.lateness());
}

#[handler(change = "ledger", sends = "orders")]
async fn audit(change: Change<String>, orders: Sender<String>) -> Result<()> {
    for row in change.new {
        orders.send(&row).await?;
    }
    Ok(())
}

#[handler(event)]
async fn anything(event: CloudEvent) -> Result<()> {
    assert!(!event.id.is_empty());
    Ok(())
}

async fn open() -> Result<u16> {
    Ok(1)
}

fn main() {
    let app = App::init(open).functions(xcloud::functions![
        read, write, take, other, hear, see, wake, audit, anything
    ]);
    let spec = app.describe();
    assert_eq!(spec.functions.len(), 8);
    assert_eq!((spec.buckets, spec.topics), (vec!["uploads".to_owned()], vec!["news".to_owned()]));
    assert_eq!((spec.tables, &spec.functions[0].tables), (
        vec!["ledger".to_owned(), "seen".to_owned(), "totals".to_owned()],
        &vec![]
    ));
    assert_eq!(spec.functions[1].tables, ["seen", "totals"]);
}
