//! One event handed to a function past its queue: who sent it waits, and is told how it went.

use bytes::Bytes;
use serde_json::Value;
use xcloud_core::event::RawMessage;
use xcloud_core::spec::TriggerSpec;
use xcloud_core::{Error, Response, Result};
use xcloud_local::host::{Answer, Call, Wire};
use xcloud_serve::parts::request_id;

use super::super::api::EventAnswer;
use super::super::delivery::GRACE;
use super::super::events;
use super::super::metrics::Outcome;
use super::super::state::Host;
use super::{no_function, ok};

/// What a function is called with.
enum Event {
    Message(RawMessage),
    Raw(Bytes),
    Record(Bytes),
}

/// What it answered, and why it failed.
type Ended = (Option<Value>, Option<String>);

/// Hands one event over: the body is a queue's message, a raw event, or for other kinds a CloudEvent.
pub(super) async fn invoke(host: &Host, key: &str, name: &str, body: Bytes) -> Result<Response> {
    let app = host.app(key)?;
    let runner = app.runner(name).ok_or_else(|| no_function(key, name))?;
    let manifest = app.record().manifest.unwrap_or_default();
    let function =
        manifest.functions.iter().find(|f| f.name == name).ok_or_else(|| no_function(key, name))?;
    let id = request_id();
    let event = read(key, &function.trigger, &id, body)?;
    let mut lease = runner.lease(runner.timeout()).await?;
    lease.name(&id);
    let call = Call { id: &id, remaining: lease.timeout() };
    let ended = tokio::time::timeout(call.remaining + GRACE, hand(&lease.wire, name, event, call)).await;
    let (outcome, result) = match ended {
        Ok(Ok((_, Some(error)))) => (Outcome::Error, Ok((None, Some(error)))),
        Ok(Ok(ended)) => (Outcome::Ok, Ok(ended)),
        Ok(Err(error)) => (Outcome::Broken, Err(error)),
        Err(_) => {
            lease.report_stuck();
            (Outcome::Timeout, Err(Error::handler("the function did not answer by its deadline")))
        }
    };
    lease.end(outcome);
    let (body, error) = result.unwrap_or_else(|error| (None, Some(lease.explain(error.message()))));
    ok(&EventAnswer { request_id: id, error, body })
}

/// The body as the function's kind of event.
fn read(app: &str, trigger: &TriggerSpec, id: &str, body: Bytes) -> Result<Event> {
    Ok(match trigger {
        TriggerSpec::Http { .. } => {
            return Err(Error::bad_request("this function takes requests at the app's URL"));
        }
        TriggerSpec::Queue { .. } => Event::Message(RawMessage {
            id: id.to_owned(),
            body,
            attempt: Some(1),
            sent: Some(std::time::SystemTime::now()),
            attributes: Vec::new(),
        }),
        TriggerSpec::Raw => Event::Raw(body),
        _ => Event::Record(events::typed(app, &body)?),
    })
}

async fn hand(wire: &Wire, name: &str, event: Event, call: Call<'_>) -> Result<Ended> {
    let answer = match event {
        Event::Message(message) => match wire.queue(name, &[message], call).await? {
            Answer::Done(failed) => return Ok((None, failed.into_iter().next().map(|f| f.error))),
            Answer::Failed(error) => Answer::Failed(error),
        },
        Event::Raw(body) => wire.raw(name, body, call).await?,
        Event::Record(body) => wire.record(name, body, call).await?,
    };
    Ok(match answer {
        Answer::Done(bytes) => (serde_json::from_slice(&bytes).ok(), None),
        Answer::Failed(error) => (None, Some(error.error)),
    })
}
