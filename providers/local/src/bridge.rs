//! The process's end of this room's wire with another platform's host behind it: the local host calls a function that
//! believes itself in that cloud. `xcloud dev --as` is made of it.
//!
//! Not part of the room's wire, and needed by no function: that is why it is a file of its own, behind feature `host`.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;
use xcloud_core::cloudevents;
use xcloud_core::error::ErrorKind;
use xcloud_core::event::{Batch, Incoming, Record, neutral};
use xcloud_core::outcome::error_response;
use xcloud_core::spec::{Spec, TriggerSpec};
use xcloud_core::text::rfc3339;
use xcloud_core::{BatchOutcome, Body, BoxFuture, Error, Outcome, Response, Result, env};
use xcloud_serve::host::{Delivery, Host, Launch, Output, Tap, Way, body_text, describe, request_text};
use xcloud_serve::parts::{request_id, timeout};
use xcloud_serve::{Listener, Server};

use crate::adapter::{bind, stopped};
use crate::{binding, decode, encode};

/// Starts a platform's side of a wire.
pub type Start = fn(Launch) -> BoxFuture<'static, Result<Box<dyn Host>>>;

/// A cloud as `--as` names it.
#[derive(Debug, Clone, Copy)]
pub struct Cloud {
    /// Its name.
    pub name: &'static str,
    /// Its host.
    pub start: Start,
    /// Whether one instance carries every function of an app.
    pub one_site: bool,
    /// Whether an instance is given one call at a time: calls at once need instances of their own.
    pub one_call: bool,
}

/// What a call needs.
struct Bridge {
    host: Box<dyn Host>,
    spec: Spec,
    token: Option<String>,
    function: Option<String>,
    tap: Tap,
}

/// Serves the local host's calls with the program behind a cloud's host, until the local host wants it to end or the
/// program has ended. With `show` both forms of every call are written to stderr.
///
/// # Errors
/// The local host's environment is missing, or the program does not start.
pub async fn run(cloud: Cloud, program: &Path, show: bool) -> Result<()> {
    let socket = env::var(binding::SOCKET).ok_or_else(|| {
        let message = format!("{} is not set: only the local host starts this", binding::SOCKET);
        Error::new(ErrorKind::Config, message)
    })?;
    let stop = stopped()?;
    let function = env::var(env::FUNCTION);
    let launch = Launch {
        program: program.to_owned(),
        env: inherited(),
        function: function.clone().filter(|_| !cloud.one_site),
        timeout: timeout().unwrap_or(std::time::Duration::from_secs(binding::DEFAULT_TIMEOUT_SECONDS.into())),
        output: Output::Passed,
        tap: tap(cloud.name, show),
    };
    let spec = describe(program).await?;
    let host = (cloud.start)(launch).await?;
    let (token, tap) = (env::var(binding::TOKEN), tap("neutral", show));
    let bridge = Arc::new(Bridge { host, spec, token, function, tap });
    let listener = Listener::Unix(bind(Path::new(&socket))?);
    let ended = Arc::clone(&bridge);
    let stop = async move {
        tokio::select! {
            () = stop => {}
            // A new instance takes its place, as on every platform.
            _ = ended.host.process().ended() => {}
        }
    };
    let calls = Arc::clone(&bridge);
    let handler = move |request| {
        let bridge = Arc::clone(&calls);
        async move { bridge.answer(request).await }
    };
    Server::new().run(listener, handler, stop).await?;
    bridge.host.stop().await.map(drop)
}

/// This process's environment without what the local host has set for the wire: the cloud sets its own.
fn inherited() -> Vec<(String, String)> {
    let ours = |name: &str| {
        name.starts_with("XCLOUD_LOCAL_") || [env::PLATFORM, env::FUNCTION, env::TIMEOUT].contains(&name)
    };
    let text = |text: std::ffi::OsString| text.into_string().ok();
    let all = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    all.filter(|(name, _)| !ours(name)).collect()
}

/// Writes one JSON line for each thing that is seen.
fn tap(form: &'static str, show: bool) -> Tap {
    if !show {
        return Tap::default();
    }
    Tap::new(move |id, way, text| {
        let way = if way == Way::In { "in" } else { "out" };
        let line = json!({
            "timestamp": rfc3339(std::time::SystemTime::now()), "level": "DEBUG", "request_id": id,
            "form": form, "way": way, "message": text,
        });
        // Whoever reads the other end may be gone.
        drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()));
    })
}

impl Bridge {
    async fn answer(&self, request: Request<Bytes>) -> Response {
        let call = match decode::call(request, self.token.as_deref()) {
            Ok(call) => call,
            Err(error) => return encode::failure(&error),
        };
        let id = call.id.unwrap_or_else(request_id);
        let function = call.function.or_else(|| self.function.clone()).unwrap_or_default();
        match call.incoming {
            Incoming::Http(request) => self.http(&id, request).await,
            Incoming::Queue(batch) => encode::outcome(self.queue(&id, &function, batch).await),
            Incoming::Raw(event) => encode::outcome(self.raw(&id, &function, event).await),
            Incoming::Record(record) => encode::outcome(self.record(&id, &function, *record).await),
            _ => encode::failure(&Error::new(ErrorKind::BadEvent, "an event that this host does not know")),
        }
    }

    /// What the cloud's front has no answer for is a 502, as it is there.
    async fn http(&self, id: &str, request: Request<Bytes>) -> Response {
        self.tap.see(id, Way::In, || request_text(&request));
        let answered = async { self.tap.answer(id, self.host.http_as(id, request).await?).await };
        answered.await.unwrap_or_else(|error| {
            self.tap.see(id, Way::Out, || error.message().to_owned());
            let body = json!({ "error": error.message() }).to_string();
            let (parts, _) = error_response(&error).into_parts();
            let mut answer = http::Response::from_parts(parts, Body::from(body));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        })
    }

    async fn queue(&self, id: &str, function: &str, batch: Batch) -> Outcome {
        let queue = self.spec.function(function).map(|f| &f.trigger);
        let queue = match queue {
            Some(TriggerSpec::Queue { queue, .. }) => queue.as_str(),
            _ => {
                return Outcome::Failed(Error::new(
                    ErrorKind::BadEvent,
                    format!("`{function}` takes no queue"),
                ));
            }
        };
        self.tap.see(id, Way::In, || batch_text(queue, &batch));
        let mut outcome = BatchOutcome::new();
        let batches = match self.host.one_by_one() {
            true => batch.messages.into_iter().map(|message| Batch { messages: vec![message] }).collect(),
            false => vec![batch],
        };
        for batch in batches {
            let ids: Vec<_> = batch.messages.iter().map(|message| message.id.clone()).collect();
            let (failed, why) = match self.host.queue_as(id, function, queue, batch).await {
                Ok(Delivery::Done) => continue,
                Ok(Delivery::Retry(failed)) => (failed, "the function says that it failed".to_owned()),
                Ok(Delivery::RetryAll(why)) => (ids, why),
                Err(error) => (ids, error.message().to_owned()),
            };
            failed.into_iter().for_each(|id| outcome.fail(id, Error::unavailable(why.clone())));
        }
        self.tap.see(id, Way::Out, || match outcome.failed() {
            [] => "done".to_owned(),
            failed => {
                failed.iter().map(|(id, why)| format!("{id} comes again: {}\n", why.message())).collect()
            }
        });
        Outcome::Batch(outcome)
    }

    async fn record(&self, id: &str, function: &str, record: Record) -> Outcome {
        self.tap.see(id, Way::In, || {
            let event = cloudevents::to_json(&neutral::to_cloud_event(&record)).to_string();
            body_text(event.as_bytes())
        });
        let outcome = match self.host.record_as(id, function, record).await {
            Ok(Delivery::Done) => Outcome::Done(Bytes::from_static(b"null")),
            Ok(Delivery::Retry(_)) => Outcome::Failed(Error::handler("the function says that it failed")),
            Ok(Delivery::RetryAll(why)) => Outcome::Failed(Error::handler(why)),
            Err(error) => Outcome::Failed(error),
        };
        self.tap.see(id, Way::Out, || match &outcome {
            Outcome::Failed(error) => format!("comes again: {}", error.message()),
            _ => "done".to_owned(),
        });
        outcome
    }

    async fn raw(&self, id: &str, function: &str, event: Bytes) -> Outcome {
        match self.host.raw_as(id, function, event).await {
            Ok(Ok(answer)) => Outcome::Done(answer),
            Ok(Err(why)) => Outcome::Failed(Error::handler(why)),
            Err(error) => Outcome::Failed(error),
        }
    }
}

fn batch_text(queue: &str, batch: &Batch) -> String {
    let message = |message: &xcloud_core::event::RawMessage| {
        let attempt = message.attempt.map(|n| format!(" (attempt {n})")).unwrap_or_default();
        format!("\n{}{attempt}: {}", message.id, body_text(&message.body))
    };
    let messages: String = batch.messages.iter().map(message).collect();
    format!("queue {queue}, {} messages{messages}", batch.messages.len())
}
