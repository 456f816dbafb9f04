//! Cloud Scheduler: a plain request of the job's own making, told by its headers
//! (<https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#httptarget>).

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use xcloud_core::event::{CloudEvent, Payload, Record};
use xcloud_core::text::{parse_rfc3339, rfc3339};
use xcloud_serve::parts::header;

use crate::binding::{SCHEDULER_HEADER, SCHEDULER_JOB_HEADER, SCHEDULER_TIME_HEADER, SCHEDULER_TYPE};

/// The tick of a request, or `None` when it is not of Cloud Scheduler.
pub(super) fn tick(headers: &HeaderMap, body: &Bytes) -> Result<Option<Record>, String> {
    if !headers.contains_key(SCHEDULER_HEADER) {
        return Ok(None);
    }
    let missing = || format!("a request of Cloud Scheduler without `{SCHEDULER_JOB_HEADER}`");
    let job = header(headers, SCHEDULER_JOB_HEADER).filter(|job| !job.is_empty()).ok_or_else(missing)?;
    let (time, scheduled) = match header(headers, SCHEDULER_TIME_HEADER) {
        Some(time) => (time.to_owned(), due(time)?),
        // Only jobs in unix-cron format have it.
        None => {
            let now = SystemTime::now();
            (rfc3339(now), now)
        }
    };
    let media = header(headers, CONTENT_TYPE.as_str()).filter(|_| !body.is_empty());
    let event = CloudEvent {
        id: format!("{job}@{time}"),
        source: job.to_owned(),
        ty: SCHEDULER_TYPE.to_owned(),
        time: Some(time),
        datacontenttype: media.map(str::to_owned),
        data: body.clone(),
        ..CloudEvent::default()
    };
    Ok(Some(named(event, scheduled)))
}

/// The same as a CloudEvent: its source is the job, its time the time it was due.
pub(super) fn record(event: CloudEvent) -> Result<Record, String> {
    let time = event.time.as_deref().ok_or("it has no `time`, which says when it was due")?;
    let scheduled = due(time)?;
    Ok(named(event, scheduled))
}

fn due(time: &str) -> Result<SystemTime, String> {
    parse_rfc3339(time)
        .ok_or_else(|| format!("the schedule's time is `{time}`, not an RFC 3339 time since 1970"))
}

fn named(event: CloudEvent, scheduled: SystemTime) -> Record {
    let name = event.source.rsplit('/').next().unwrap_or_default().to_owned();
    Record::new(event, Payload::Tick { name: Some(name.clone()), scheduled }, name)
}
