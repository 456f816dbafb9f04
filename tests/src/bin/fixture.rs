//! The app that the behaviour suites drive: a handler for each thing that can go right or wrong.

use std::alloc::System;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use xcloud::{
    App, BatchOutcome, Body, Change, CloudEvent, Context, Error, ErrorKind, Http, Json, Object, Queue, Raw,
    Response, Result, Sender, State, Table, Tick, Topic, handler, table::Version,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Shop {
    calls: AtomicU32,
}

#[derive(Deserialize)]
struct Number {
    n: u32,
}

/// A message of the queue: what it asks the handler to do.
#[derive(Serialize, Deserialize)]
struct Item {
    id: String,
    action: String,
}

/// Everything the handler saw of the request, for comparison with what was sent.
#[handler(http = "/echo/{*rest}")]
async fn echo(request: Http, cx: Context) -> Json<Value> {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(k, v)| (k.as_str(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    Json(json!({
        "method": request.method().as_str(),
        "path": request.path(),
        "rest": request.params().and_then(|p| p.get("rest")),
        "query": request.query().iter().map(|(k, v)| (k.into_owned(), v.into_owned())).collect::<Vec<_>>(),
        "headers": headers,
        "body": request.bytes().as_ref(),
        "id": cx.id(),
        "platform": cx.platform().as_str(),
        "cold_start": cx.cold_start(),
        "remaining_ms": cx.remaining().map(|d| d.as_millis() as u64),
        "trace": cx.trace(),
    }))
}

#[handler(http = "GET /hello")]
async fn hello(_request: Http) -> &'static str {
    "hello"
}

#[handler(http = "POST /double")]
async fn double(number: Http<Number>) -> Json<Value> {
    Json(json!({ "doubled": u64::from(number.n) * 2 }))
}

#[handler(http = "GET /items/{id}")]
async fn item(request: Http) -> Result<String> {
    request.param::<String>("id")
}

#[handler(http = "GET /cookies")]
async fn cookies(_request: Http) -> Response {
    let response = http::Response::builder()
        .header("set-cookie", "a=1; Path=/")
        .header("set-cookie", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
        .header("x-multi", "p")
        .header("x-multi", "q")
        .header("content-type", "text/plain");
    response.body(Body::from("cookies")).unwrap_or_default()
}

#[handler(http = "GET /bytes")]
async fn all_bytes(_request: Http) -> Vec<u8> {
    (0..=255).collect()
}

#[handler(http = "POST /bytes")]
async fn echo_bytes(request: Http) -> Bytes {
    request.bytes().clone()
}

/// How many bytes the process has asked for since it began.
#[handler(http = "POST /allocated")]
async fn allocated(_request: Http) -> String {
    ALLOCATOR.stats().bytes_allocated.to_string()
}

#[handler(http = "GET /panic")]
async fn panics(_request: Http) -> &'static str {
    panic!("secret detail of the panic")
}

#[handler(http = "GET /fail")]
async fn fails(_request: Http) -> Result<&'static str> {
    Err(Error::handler("secret detail of the failure"))
}

#[handler(http = "GET /teapot")]
async fn teapot(_request: Http) -> Result<&'static str> {
    Err(Error::new(ErrorKind::Conflict, "short and stout"))
}

#[handler(http = "GET /slow")]
async fn slow(request: Http) -> Result<&'static str> {
    let ms = request.query().parse("ms")?.unwrap_or(60_000);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok("slept")
}

#[handler(http = "GET /count")]
async fn count(_request: Http, shop: State<Shop>) -> String {
    (shop.calls.fetch_add(1, Ordering::Relaxed) + 1).to_string()
}

#[handler(http = "POST /send", sends = "nowhere")]
async fn send(_request: Http, nowhere: Sender<Item>) -> Result<String> {
    nowhere.send(&Item { id: "1".to_owned(), action: "ok".to_owned() }).await
}

#[handler(http = "POST /outbox", sends = "outbox")]
async fn send_out(values: Http<Vec<Value>>, outbox: Sender<Value>) -> Result<Json<Vec<String>>> {
    outbox.send_all(&values).await.map(Json)
}

#[handler(http = "PUT /rows/{key}", tables = "rows")]
async fn write_row(value: Http<Value>, rows: Table<Value>) -> Result<String> {
    let (key, over) = (value.param::<String>("key")?, value.query().get("over"));
    let version = match over.as_deref() {
        None => rows.put(&key, &value).await?,
        Some("nothing") => rows.insert(&key, &value).await?,
        Some(version) => rows.replace(&key, &value, &Version::new(version)).await?,
    };
    Ok(version.as_str().to_owned())
}

#[handler(http = "GET /rows/{key}", tables = "rows")]
async fn read_row(request: Http, rows: Table<Value>) -> Result<Json<Value>> {
    let key: String = request.param("key")?;
    let row = rows.row(&key).await?.ok_or_else(|| Error::not_found(format!("no row {key}")))?;
    Ok(Json(json!({ "version": row.version.as_str(), "value": row.value })))
}

#[handler(http = "DELETE /rows/{key}", tables = "rows")]
async fn delete_row(request: Http, rows: Table<Value>) -> Result<()> {
    rows.delete(&request.param::<String>("key")?).await
}

#[handler(http = "GET /rows", tables = "rows")]
async fn scan_rows(request: Http, rows: Table<Value>) -> Result<Json<Vec<String>>> {
    let query = request.query();
    let text = |name| query.get(name).unwrap_or_default().into_owned();
    let found =
        rows.scan_after(&text("prefix"), &text("after"), query.parse("limit")?.unwrap_or(1_000_000)).await?;
    Ok(Json(found.into_iter().map(|row| row.key).collect()))
}

#[handler(http = "GET /stream")]
async fn stream(request: Http) -> Result<Body> {
    let (pieces, broken) = match request.query().get("kind").as_deref() {
        Some("empty") => (0, false),
        Some("broken") => (2, true),
        _ => (3, false),
    };
    Ok(Body::from_stream(Pieces { left: pieces, broken }))
}

/// `piece N\n` so many times, then perhaps an error.
struct Pieces {
    left: u32,
    broken: bool,
}

impl futures_core::Stream for Pieces {
    type Item = Result<String, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(
                std::mem::take(&mut self.broken).then(|| Err(std::io::Error::other("it broke"))),
            );
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(format!("piece {}\n", self.left))))
    }
}

#[handler(http = "GET /traced")]
async fn traced(request: Http) -> &'static str {
    let span = tracing::info_span!("work", order = request.query().get("order").as_deref().unwrap_or("none"));
    let work = async {
        tokio::task::yield_now().await;
        tracing::warn!(left = 3, "low on stock");
    };
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|task| span.in_scope(|| work.as_mut().poll(task))).await;
    "traced"
}

#[handler(queue = "work-items", batch = 10)]
async fn work(items: Queue<Item>, cx: Context) -> Result<BatchOutcome> {
    let mut outcome = BatchOutcome::new();
    for item in &items {
        match item.action.as_str() {
            "ok" => cx.log().field("item", item.body().id.as_str()).info(format!("did {}", item.body().id)),
            "fail" => outcome.fail(item.id(), Error::unavailable("not now")),
            "dead" => outcome.fail(item.id(), Error::unprocessable("never")),
            "attempt" => cx.log().info(format!("attempt {:?} of {}", item.attempt(), item.body().id)),
            "panic" => panic!("item {}", item.body().id),
            "slow" => tokio::time::sleep(Duration::from_secs(60)).await,
            "whole" => return Err(Error::unavailable("the whole batch")),
            other => return Err(Error::bad_request(format!("no action {other}"))),
        }
    }
    Ok(outcome)
}

/// What an event asks for by its name: `fail`, `panic`, or nothing.
fn act(name: &str) -> Result<()> {
    match name.rsplit('/').next() {
        Some("fail") => Err(Error::unavailable("asked to fail")),
        Some("panic") => panic!("asked to panic"),
        _ => Ok(()),
    }
}

/// One line with everything that the trials compare.
fn tell(cx: &Context, what: Value, event: &CloudEvent) {
    let seen =
        json!({ "what": what, "type": event.ty, "attempt": cx.attempt(), "key": event.idempotency_key() });
    cx.log().info(format!("saw {seen}"));
}

#[handler(object = "uploads", on = "any")]
async fn see(object: Object, cx: Context) -> Result<()> {
    act(&object.key)?;
    let Object { bucket, key, action, size, etag, version, event } = object;
    let what = json!({ "bucket": bucket, "key": key, "action": action.as_str(), "size": size, "etag": etag, "version": version });
    tell(&cx, what, &event);
    Ok(())
}

/// Asks for created objects alone.
#[handler(object = "inbox")]
async fn new_only(object: Object, cx: Context) -> Result<()> {
    tell(&cx, json!({ "key": object.key }), &object.event);
    Ok(())
}

#[handler(schedule = "every 5 minutes")]
async fn sweep(tick: Tick, cx: Context, shop: State<Shop>) -> Result<()> {
    if std::env::var_os("FIXTURE_SWEEP").is_some() && shop.calls.fetch_add(1, Ordering::Relaxed) == 0 {
        return Err(Error::unavailable("asked to fail once"));
    }
    let late = tick.lateness().as_secs();
    let due = tick.scheduled.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    tell(&cx, json!({ "name": tick.name, "due": due, "late": late }), &tick.event);
    Ok(())
}

#[handler(change = "ledger")]
async fn audit(change: Change<Item>, cx: Context) -> Result<()> {
    if let Some(row) = change.new.as_ref() {
        act(&row.action)?;
    }
    let Change { kind, key, old, new, event } = change;
    tell(&cx, json!({ "kind": kind, "key": key, "old": old, "new": new }), &event);
    Ok(())
}

#[handler(topic = "news")]
async fn hear(news: Topic<Item>, cx: Context) -> Result<()> {
    if news.action == "flaky" && cx.attempt().is_none_or(|attempt| attempt < 3) {
        return Err(Error::unavailable(format!("attempt {:?} fails", cx.attempt())));
    }
    act(&news.action)?;
    let what = json!({ "id": news.id, "item": news.body, "colour": news.attribute("colour") });
    tell(&cx, what, &news.event);
    Ok(())
}

#[handler(event)]
async fn notice(event: CloudEvent, cx: Context) -> Result<()> {
    let data: Value = event.json()?;
    act(data["action"].as_str().unwrap_or_default())?;
    tell(
        &cx,
        json!({ "id": event.id, "source": event.source, "subject": event.subject, "data": data }),
        &event,
    );
    Ok(())
}

/// Writes down what it was given, one line for each message, in a file that outlives whoever runs this: for tests that
/// count deliveries. With action `fail` it fails after that, with `pause` its batch takes a moment. Nothing is taken
/// before the file `FIXTURE_GATE` is there, where that is set.
#[handler(queue = "recorded", batch = 20)]
async fn record(items: Queue<Item>) -> Result<BatchOutcome> {
    let path =
        std::env::var("FIXTURE_RECORD").map_err(|_| Error::unavailable("FIXTURE_RECORD is not set"))?;
    while std::env::var_os("FIXTURE_GATE").is_some_and(|gate| !std::path::Path::new(&gate).exists()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if items.iter().any(|item| item.action == "pause") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut lines = String::new();
    let mut outcome = BatchOutcome::new();
    for item in &items {
        lines += &format!("{} {}\n", item.body().id, item.attempt().unwrap_or(0));
        if item.action == "fail" {
            outcome.fail(item.id(), Error::unavailable("asked to fail"));
        }
    }
    // One write at the end of the file: lines of several processes do not mix.
    let mut file = std::fs::File::options().create(true).append(true).open(path)?;
    std::io::Write::write_all(&mut file, lines.as_bytes())?;
    Ok(outcome)
}

/// Any event that no other handler takes, given back.
#[handler(raw)]
async fn anything(event: Raw, cx: Context) -> Result<Json<Value>> {
    let event: Value = event.json()?;
    if event.get("fail").is_some() {
        return Err(Error::unavailable("asked to fail"));
    }
    cx.log().info("took a raw event");
    Ok(Json(json!({ "got": event })))
}

async fn open() -> Result<Shop> {
    match std::env::var("FIXTURE_INIT").as_deref() {
        Ok("fail") => Err(Error::unavailable("init was asked to fail")),
        Ok("panic") => panic!("init was asked to panic"),
        _ => Ok(Shop { calls: AtomicU32::new(0) }),
    }
}

fn main() -> Result<()> {
    let router = Router::new()
        .route("/axum/{name}", get(|Path(name): Path<String>| async move { format!("axum says {name}") }))
        .route("/axum-panic", get(async || -> String { panic!("in the router") }));
    let mut app = App::init(open)
        .functions(xcloud::functions![
            echo, hello, allocated, double, item, cookies, all_bytes, echo_bytes, panics, fails, teapot,
            slow, count, send, send_out, write_row, read_row, delete_row, scan_rows, stream, traced, work,
            record, see, new_only, sweep, audit, hear, notice, anything
        ])
        .http(router);
    if std::env::var_os("FIXTURE_SHUTDOWN").is_some() {
        app = app.on_shutdown(|_: State<Shop>| async {
            // The log of a call is gone by now; stdout is what every platform collects.
            let mut out = std::io::stdout();
            drop(std::io::Write::write_all(&mut out, b"the shutdown hook ran\n"));
        });
    }
    xcloud::run(app)
}
