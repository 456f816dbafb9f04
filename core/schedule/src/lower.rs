//! From the portable schedule to each platform's dialect.

use crate::{Cron, Schedule, Unit};

/// A platform's language for schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `rate(5 minutes)`, `cron(0 9 ? * 2-6 *)`; the zone is a field of its own
    /// (<https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>).
    EventBridge,
    /// `0 */5 * * * *`, in UTC
    /// (<https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions>).
    Ncrontab,
    /// `*/5 * * * *`; the zone is a field of its own
    /// (<https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules>).
    UnixCron,
    /// `@every 5m`, `CRON_TZ=Europe/Berlin 0 0 9 * * 1-5`
    /// (<https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/time-triggers>).
    FunctionCompute,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EventBridge, Self::Ncrontab, Self::UnixCron, Self::FunctionCompute];
}

/// The schedule in a platform's dialect. `zone` is an IANA name, `None` is UTC; where the platform takes the zone
/// beside the expression it is not in the result.
///
/// | | EventBridge | NCRONTAB | unix-cron | Function Compute |
/// | --- | --- | --- | --- | --- |
/// | every N minutes | `rate` | where N divides 60 | where N divides 60 | `@every Nm` |
/// | every N hours | `rate` | where N divides 24 | where N divides 24 | `@every Nh` |
/// | every N days | `rate` | 1 alone | 1 alone | `@every 24Nh` |
/// | cron | `?` in the day field that is free | seconds first | as it is | seconds first |
/// | a time zone | a field beside | not on the Linux plans | a field beside | `CRON_TZ=` before |
///
/// A rate counts from the creation of the trigger, a cron from the full hour or day: the first firing differs, the
/// distance between two does not.
///
/// # Errors
/// Why the platform cannot run it, in words.
pub fn lower(schedule: &Schedule, zone: Option<&str>, dialect: Dialect) -> Result<String, String> {
    let zone = zone.filter(|zone| *zone != "UTC");
    match (schedule, dialect) {
        (Schedule::Every { count, unit }, Dialect::EventBridge) => {
            let plural = if *count == 1 { "" } else { "s" };
            Ok(format!("rate({count} {}{plural})", unit.word()))
        }
        (Schedule::Every { count, unit }, Dialect::FunctionCompute) => Ok(match unit {
            Unit::Minutes => format!("@every {count}m"),
            Unit::Hours => format!("@every {count}h"),
            Unit::Days => format!("@every {}h", count * 24),
        }),
        (Schedule::Every { count, unit }, Dialect::Ncrontab) => Ok(format!("0 {}", rate(*count, *unit)?)),
        (Schedule::Every { count, unit }, Dialect::UnixCron) => rate(*count, *unit),
        (Schedule::Cron(cron), Dialect::EventBridge) => Ok(event_bridge(cron)),
        (Schedule::Cron(cron), Dialect::UnixCron) => Ok(cron.to_string()),
        (Schedule::Cron(cron), Dialect::Ncrontab) => match zone {
            None => Ok(format!("0 {cron}")),
            Some(zone) => Err(format!(
                "Azure's Linux plans run timers in UTC (WEBSITE_TIME_ZONE is not supported there), not in {zone}"
            )),
        },
        (Schedule::Cron(cron), Dialect::FunctionCompute) => {
            let cron = function_compute(cron);
            Ok(zone.map_or_else(|| cron.clone(), |zone| format!("CRON_TZ={zone} {cron}")))
        }
    }
}

/// One of the two day fields must be `?`; days of the week count from 1.
fn event_bridge(cron: &Cron) -> String {
    let (day, weekday) = match cron.weekday.is_all() {
        true => (cron.day.text(), "?".to_owned()),
        false => ("?".to_owned(), cron.weekday.text_from(1)),
    };
    format!("cron({} {} {day} {} {weekday} *)", cron.minute.text(), cron.hour.text(), cron.month.text())
}

/// Days of the week by name: whether Sunday is 0 or 7 there, its page does not say.
fn function_compute(cron: &Cron) -> String {
    const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let names: Vec<_> = cron.weekday.values().map(|day| DAYS[day as usize]).collect();
    let weekday = if cron.weekday.is_all() { "*".to_owned() } else { names.join(",") };
    let [minute, hour, day, month] = [cron.minute, cron.hour, cron.day, cron.month].map(crate::Field::text);
    format!("0 {minute} {hour} {day} {month} {weekday}")
}

/// A rate as cron: only where it comes out even, since cron begins anew every hour and every day.
fn rate(count: u32, unit: Unit) -> Result<String, String> {
    let minutes = count * unit.minutes();
    let step = |n: u32| if n == 1 { "*".to_owned() } else { format!("*/{n}") };
    if minutes < 60 && 60_u32.is_multiple_of(minutes) {
        return Ok(format!("{} * * * *", step(minutes)));
    }
    if minutes.is_multiple_of(60) && minutes < 24 * 60 && 24_u32.is_multiple_of(minutes / 60) {
        return Ok(format!("0 {} * * *", step(minutes / 60)));
    }
    if minutes == 24 * 60 {
        return Ok("0 0 * * *".to_owned());
    }
    Err(format!(
        "`every {count} {}s` does not divide an hour or a day evenly, and this platform has cron alone",
        unit.word()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cannot be expressed is written as `-`.
    #[test]
    fn the_table() {
        let table = [
            ("every minute", None, "rate(1 minute)", "0 * * * * *", "* * * * *", "@every 1m"),
            ("every 5 minutes", None, "rate(5 minutes)", "0 */5 * * * *", "*/5 * * * *", "@every 5m"),
            ("every 60 minutes", None, "rate(60 minutes)", "0 0 * * * *", "0 * * * *", "@every 60m"),
            ("every 7 minutes", None, "rate(7 minutes)", "-", "-", "@every 7m"),
            ("every 90 minutes", None, "rate(90 minutes)", "-", "-", "@every 90m"),
            ("every 6 hours", None, "rate(6 hours)", "0 0 */6 * * *", "0 */6 * * *", "@every 6h"),
            ("every day", None, "rate(1 day)", "0 0 0 * * *", "0 0 * * *", "@every 24h"),
            ("every 2 days", None, "rate(2 days)", "-", "-", "@every 48h"),
            ("every 5 hours", None, "rate(5 hours)", "-", "-", "@every 5h"),
            (
                "30 9 * * 1-5",
                None,
                "cron(30 9 ? * 2-6 *)",
                "0 30 9 * * 1-5",
                "30 9 * * 1-5",
                "0 30 9 * * MON,TUE,WED,THU,FRI",
            ),
            ("0 0 1 */3 *", None, "cron(0 0 1 */3 ? *)", "0 0 0 1 */3 *", "0 0 1 */3 *", "0 0 0 1 */3 *"),
            ("0 4 * * 7", None, "cron(0 4 ? * 1 *)", "0 0 4 * * 0", "0 4 * * 0", "0 0 4 * * SUN"),
            ("* * * * *", None, "cron(* * * * ? *)", "0 * * * * *", "* * * * *", "0 * * * * *"),
            (
                "0 4 * * *",
                Some("Asia/Shanghai"),
                "cron(0 4 * * ? *)",
                "-",
                "0 4 * * *",
                "CRON_TZ=Asia/Shanghai 0 0 4 * * *",
            ),
            ("0 4 * * *", Some("UTC"), "cron(0 4 * * ? *)", "0 0 4 * * *", "0 4 * * *", "0 0 4 * * *"),
        ];
        for (text, zone, event_bridge, ncrontab, unix, fc) in table {
            let schedule = Schedule::parse(text).unwrap();
            let wanted = [event_bridge, ncrontab, unix, fc];
            for (dialect, wanted) in Dialect::ALL.into_iter().zip(wanted) {
                let lowered = lower(&schedule, zone, dialect);
                assert_eq!(lowered.as_deref().unwrap_or("-"), wanted, "{text} for {dialect:?}: {lowered:?}");
            }
        }
    }
}
