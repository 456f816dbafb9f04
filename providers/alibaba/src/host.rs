//! Function Compute's side of the wire, a simulator of ours (Alibaba Cloud help, "Principles of custom runtimes" and
//! "Event functions of custom runtimes"): the front that forwards requests, and a queue's trigger.

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use serde_json::{Value, json};
use xcloud_core::event::{Batch, RawMessage};
use xcloud_core::text::rfc3339;
use xcloud_core::{BoxFuture, Error, Result};
use xcloud_serve::host::{Address, Delivery, Host, Launch, Process, forward, free_port, until};
use xcloud_serve::parts::request_id;

use crate::binding;

/// The platform waits 120 s for the port; a test's process that takes this long is broken.
const STARTUP: Duration = Duration::from_secs(20);

struct Instance {
    process: Process,
    address: Address,
    timeout: Duration,
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
    Ok(Box::new(Instance { process, address: Address::Port(port), timeout: launch.timeout }))
}

impl Instance {
    /// Sends with the platform's own headers, after what a client sent under their prefix is taken off.
    async fn call(
        &self,
        control: &'static str,
        retries: u32,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>> {
        let headers = request.headers_mut();
        strip(headers);
        let text = |text: String| HeaderValue::from_str(&text).map_err(Error::from);
        headers.insert(binding::CONTROL_HEADER, HeaderValue::from_static(control));
        headers.insert(binding::ID_HEADER, text(format!("1-{}", request_id()))?);
        headers.insert(binding::TIMEOUT_HEADER, text(self.timeout.as_secs_f64().to_string())?);
        headers.insert(binding::RETRY_HEADER, HeaderValue::from(retries));
        headers.insert("x-fc-access-key-secret", HeaderValue::from_static("of-the-role"));
        forward(&self.address, request).await
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
    fn http(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>>> {
        Box::pin(async move {
            let mut answer = self.call(binding::HTTP_INVOKE, 0, request).await?;
            strip(answer.headers_mut());
            Ok(answer)
        })
    }

    /// All messages in one array, as the event-stream model delivers them.
    fn queue<'a>(&'a self, _: &'a str, queue: &'a str, batch: Batch) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let attempt = batch.messages.first().and_then(|m| m.attempt).unwrap_or(1);
            let events: Vec<_> = batch.messages.iter().map(|message| cloud_event(message, queue)).collect();
            let request = Request::builder()
                .method(Method::POST)
                .uri(binding::INVOKE)
                .header("content-type", "application/octet-stream")
                .body(Bytes::from(Value::from(events).to_string()))
                .map_err(Error::from)?;
            let answer = self.call(binding::INVOKE, attempt.saturating_sub(1), request).await?;
            Ok(result(&answer))
        })
    }

    fn output(&self) -> String {
        self.process.output()
    }

    /// The pre-stop hook, then the end without a signal.
    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>> {
        Box::pin(async move {
            let hook = Request::get(binding::PRE_STOP).body(Bytes::new()).map_err(Error::from)?;
            self.call(binding::PRE_STOP, 0, hook).await?;
            self.process.kill().await
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
fn result(answer: &Response<Bytes>) -> Delivery {
    match answer.headers().get(binding::STATUS_HEADER) {
        Some(status) if status != "200" => {
            Delivery::RetryAll(format!("{status:?}: {}", String::from_utf8_lossy(answer.body())))
        }
        _ => Delivery::Done,
    }
}
