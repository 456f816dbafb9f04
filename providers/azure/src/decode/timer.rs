//! A `timerTrigger`'s envelope (<https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer>).
//!
//! **The time that is due**: the host hands over the schedule's status as it was before this firing, so its `Next` is the
//! firing itself (azure-webjobs-sdk-extensions@2e7550f `TimerListener.cs`, `ScheduleStatus.cs`); after downtime it is the
//! first one missed. It lies in the future only when somebody ran the function by hand or the host runs it on start; then,
//! and where schedules are not monitored and there is no status, the call's own time counts.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use xcloud_core::Result;
use xcloud_core::event::{CloudEvent, Payload, Record};
use xcloud_core::text::rfc3339;

use super::envelope::{Envelope, bad, structured, time, zoned};
use super::servicebus::of;
use crate::binding::Binding;

/// Clocks differ: the host expects to fire up to a second early.
const EARLY: Duration = Duration::from_secs(5);

pub(super) fn read(envelope: Envelope, binding: &Binding) -> Result<Vec<Record>> {
    let called = envelope.metadata.now();
    let timer = structured(envelope.value);
    if !is_timer(&timer) {
        return Err(bad(
            "not a timer's envelope: an object with `Schedule`, `ScheduleStatus` or `IsPastDue` is wanted",
        ));
    }
    let now = called.as_deref().and_then(time);
    let next = timer.get("ScheduleStatus").and_then(|status| of(status, "Next"));
    let next = next.as_deref().and_then(time);
    let due = next.filter(|next| now.is_none_or(|now| *next <= now + EARLY));
    let scheduled = due.or(now).or(next).unwrap_or_else(SystemTime::now);
    let event = CloudEvent {
        // The same on every delivery of one firing, as an invocation's id is not.
        id: rfc3339(scheduled),
        source: binding.function_source(),
        ty: "com.microsoft.functions.timer".to_owned(),
        time: called.map(|time| zoned(&time).into_owned()),
        datacontenttype: Some("application/json".to_owned()),
        data: timer.to_string().into(),
        ..CloudEvent::default()
    };
    let name = binding.function.clone();
    let payload = Payload::Tick { name: Some(name.clone()).filter(|name| !name.is_empty()), scheduled };
    Ok(vec![Record::new(event, payload, name)])
}

fn is_timer(value: &Value) -> bool {
    let has = |name: &str| value.get(name).is_some();
    has("Schedule") || has("ScheduleStatus") || has("IsPastDue")
}
