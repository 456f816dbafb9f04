//! The clock: schedules fire by the minute. A time that went by while no host was there is run once when one comes, the
//! latest alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::watch;
use xcloud_core::event::{Payload, Record};
use xcloud_core::spec::{FunctionSpec, TriggerSpec};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_schedule::Schedule;

use super::deployment::Place;
use super::events::{attributes, inbox};
use super::store::Note;
use super::{asked_to, log};

/// The store's table of what fired last.
const NOTES: &str = "@clock";
const MINUTE: i64 = 60;
/// A cron that fires less often than this is not looked for further back.
const LONGEST_MINUTES: i64 = 366 * 24 * 60;

/// A schedule that this host can run.
pub(crate) struct Timer {
    schedule: Schedule,
    zone: TimeZone,
}

impl Timer {
    /// The timer of a scheduled function; `None` for any other.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: a schedule that is none, or a time zone that this machine does not know.
    pub(crate) fn of(function: &FunctionSpec) -> Result<Option<Self>> {
        let TriggerSpec::Schedule { schedule, timezone } = &function.trigger else { return Ok(None) };
        let wrong =
            |why: String| Error::new(ErrorKind::Config, format!("function `{}`: {why}", function.name));
        let schedule = Schedule::parse(schedule).map_err(wrong)?;
        let zone = timezone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(zone).map_err(|e| wrong(format!("time zone `{zone}`: {e}")))?;
        Ok(Some(Self { schedule, zone }))
    }

    /// The latest firing that is after one time and not after another, in seconds since 1970.
    fn latest(&self, after: i64, now: i64) -> Option<i64> {
        let now = now - now.rem_euclid(MINUTE);
        let latest = match self.schedule.period_minutes() {
            // Counted from 1970, so that it does not depend on when the host was started.
            Some(minutes) => {
                let period = i64::try_from(minutes).ok()? * MINUTE;
                now - now.rem_euclid(period)
            }
            None => {
                let first = (after - after.rem_euclid(MINUTE) + MINUTE).max(now - LONGEST_MINUTES * MINUTE);
                (0..)
                    .map(|back| now - back * MINUTE)
                    .take_while(|at| *at >= first)
                    .find(|at| self.matches(*at))?
            }
        };
        (latest > after).then_some(latest)
    }

    fn matches(&self, at: i64) -> bool {
        let Schedule::Cron(cron) = &self.schedule else { return false };
        let Ok(time) = Timestamp::from_second(at) else { return false };
        let time = self.zone.to_datetime(time);
        let part = |part: i8| u32::from(part.unsigned_abs());
        let weekday = part(time.weekday().to_sunday_zero_offset());
        cron.matches(part(time.minute()), part(time.hour()), part(time.day()), part(time.month()), weekday)
    }
}

/// Fires a function's schedule until it is stopped.
pub(super) async fn run(place: Place, function: String, timer: Timer, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(error) = fire(&place, &function, &timer).await {
            log(&format!("app {} schedule of {function}: {error}", place.key));
        }
        // A little after the full minute, by the clock as it is then.
        let into = now().rem_euclid(MINUTE).unsigned_abs();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(60 - into) + Duration::from_millis(20)) => {}
            () = asked_to(&mut stop) => return,
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

async fn fire(place: &Place, function: &str, timer: &Timer) -> Result<()> {
    let now = now();
    let last = place.store.get(NOTES, function).await?;
    let last = last.and_then(|row| std::str::from_utf8(&row.value).ok()?.parse::<i64>().ok());
    let note = |at: i64| {
        let value = Some(Bytes::from(at.to_string()));
        Some(Note { table: NOTES.to_owned(), key: function.to_owned(), value })
    };
    // A schedule that is new waits for its first time; one whose note lies ahead has seen the clock being set back.
    let Some(last) = last.filter(|last| *last <= now) else {
        return place.store.emit(&[], &tick(place, function, now), note(now)).await;
    };
    match timer.latest(last, now) {
        Some(due) => place.store.emit(&[inbox(function)], &tick(place, function, due), note(due)).await,
        None => Ok(()),
    }
}

fn tick(place: &Place, function: &str, due: i64) -> Record {
    let scheduled = UNIX_EPOCH + Duration::from_secs(due.unsigned_abs());
    let payload = Payload::Tick { name: Some(function.to_owned()), scheduled };
    Record::new(attributes(&place.key, function), payload, function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(schedule: &str, zone: &str) -> Timer {
        Timer { schedule: Schedule::parse(schedule).unwrap(), zone: TimeZone::get(zone).unwrap() }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn the_latest_time_that_went_by_fires_and_no_other() {
        let every = timer("every 5 minutes", "UTC");
        let (from, to) = (at("2026-11-25T09:58:30Z"), at("2026-11-25T10:17:59Z"));
        assert_eq!(every.latest(from, to), Some(at("2026-11-25T10:15:00Z")));
        assert_eq!(every.latest(at("2026-11-25T10:15:00Z"), to), None);
        let weekdays = timer("30 9 * * 1-5", "Europe/Berlin");
        // Sunday evening: Friday's was the last one.
        let sunday = at("2026-11-22T20:00:00Z");
        assert_eq!(weekdays.latest(at("2026-11-01T00:00:00Z"), sunday), Some(at("2026-11-20T08:30:00Z")));
        assert_eq!(weekdays.latest(at("2026-11-20T08:30:00Z"), sunday), None);
    }

    #[test]
    fn zones_have_their_summer() {
        let nine = timer("0 9 * * *", "Europe/Berlin");
        let on = |day: &str| nine.latest(at(&format!("{day}T00:00:00Z")), at(&format!("{day}T23:59:00Z")));
        assert_eq!(on("2026-07-01"), Some(at("2026-07-01T07:00:00Z")));
        assert_eq!(on("2026-12-01"), Some(at("2026-12-01T08:00:00Z")));
    }
}
