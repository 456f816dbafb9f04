//! Cloud Run's side of the wire, a simulator of ours: the front that forwards requests, and Pub/Sub push, one message
//! a request (<https://cloud.google.com/run/docs/container-contract>, <https://cloud.google.com/pubsub/docs/push>);
//! Eventarc and Cloud Scheduler.

mod protobuf;
mod records;

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Map, Value, json};
use xcloud_core::event::{Batch, Payload, RawMessage, Record};
use xcloud_core::text::{base64_encode, rfc3339};
use xcloud_core::{BoxFuture, Error, Result};
use xcloud_serve::host::{Address, Delivery, Host, Launch, Process, forward, free_port, terminate, until};

use crate::binding;

/// Cloud Run waits 240 s for the port; a test's process that takes this long is broken.
const STARTUP: Duration = Duration::from_secs(20);

struct CloudRun {
    process: Process,
    address: Address,
    /// Whether the process serves one function, as a deployer starts it.
    alone: bool,
}

/// Who pushes: Pub/Sub, and Eventarc, whose events it carries.
const PUSH_AGENT: &str = "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)";

impl CloudRun {
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Delivery> {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = forward(&self.address, request.body(body).map_err(Error::from)?).await?;
        // https://cloud.google.com/pubsub/docs/push: 102, 200, 201, 202 and 204 acknowledge.
        Ok(match answer.status().as_u16() {
            102 | 200 | 201 | 202 | 204 => Delivery::Done,
            _ => Delivery::RetryAll(format!("{}: {:?}", answer.status(), answer.body())),
        })
    }
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
    Ok(Box::new(CloudRun { process, address: Address::Port(port), alone }))
}

impl Host for CloudRun {
    fn http(&self, mut request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>>> {
        Box::pin(async move {
            let headers = request.headers_mut();
            // A trace of its own for each request, as the front makes one where the client sends none.
            let trace = format!("{}/1;o=1", xcloud_serve::parts::request_id().replace('-', ""));
            let trace = http::HeaderValue::try_from(trace).map_err(|e| Error::handler(e.to_string()))?;
            headers.entry(binding::TRACE_HEADER).or_insert(trace);
            headers.append("x-forwarded-for", http::HeaderValue::from_static("203.0.113.7"));
            headers.insert("x-forwarded-proto", http::HeaderValue::from_static("https"));
            forward(&self.address, request).await
        })
    }

    fn queue<'a>(&'a self, _: &'a str, queue: &'a str, batch: Batch) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            // Push has no batches: each message is a request of its own, in order here so that trials can tell.
            for message in batch.messages {
                let body = push(&message, queue).to_string();
                let headers = [("content-type", "application/json"), ("user-agent", PUSH_AGENT)];
                let delivery = self.post("/", &headers, body.into()).await?;
                if delivery != Delivery::Done {
                    return Ok(delivery);
                }
            }
            Ok(Delivery::Done)
        })
    }

    fn record<'a>(&'a self, function: &'a str, record: Record) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let (headers, body) = records::request(&record)?;
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            // A job's address is of our making; a service of one function is called at its root.
            let tick = matches!(record.payload, Payload::Tick { .. });
            let path = if tick && !self.alone { format!("/{function}") } else { "/".to_owned() };
            self.post(&path, &headers, body).await
        })
    }

    fn output(&self) -> String {
        self.process.output()
    }

    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>> {
        Box::pin(terminate(&self.process, Duration::from_secs(10)))
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
