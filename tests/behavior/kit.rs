//! Starting the fixture in a room, sending to it, comparing.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response};
use libtest_mimic::Failed;
use serde_json::Value;
use xcloud_core::event::{Batch, RawMessage};
use xcloud_serve::host::{Delivery, Host, Launch, Output, Tap};
use xcloud_tests::rooms::Room;

/// A trial in the making.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<(), Failed>>>>;

/// A trial has this long; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn block_on(trial: Pending) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, trial).await.unwrap_or_else(|_| Err("it hung".into()))
    })
}

/// Turns an error of ours into a failed trial.
pub(crate) fn failed(error: xcloud_core::Error) -> Failed {
    Failed::from(error.to_string())
}

/// Fails with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(libtest_mimic::Failed::from(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;

/// Fails unless both are equal, showing them.
macro_rules! same {
    ($left:expr, $right:expr, $($message:tt)+) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            let what = format!($($message)+);
            return Err(libtest_mimic::Failed::from(format!("{what}: got {left:?}, expected {right:?}")));
        }
    }};
}
pub(crate) use same;

/// A trial from an async block over a room.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        pub(crate) const BEHAVIOURS: &[crate::Behaviour] = &[$((stringify!($name), |room| Box::pin($name(room)))),*];
    };
}
pub(crate) use behaviours;

pub(crate) fn launch(function: Option<&str>) -> Launch {
    Launch {
        program: env!("CARGO_BIN_EXE_fixture").into(),
        env: Vec::new(),
        function: function.map(str::to_owned),
        timeout: Duration::from_secs(10),
        output: Output::default(),
        tap: Tap::default(),
    }
}

pub(crate) async fn start(room: Room, launch: Launch) -> Result<Box<dyn Host>, Failed> {
    (room.start)(launch).await.map_err(failed)
}

/// The fixture as a deployer runs it for HTTP.
pub(crate) async fn http(room: Room) -> Result<Box<dyn Host>, Failed> {
    start(room, launch(Some("http"))).await
}

/// The fixture as a deployer runs it for its queue.
pub(crate) async fn queue(room: Room) -> Result<Box<dyn Host>, Failed> {
    start(room, launch(Some("work"))).await
}

pub(crate) fn request(
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Bytes> {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).expect("the trial's request is well formed")
}

pub(crate) async fn get(host: &dyn Host, target: &str) -> Result<Response<Bytes>, Failed> {
    host.http(request(Method::GET, target, &[], "")).await.map_err(failed)
}

pub(crate) async fn post_json(host: &dyn Host, target: &str, body: &str) -> Result<Response<Bytes>, Failed> {
    let request = request(Method::POST, target, &[("content-type", "application/json")], body.to_owned());
    host.http(request).await.map_err(failed)
}

pub(crate) fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

pub(crate) fn json(response: &Response<Bytes>) -> Result<Value, Failed> {
    serde_json::from_slice(response.body()).map_err(|e| format!("not JSON ({e}): {}", text(response)).into())
}

pub(crate) fn message(id: &str, body: impl Into<Bytes>) -> RawMessage {
    RawMessage {
        id: id.to_owned(),
        body: body.into(),
        attempt: Some(1),
        sent: Some(SystemTime::now()),
        attributes: Vec::new(),
    }
}

/// Messages for the fixture's queue: id and action.
pub(crate) fn items(items: &[(&str, &str)]) -> Vec<RawMessage> {
    items.iter().map(|(id, action)| message(id, format!(r#"{{"id":"{id}","action":"{action}"}}"#))).collect()
}

pub(crate) async fn deliver(host: &dyn Host, messages: Vec<RawMessage>) -> Result<Delivery, Failed> {
    host.queue("work", "work-items", Batch { messages }).await.map_err(failed)
}

/// Waits until the process has written the text; log lines travel through a pipe.
pub(crate) async fn wrote(host: &dyn Host, text: &str) -> Result<(), Failed> {
    let end = Instant::now() + Duration::from_secs(5);
    while !host.output().contains(text) {
        ensure!(Instant::now() < end, "the process never wrote {text:?}; it wrote: {}", host.output());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
