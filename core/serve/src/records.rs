//! Several records of one delivery: each is a call of its own.

use xcloud_core::event::{Incoming, Record};
use xcloud_core::log::{Level, call_line};
use xcloud_core::{BoxFuture, Error, Outcome, Parts, Result, Service};

use crate::call_event;

/// What becomes of the records after one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// They belong to a stream: they wait, so that changes of one row keep their order.
    Kept,
    /// They are handled too.
    None,
}

/// A record that was not handled.
#[derive(Debug)]
pub struct Failure {
    /// What the platform calls it: [`Record::position`].
    pub position: Option<String>,
    /// Why.
    pub error: Error,
}

/// Calls the function of each record, one after the other, and returns those that were not handled: with
/// [`Order::Kept`] the first alone. `parts` are the delivery's; a record's own attempt comes before theirs.
///
/// Its type is erased: it is the state of a room's loop else, which is linked whether or not anybody gets into it.
pub fn call_records<'a>(
    service: &'a Service,
    records: Vec<Record>,
    parts: &'a Parts,
    order: Order,
) -> BoxFuture<'a, Vec<Failure>> {
    Box::pin(async move {
        let mut failures = Vec::new();
        for record in records {
            let position = record.position.clone();
            let Err(error) = call(service, record, parts.clone()).await else { continue };
            failures.push(Failure { position, error });
            if order == Order::Kept {
                break;
            }
        }
        failures
    })
}

async fn call(service: &Service, record: Record, mut parts: Parts) -> Result<()> {
    let target = service.record_target(&record).inspect_err(|error| {
        // Nobody else writes it down: no handler was called.
        call_line(service.instance(), Level::Error, &error.to_string(), &parts.id);
    })?;
    parts.attempt = record.attempt.or(parts.attempt);
    match call_event(service, target, Incoming::Record(Box::new(record)), parts).await {
        Outcome::Failed(error) => Err(error),
        _ => Ok(()),
    }
}

/// The outcome of a delivery that its platform takes or refuses as a whole: the first failure is that of all.
pub fn whole(failures: Vec<Failure>) -> Outcome {
    match failures.into_iter().next() {
        Some(failure) => Outcome::Failed(failure.error),
        None => Outcome::Done(bytes::Bytes::from_static(b"null")),
    }
}
