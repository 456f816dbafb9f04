//! One request's events: which function each is for, and the one answer.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use xcloud_core::event::{Incoming, Record, TriggerKind};
use xcloud_core::log::{Level, instance_line};
use xcloud_core::{Error, ErrorKind, Outcome, Parts, Response, Result, Service, Target};
use xcloud_serve::call_event;

use super::parts;
use crate::decode::{self, Delivery};
use crate::encode;

/// All events of the request, in order; the first failure fails it, so that the sender sends it again. `target` is the
/// function that the request's path names.
pub(super) async fn event(
    service: &Service,
    request: Request<Bytes>,
    target: Option<Target>,
    timeout: Option<Duration>,
) -> Response {
    let shared = parts(service, &request, timeout);
    let read = if service.takes_records() { decode::request } else { decode::messages };
    let deliveries = match read(request.headers(), request.body().clone()) {
        Ok(deliveries) => deliveries,
        Err(error) => return refuse(service, &error),
    };
    let mut last = encode::status(StatusCode::NO_CONTENT);
    for delivery in deliveries {
        let parts = Parts {
            id: delivery.id.clone().unwrap_or_else(|| shared.id.clone()),
            attempt: delivery.attempt,
            raw: Some(request.body().clone()),
            ..shared.clone()
        };
        let routed = match target {
            Some(target) => as_taken_by(service, target, delivery).map(|incoming| (target, incoming)),
            None => route(service, delivery),
        };
        let (target, incoming) = match routed {
            Ok(routed) => routed,
            Err(error) => return refuse(service, &error),
        };
        let record = matches!(incoming, Incoming::Record(_));
        last = match call_event(service, target, incoming, parts).await {
            // An answer with a body would be an event in reply (Knative), and this one has nothing to say.
            Outcome::Done(_) if record => encode::status(StatusCode::NO_CONTENT),
            outcome => encode::outcome(outcome),
        };
        if !last.status().is_success() {
            return last;
        }
    }
    last
}

fn refuse(service: &Service, error: &Error) -> Response {
    instance_line(service.instance(), Level::Error, &error.to_string());
    encode::failure(error)
}

/// The event in the form that a function of this kind takes. What is of another kind stays so, and is refused.
fn as_taken_by(service: &Service, target: Target, delivery: Delivery) -> Result<Incoming> {
    let boxed = |record: Record| Incoming::Record(Box::new(record));
    Ok(match service.target_kind(target) {
        Some(TriggerKind::Raw) => Incoming::Raw(delivery.raw()),
        Some(TriggerKind::Queue) => delivery.incoming,
        Some(TriggerKind::Object) if service.takes_records() => match delivery.object()? {
            Some(record) => boxed(record),
            None => delivery.incoming,
        },
        _ => delivery.topic().map_or(delivery.incoming, boxed),
    })
}

/// The function for an event, by its kind and source: else the one that takes any CloudEvent, else the raw handler.
fn route(service: &Service, delivery: Delivery) -> Result<(Target, Incoming)> {
    let found = match &delivery.incoming {
        Incoming::Queue(_) => message(service, &delivery),
        Incoming::Record(record) => service.record_target(record),
        _ => Err(nobody(service)),
    };
    let target = found.or_else(|error| service.raw_target().ok_or(error))?;
    Ok((target, as_taken_by(service, target, delivery)?))
}

/// The function for a message: an object's, where it is a bucket's notification; a queue's or topic's; one that takes
/// any CloudEvent.
fn message(service: &Service, delivery: &Delivery) -> Result<Target> {
    let serves = |kind| service.events().iter().any(|event| event.kind == kind);
    if service.takes_records()
        && serves(TriggerKind::Object)
        && let Some(record) = delivery.object()?
    {
        return service.record_target(&record);
    }
    let mut found = Err(nobody(service));
    for name in &delivery.names {
        found = service.message_target(name);
        if found.is_ok() {
            return found;
        }
    }
    let any = service.events().iter().find(|event| event.kind == TriggerKind::Event);
    any.and_then(|event| service.function_target(&event.name)).map_or(found, |(target, _)| Ok(target))
}

fn nobody(service: &Service) -> Error {
    let names: Vec<_> = service.events().iter().map(|e| e.name.as_str()).collect();
    let message = format!("no handler takes this event; this instance serves {}", names.join(", "));
    Error::new(ErrorKind::BadEvent, message)
}

#[cfg(test)]
mod tests;
