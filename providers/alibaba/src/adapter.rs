//! The loop: listen, tell requests, events and hooks apart by the control path, call, answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use xcloud_core::event::{Batch, Incoming, TriggerKind};
use xcloud_core::log::{Level, instance_line};
use xcloud_core::outcome::error_response;
use xcloud_core::queue::Bindings;
use xcloud_core::{
    Error, ErrorKind, Instance, Parts, Platform, Program, Response, Result, Service, Target, env,
};
use xcloud_serve::parts::{deadline, header, request_id, timeout};
use xcloud_serve::records::{Order, call_records, whole};
use xcloud_serve::{Concurrency, Listener, Server, block_on, call_event, call_http, terminated};

use crate::decode::{Delivery, Facts, Messages, Records};
use crate::{binding, decode, encode};

/// Runs the program as a custom runtime until the platform ends it.
///
/// # Errors
/// A port in use, or what the app's init returned; the platform reports that the function did not start.
pub fn run(program: Program, bindings: Bindings) -> Result<()> {
    let mut instance = Instance::new(Platform::Alibaba);
    instance.bindings = bindings;
    instance.function = env::var(binding::FUNCTION);
    instance.region = env::var(binding::REGION);
    instance.version = env::var(binding::QUALIFIER).or_else(|| env::var(env::VERSION));
    block_on(Concurrency::Many, serve(program, instance))
}

async fn serve(program: Program, instance: Instance) -> Result<()> {
    let port = binding::PORTS.iter().find_map(|name| env::var(name)?.parse().ok());
    let stop = terminated()?;
    let service = program.start(instance.shared(), env::var(env::FUNCTION).as_deref()).await?;
    // All addresses: the platform does not call over loopback ("FunctionNotStarted" otherwise).
    let listener = Listener::tcp("0.0.0.0", port.unwrap_or(binding::DEFAULT_PORT)).await?;
    let (room, timeout) = (service.clone(), timeout());
    let handler = move |request| answer(room.clone(), request, timeout);
    Server::new().run(listener, handler, stop).await?;
    service.shutdown().await;
    Ok(())
}

async fn answer(service: Service, request: Request<Bytes>, timeout: Option<Duration>) -> Response {
    let call = decode::call(request.method(), request.uri().path(), request.headers());
    match call {
        Ok(decode::Call::Http) if service.serves_http() => {
            let parts = parts(&service, request.headers(), timeout);
            encode::http(call_http(&service, decode::http(request), parts).await)
        }
        Ok(decode::Call::Http) => error_response(&Error::not_found("this instance serves no HTTP function")),
        Ok(decode::Call::Event) => event(&service, request, timeout).await,
        // Init is done before the port is open: there is nothing left to do.
        Ok(decode::Call::Initialize) => encode::hook(),
        Ok(decode::Call::PreStop) => {
            service.shutdown().await;
            encode::hook()
        }
        Err(error) => refuse(&service, &error),
    }
}

fn parts(service: &Service, headers: &HeaderMap, timeout: Option<Duration>) -> Parts {
    let told = header(headers, binding::TIMEOUT_HEADER).and_then(|s| s.parse().ok());
    let told = told.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|d| !d.is_zero());
    Parts {
        id: header(headers, binding::ID_HEADER).map_or_else(request_id, str::to_owned),
        deadline: deadline(told.or(timeout)),
        attempt: None,
        trace: header(headers, "traceparent").map(str::to_owned),
        cold_start: service.take_cold_start(),
        raw: None,
    }
}

async fn event(service: &Service, request: Request<Bytes>, timeout: Option<Duration>) -> Response {
    let mut parts = parts(service, request.headers(), timeout);
    let retries = header(request.headers(), binding::RETRY_HEADER).and_then(|n| n.parse::<u32>().ok());
    parts.attempt = retries.map(|n| n.saturating_add(1));
    let body = request.into_body();
    parts.raw = Some(body.clone());
    let work = match choose(service, &body, &parts) {
        Ok(work) => work,
        Err(error) => return refuse(service, &error),
    };
    // The platform's log service groups lines by these two.
    let id = parts.id.clone();
    mark(service, "Start", &id);
    let outcome = match work {
        Work::Queue(target, batch) => call_event(service, target, Incoming::Queue(batch), parts).await,
        Work::Raw(target) => call_event(service, target, Incoming::Raw(body), parts).await,
        Work::Records(Records { stream, records }) => {
            let order = if stream { Order::Kept } else { Order::None };
            whole(call_records(service, records, &parts, order).await)
        }
    };
    mark(service, "End", &id);
    encode::outcome(outcome)
}

/// What an event comes to.
enum Work {
    Queue(Target, Batch),
    Raw(Target),
    Records(Records),
}

/// Finds the functions of an event: those of its kind, else the one that takes any CloudEvent, else the raw one. What
/// none of them takes is a message of a topic whose trigger sends the message and nothing else.
fn choose(service: &Service, body: &Bytes, parts: &Parts) -> Result<Work> {
    let instance = service.instance();
    let facts = Facts {
        id: &parts.id,
        function: instance.function.as_deref().unwrap_or_default(),
        region: instance.region.as_deref().unwrap_or_default(),
    };
    let serves = |kind| service.events().iter().any(|e| e.kind == kind);
    let records = |stream, records| Records { stream, records };
    let takes_records = service.takes_records();
    let read = match if takes_records { decode::event(body, facts) } else { decode::messages(body) } {
        Ok(Delivery::Messages(messages))
            if serves(TriggerKind::Queue) || (messages.topic && serves(TriggerKind::Topic)) =>
        {
            return message(service, messages, parts);
        }
        Ok(Delivery::Messages(messages)) if takes_records => Ok(records(false, messages.events())),
        Ok(Delivery::Messages(_)) => Err(unknown(service, "a message of a queue")),
        Ok(Delivery::Records(records)) => Ok(records),
        Ok(Delivery::Raw(what)) => Err(unknown(service, &what)),
        // A raw handler alone judges for itself.
        Err(error) if service.events().iter().all(|e| e.kind == TriggerKind::Raw) => Err(error),
        Err(error) => return Err(error),
    };
    let takes = |records: &Records| {
        records.records.first().is_none_or(|record| service.record_target(record).is_ok())
    };
    if read.as_ref().is_ok_and(takes) {
        return read.map(Work::Records);
    }
    if let Some(target) = service.raw_target() {
        return Ok(Work::Raw(target));
    }
    if takes_records && serves(TriggerKind::Topic) {
        return Ok(Work::Records(records(false, vec![decode::stream(body, facts)])));
    }
    read.map(Work::Records)
}

/// Messages of a queue, or of a RocketMQ topic, which may be a queue or a topic of the app.
fn message(service: &Service, messages: Messages, parts: &Parts) -> Result<Work> {
    let target = match messages.topic {
        true => service.message_target(&messages.source)?,
        false => service.queue_target(&messages.source)?,
    };
    if service.target_kind(target) == Some(TriggerKind::Topic) {
        return Ok(Work::Records(Records { stream: false, records: messages.publications() }));
    }
    let mut batch = messages.batch();
    batch.messages.iter_mut().for_each(|message| message.attempt = parts.attempt);
    Ok(Work::Queue(target, batch))
}

fn unknown(service: &Service, what: &str) -> Error {
    let names: Vec<_> = service.events().iter().map(|e| e.name.as_str()).collect();
    let message = format!("no handler takes this event ({what}); this instance serves {}", names.join(", "));
    Error::new(ErrorKind::BadEvent, message)
}

fn mark(service: &Service, what: &str, id: &str) {
    service.instance().sink.write(format!("FC Invoke {what} RequestId: {id}\n").as_bytes());
}

fn refuse(service: &Service, error: &Error) -> Response {
    instance_line(service.instance(), Level::Error, &error.to_string());
    encode::failure(error)
}

#[cfg(test)]
mod tests;
