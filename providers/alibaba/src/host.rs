//! Function Compute's side of the wire, a simulator of ours (Alibaba Cloud help, "Principles of custom runtimes" and
//! "Event functions of custom runtimes"): the front that forwards requests, and the triggers.

mod records;

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use serde_json::{Value, json};
use xcloud_core::event::{Batch, Incoming, RawMessage, Record};
use xcloud_core::text::rfc3339;
use xcloud_core::{Body, BoxFuture, Error, Result};
use xcloud_serve::host::{Address, Delivery, Host, Launch, Process, Tap, free_port, request_text, until};
use xcloud_serve::parts::request_id;

use crate::binding;

/// The platform waits 120 s for the port; a test's process that takes this long is broken.
const STARTUP: Duration = Duration::from_secs(20);

struct Instance {
    process: Process,
    address: Address,
    timeout: Duration,
    tap: Tap,
}

/// Starts the process with the platform's environment and waits until its port is open.
///
/// # Errors
/// When it ends, or does not listen in time, with what it wrote.
pub async fn start(launch: Launch) -> Result<Box<dyn Host>> {
    let port = free_port()?;
    let env = [
        (binding::PORTS[0], port.to_string()),
        (binding::PORTS[1], port.to_string()),
        (binding::FUNCTION, "fixture".to_owned()),
        (binding::INSTANCE, "c-00000000-0000".to_owned()),
        (binding::QUALIFIER, "LATEST".to_owned()),
        (binding::REGION, "cn-hangzhou".to_owned()),
        ("FC_FUNC_CODE_PATH", "/code".to_owned()),
    ];
    let process = Process::spawn(&launch, &env)?;
    let open = move || async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
    until(STARTUP, &process, open).await?;
    let (timeout, tap) = (launch.timeout, launch.tap);
    Ok(Box::new(Instance { process, address: Address::Port(port), timeout, tap }))
}

/// A call of the platform: what it is, whose, which try.
struct Call<'a> {
    id: &'a str,
    control: &'static str,
    retries: u32,
    timeout: Duration,
}

/// A request with the platform's own headers, after what a client sent under their prefix is taken off.
fn stamp(call: &Call<'_>, mut request: Request<Bytes>) -> Result<Request<Bytes>> {
    let headers = request.headers_mut();
    strip(headers);
    let text = |text: &str| HeaderValue::from_str(text).map_err(Error::from);
    headers.insert(binding::CONTROL_HEADER, HeaderValue::from_static(call.control));
    headers.insert(binding::ID_HEADER, text(call.id)?);
    headers.insert(binding::TIMEOUT_HEADER, text(&call.timeout.as_secs_f64().to_string())?);
    headers.insert(binding::RETRY_HEADER, HeaderValue::from(call.retries));
    headers.insert("x-fc-access-key-secret", HeaderValue::from_static("of-the-role"));
    Ok(request)
}

/// The request that hands an event over.
fn invoke(body: impl Into<Bytes>) -> Result<Request<Bytes>> {
    let request = Request::builder().method(Method::POST).uri(binding::INVOKE);
    request.header("content-type", "application/octet-stream").body(body.into()).map_err(Error::from)
}

/// All messages in one array, as the event-stream model delivers them, and how often they were tried before.
fn batch_event(batch: &Batch, queue: &str) -> (String, u32) {
    let attempt = batch.messages.first().and_then(|m| m.attempt).unwrap_or(1);
    let events: Vec<_> = batch.messages.iter().map(|message| cloud_event(message, queue)).collect();
    (Value::from(events).to_string(), attempt.saturating_sub(1))
}

/// A record as its service sends it, and how often it was tried before.
fn record_event(record: &Record) -> Result<(Bytes, u32)> {
    Ok((records::body(record)?, record.attempt.unwrap_or(1).saturating_sub(1)))
}

/// An event as it goes over the wire, secrets taken out: what `xcloud invoke --example` shows.
///
/// # Errors
/// When it cannot be written.
pub fn wire_form(id: &str, _: &str, queue: &str, event: Incoming) -> Result<String> {
    let (control, retries, request) = match event {
        Incoming::Http(request) => (binding::HTTP_INVOKE, 0, request),
        Incoming::Queue(batch) => {
            let (event, retries) = batch_event(&batch, queue);
            (binding::INVOKE, retries, invoke(event)?)
        }
        Incoming::Raw(event) => (binding::INVOKE, 0, invoke(event)?),
        Incoming::Record(record) => {
            let (event, retries) = record_event(&record)?;
            (binding::INVOKE, retries, invoke(event)?)
        }
        _ => return Err(Error::handler("an event that this host does not know")),
    };
    let timeout = Duration::from_secs(60);
    Ok(request_text(&stamp(&Call { id, control, retries, timeout }, request)?))
}

impl Instance {
    async fn call(
        &self,
        id: &str,
        control: &'static str,
        retries: u32,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>> {
        let request = stamp(&Call { id, control, retries, timeout: self.timeout }, request)?;
        self.tap.forward(id, &self.address, request).await
    }
}

/// "Custom headers cannot start with x-fc-": the front drops them.
fn strip(headers: &mut HeaderMap) {
    let ours: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with(binding::HEADER_PREFIX)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

impl Host for Instance {
    fn http_as<'a>(&'a self, id: &'a str, request: Request<Bytes>) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(async move {
            let call = Call { id, control: binding::HTTP_INVOKE, retries: 0, timeout: self.timeout };
            let mut answer = self.tap.pass(id, &self.address, stamp(&call, request)?).await?;
            strip(answer.headers_mut());
            Ok(answer)
        })
    }

    fn queue_as<'a>(
        &'a self,
        id: &'a str,
        _: &'a str,
        queue: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let (event, retries) = batch_event(&batch, queue);
            let answer = self.call(id, binding::INVOKE, retries, invoke(event)?).await?;
            Ok(result(answer).map_or_else(Delivery::RetryAll, |_| Delivery::Done))
        })
    }

    fn record_as<'a>(&'a self, id: &'a str, _: &'a str, record: Record) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let (event, retries) = record_event(&record)?;
            let answer = self.call(id, binding::INVOKE, retries, invoke(event)?).await?;
            Ok(result(answer).map_or_else(Delivery::RetryAll, |_| Delivery::Done))
        })
    }

    fn raw_as<'a>(
        &'a self,
        id: &'a str,
        _: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<Result<Bytes, String>>> {
        Box::pin(async move { Ok(result(self.call(id, binding::INVOKE, 0, invoke(event)?).await?)) })
    }

    fn process(&self) -> &Process {
        &self.process
    }

    /// The pre-stop hook, then the end without a signal.
    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>> {
        Box::pin(async move {
            let hook = Request::get(binding::PRE_STOP).body(Bytes::new()).map_err(Error::from)?;
            self.call(&request_id(), binding::PRE_STOP, 0, hook).await?;
            Ok(self.process.kill().await)
        })
    }
}

/// An SMQ message as the trigger delivers it (aliyun/fc-runtime-go-sdk `events/README_MNS.md` and the help page
/// "Message Queue triggers").
pub fn cloud_event(message: &RawMessage, queue: &str) -> Value {
    json!({
        "id": format!("event-of-{}", message.id),
        "source": "MNS-Function-trigger",
        "specversion": "1.0",
        "type": binding::MNS_TYPE,
        "datacontenttype": "application/json; charset=utf-8",
        "subject": format!("acs:mns:cn-hangzhou:1649015465574023:queues/fixture-dev-{queue}"),
        "time": message.sent.map(rfc3339),
        "aliyunaccountid": "1649015465574023",
        "data": {
            "requestId": request_id(),
            "messageId": message.id,
            "messageBody": String::from_utf8_lossy(&message.body),
        }
    })
}

/// What the platform makes of an answer to an event: without `x-fc-status` every answer is a success.
fn result(answer: Response<Bytes>) -> Result<Bytes, String> {
    match answer.headers().get(binding::STATUS_HEADER) {
        Some(status) if status != "200" => {
            Err(format!("{status:?}: {}", String::from_utf8_lossy(answer.body())))
        }
        _ => Ok(answer.into_body()),
    }
}
