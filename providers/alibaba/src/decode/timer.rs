//! The time trigger (aliyun/fc-runtime-go-sdk `events/README_TIMER.md`).

use serde_json::Value;
use xcloud_core::event::{CloudEvent, Payload, Record};
use xcloud_core::text::parse_rfc3339;
use xcloud_core::{Error, Result};

use super::{Facts, bad, json, need};

/// A firing. Its id is its due time: the same on every delivery, and a timer fires once at a time.
pub(super) fn read(event: &Value, facts: Facts<'_>) -> Result<Record> {
    tick(event, facts).map_err(|e| bad(format!("a time trigger's event: {}", e.message())))
}

fn tick(event: &Value, facts: Facts<'_>) -> Result<Record> {
    let (name, time) = (need(event, "/triggerName")?, need(event, "/triggerTime")?);
    let wrong = || Error::bad_request(format!("`triggerTime` is `{time}`, not a time"));
    let scheduled = parse_rfc3339(time).ok_or_else(wrong)?;
    let attributes = CloudEvent {
        id: time.to_owned(),
        source: format!("{}/{name}", facts.function),
        ty: "com.aliyun.fc.timer".to_owned(),
        subject: Some(name.to_owned()),
        time: Some(time.to_owned()),
        ..json(event)
    };
    Ok(Record::new(attributes, Payload::Tick { name: Some(name.to_owned()), scheduled }, name))
}
