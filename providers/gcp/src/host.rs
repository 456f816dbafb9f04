//! Cloud Run's side of the wire, a simulator of ours: the front that forwards requests, and Pub/Sub push, one message
//! a request (<https://cloud.google.com/run/docs/container-contract>, <https://cloud.google.com/pubsub/docs/push>);
//! Eventarc and Cloud Scheduler.

mod protobuf;
mod records;

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use xcloud_core::event::{Batch, Incoming, Payload, RawMessage, Record};
use xcloud_core::text::{base64_encode, rfc3339};
use xcloud_core::{Body, BoxFuture, Error, Result};
use xcloud_serve::host::{Address, Delivery, Host, Launch, Process, Tap, free_port, request_text, until};

use crate::binding;

/// Cloud Run waits 240 s for the port; a test's process that takes this long is broken.
const STARTUP: Duration = Duration::from_secs(20);

/// Who pushes: Pub/Sub, and Eventarc, whose events it carries.
const PUSH_AGENT: &str = "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)";

struct CloudRun {
    process: Process,
    address: Address,
    tap: Tap,
    /// Whether the process serves one function, as a deployer starts it.
    alone: bool,
}

/// Starts the process with Cloud Run's environment and waits until its port is open (the default startup probe).
///
/// # Errors
/// When it ends, or does not listen in time, with what it wrote.
pub async fn start(launch: Launch) -> Result<Box<dyn Host>> {
    let port = free_port()?;
    let env = [
        (binding::PORT, port.to_string()),
        (binding::SERVICE, "fixture".to_owned()),
        (binding::REVISION, "fixture-00001-abc".to_owned()),
        ("K_CONFIGURATION", "fixture".to_owned()),
        (xcloud_core::env::TIMEOUT, launch.timeout.as_secs_f64().to_string()),
    ];
    let alone = launch.function.as_deref().is_some_and(|list| !list.contains(','));
    let process = Process::spawn(&launch, &env)?;
    let open = move || async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
    until(STARTUP, &process, open).await?;
    Ok(Box::new(CloudRun { process, address: Address::Port(port), tap: launch.tap, alone }))
}

/// A client's request as the front passes it on. Where the client sends no trace, the front makes one: its id is what the
/// call's log lines are found by.
fn front(id: &str, mut request: Request<Bytes>) -> Result<Request<Bytes>> {
    let headers = request.headers_mut();
    let trace = HeaderValue::try_from(format!("{id}/1;o=1")).map_err(|e| Error::handler(e.to_string()))?;
    headers.entry(binding::TRACE_HEADER).or_insert(trace);
    headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.7"));
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    Ok(request)
}

/// The request that pushes one message.
fn push_request(message: &RawMessage, queue: &str) -> Result<Request<Bytes>> {
    let request = Request::builder().method(Method::POST).uri("/").header("user-agent", PUSH_AGENT);
    let request = request.header("content-type", "application/json");
    request.body(Bytes::from(push(message, queue).to_string())).map_err(Error::from)
}

/// An event of Eventarc in binary content mode (CloudEvents 1.0, HTTP protocol binding).
fn event_request(id: &str, event: Bytes) -> Result<Request<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("content-type", "application/json")
        .header("ce-id", id)
        .header("ce-specversion", "1.0")
        .header("ce-source", "//xcloud/example")
        .header("ce-type", "xcloud.example")
        .body(event)
        .map_err(Error::from)
}

/// The request of an event that is neither a request nor a queue's message.
fn record_request(record: &Record, path: &str) -> Result<Request<Bytes>> {
    let (headers, body) = records::request(record)?;
    let mut request = Request::builder().method(Method::POST).uri(path);
    for (name, value) in &headers {
        request = request.header(name.as_str(), value.as_str());
    }
    request.body(body).map_err(Error::from)
}

/// An event as it goes over the wire: push has no batches, each message is a request.
///
/// # Errors
/// When it cannot be written.
pub fn requests(id: &str, queue: &str, event: Incoming) -> Result<Vec<Request<Bytes>>> {
    Ok(match event {
        Incoming::Http(request) => vec![front(id, request)?],
        Incoming::Queue(batch) => {
            batch.messages.iter().map(|message| push_request(message, queue)).collect::<Result<_>>()?
        }
        Incoming::Raw(event) => vec![event_request(id, event)?],
        Incoming::Record(record) => vec![record_request(&record, "/")?],
        _ => return Err(Error::handler("an event that this host does not know")),
    })
}

/// The [`requests`] with their secrets taken out: what `xcloud invoke --example` shows.
///
/// # Errors
/// When the event cannot be written.
pub fn wire_form(id: &str, _: &str, queue: &str, event: Incoming) -> Result<String> {
    Ok(requests(id, queue, event)?.iter().map(request_text).collect::<Vec<_>>().join("\n\n"))
}

/// <https://cloud.google.com/pubsub/docs/push>: these acknowledge.
fn acknowledges(status: StatusCode) -> bool {
    matches!(status.as_u16(), 102 | 200 | 201 | 202 | 204)
}

impl Host for CloudRun {
    fn http_as<'a>(&'a self, id: &'a str, request: Request<Bytes>) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(async move { self.tap.pass(id, &self.address, front(id, request)?).await })
    }

    /// Push has no batches: each message is a request of its own, in order here so that trials can tell.
    fn queue_as<'a>(
        &'a self,
        id: &'a str,
        _: &'a str,
        queue: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            for message in batch.messages {
                let answer = self.tap.forward(id, &self.address, push_request(&message, queue)?).await?;
                if !acknowledges(answer.status()) {
                    return Ok(Delivery::RetryAll(format!("{}: {:?}", answer.status(), answer.body())));
                }
            }
            Ok(Delivery::Done)
        })
    }

    fn raw_as<'a>(
        &'a self,
        id: &'a str,
        _: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<Result<Bytes, String>>> {
        Box::pin(async move {
            let answer = self.tap.forward(id, &self.address, event_request(id, event)?).await?;
            Ok(match acknowledges(answer.status()) {
                true => Ok(answer.into_body()),
                false => Err(format!("{}: {:?}", answer.status(), answer.body())),
            })
        })
    }

    fn record_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        record: Record,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            // A job's address is of our making; a service of one function is called at its root.
            let tick = matches!(record.payload, Payload::Tick { .. });
            let path = if tick && !self.alone { format!("/{function}") } else { "/".to_owned() };
            let request = record_request(&record, &path)?;
            let answer = self.tap.forward(id, &self.address, request).await?;
            Ok(match acknowledges(answer.status()) {
                true => Delivery::Done,
                false => Delivery::RetryAll(format!("{}: {:?}", answer.status(), answer.body())),
            })
        })
    }

    fn one_by_one(&self) -> bool {
        true
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>> {
        Box::pin(async move { Ok(self.process.terminate(Duration::from_secs(10)).await) })
    }
}

/// A push request's body as Pub/Sub writes it, names in both spellings.
pub fn push(message: &RawMessage, subscription: &str) -> Value {
    let time = message.sent.map(rfc3339);
    let attributes: Map<String, Value> =
        message.attributes.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
    let mut push = json!({
        "message": {
            "attributes": attributes,
            "data": base64_encode(&message.body),
            "messageId": message.id, "message_id": message.id,
            "publishTime": time, "publish_time": time,
        },
        "subscription": format!("projects/p/subscriptions/fixture-dev-{subscription}"),
    });
    if let Some(attempt) = message.attempt {
        push["deliveryAttempt"] = attempt.into();
    }
    push
}
