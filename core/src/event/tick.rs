//! `Tick`: a scheduled time came.

use std::time::{Duration, SystemTime};

use super::{CloudEvent, Decoded, Event, Incoming, Payload, TriggerKind, wrong_kind};
use crate::error::Result;
use crate::outcome::Done;

/// One firing of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The schedule's name, where the platform tells.
    pub name: Option<String>,
    /// The time it was due; where the platform does not tell, the time at which it called.
    pub scheduled: SystemTime,
    /// The event's CloudEvents attributes; see [`CloudEvent::idempotency_key`].
    pub event: CloudEvent,
}

impl Tick {
    /// A firing that is due at this time, for unit tests.
    pub fn at(scheduled: SystemTime) -> Self {
        Self { name: None, scheduled, event: CloudEvent::default() }
    }

    /// How long after the due time this is; zero if the clock says it is not due yet.
    pub fn lateness(&self) -> Duration {
        SystemTime::now().duration_since(self.scheduled).unwrap_or_default()
    }
}

impl Event for Tick {
    const KIND: TriggerKind = TriggerKind::Schedule;
    type Output = Done;

    fn from_incoming(incoming: Incoming) -> Result<Decoded<Self>> {
        let kind = incoming.kind();
        match incoming.into_record() {
            Some((event, Payload::Tick { name, scheduled })) => {
                Ok(Decoded::whole(Self { name, scheduled, event }))
            }
            _ => Err(wrong_kind(TriggerKind::Schedule, kind)),
        }
    }
}
