//! Wire to event: the JSON envelope that the host posts for every trigger but proxied HTTP. The path says which function
//! is called; the kind of its trigger says what the envelope must hold.

mod blob;
mod cosmos;
mod envelope;
mod eventgrid;
mod eventhubs;
mod servicebus;
mod timer;

use xcloud_core::event::{Batch, Record, TriggerKind};
use xcloud_core::{Error, Result};

use self::envelope::{Envelope, Metadata, bad};
use crate::binding::Binding;

/// The messages of a queue trigger's envelope: storage queue or Service Bus, one or many.
///
/// # Errors
/// [`xcloud_core::ErrorKind::BadEvent`] when it is not an envelope with one trigger value.
pub fn queue(body: &[u8], binding: &Binding) -> Result<Batch> {
    servicebus::queue(Envelope::read(body)?, binding)
}

/// The records of an envelope for a function of this kind, in their order. A record of another kind than the function's
/// is an event of Event Grid that is not about a blob.
///
/// # Errors
/// [`xcloud_core::ErrorKind::BadEvent`] naming the function, what it takes, and what is wrong with the envelope.
pub fn records(kind: TriggerKind, body: &[u8], binding: &Binding) -> Result<Vec<Record>> {
    let read = match kind {
        TriggerKind::Object => object,
        TriggerKind::Schedule => timer::read,
        TriggerKind::Change => cosmos::read,
        TriggerKind::Topic => topic,
        _ => event,
    };
    let attempted = |envelope: Envelope| {
        let attempt = envelope.metadata.attempt();
        let mut records = read(envelope, binding)?;
        for record in &mut records {
            record.attempt = record.attempt.or(attempt);
        }
        Ok(records)
    };
    let named = |e: Error| {
        let takes = if kind == TriggerKind::Event {
            "events".to_owned()
        } else {
            format!("{} events", kind.as_str())
        };
        bad(format!("`{}` takes {takes}: {}", binding.function, e.message()))
    };
    Envelope::read(body).and_then(attempted).map_err(named)
}

/// A blob, told by Event Grid or by the trigger that reads it.
fn object(envelope: Envelope, _: &Binding) -> Result<Vec<Record>> {
    match &envelope {
        Envelope { metadata, .. } if blob::is_blob(metadata) => blob::read(envelope),
        Envelope { value, .. } if eventgrid::is_event(&envelope::structured(value.clone())) => {
            eventgrid::read(envelope)
        }
        _ => Err(bad(
            "neither an event of Event Grid nor a blob with `Metadata.Uri` and `Metadata.Properties`",
        )),
    }
}

/// A topic is one of Service Bus; an event hub is a topic that keeps its order.
fn topic(envelope: Envelope, binding: &Binding) -> Result<Vec<Record>> {
    let sent = |metadata: &Metadata| {
        ["MessageId", "MessageIdArray", "SequenceNumber"].iter().any(|name| metadata.has(name))
    };
    match &envelope.metadata {
        metadata if servicebus::is_event_hubs(metadata) => eventhubs::read(envelope, binding),
        metadata if sent(metadata) => servicebus::topic(envelope, binding),
        _ => Err(bad("neither a message of a Service Bus topic nor an event of an event hub")),
    }
}

fn event(envelope: Envelope, _: &Binding) -> Result<Vec<Record>> {
    eventgrid::read(envelope)
}

/// Which delivery this is, for the call's context.
pub fn attempt(batch: &Batch) -> Option<u32> {
    batch.messages.first().and_then(|m| m.attempt)
}

#[cfg(test)]
mod tests;
