//! Portable schedules: `every 5 minutes`, or cron in five fields.
//!
//! A crate of its own, without dependencies, because two sides need it: `#[handler]` refuses a schedule that no
//! platform could run, and the deploy side lowers it to each platform's dialect.

mod cron;
mod lower;

use std::fmt;

pub use self::cron::{Cron, Field};
pub use self::lower::{Dialect, lower};

/// When something is to happen, read from text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Again and again after a time.
    Every {
        /// How many units, from 1.
        count: u32,
        /// The unit.
        unit: Unit,
    },
    /// At the times that match.
    Cron(Cron),
}

/// The unit of [`Schedule::Every`]. There is nothing below a minute: no platform's scheduler goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Sixty seconds.
    Minutes,
    /// Sixty minutes.
    Hours,
    /// Twenty-four hours.
    Days,
}

impl Unit {
    /// Minutes in one of it.
    pub const fn minutes(self) -> u32 {
        match self {
            Self::Minutes => 1,
            Self::Hours => 60,
            Self::Days => 24 * 60,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Minutes => "minute",
            Self::Hours => "hour",
            Self::Days => "day",
        }
    }
}

/// The longest [`Schedule::Every`]: a year.
const LONGEST_DAYS: u32 = 366;

impl Schedule {
    /// Reads `every N minutes|hours|days` (also `every minute`) or `minute hour day month weekday`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["every", rest @ ..] => every(rest),
            [minute, hour, day, month, weekday] => {
                Cron::parse([minute, hour, day, month, weekday]).map(Self::Cron)
            }
            [] => Err(format!("an empty schedule: {HELP}")),
            [at, ..] if at.starts_with('@') => Err(format!("`{text}` is one platform's own dialect: {HELP}")),
            [first, ..] if first.starts_with("rate(") || first.starts_with("cron(") => {
                Err(format!("`{text}` is AWS's own dialect: {HELP}"))
            }
            [_, _, _, _, _, _] => {
                Err(format!("`{text}` has six fields; there are no seconds or years: {HELP}"))
            }
            _ => Err(format!("`{text}` is not a schedule: {HELP}")),
        }
    }

    /// The time between two firings, where it is always the same.
    pub const fn period_minutes(&self) -> Option<u64> {
        match self {
            Self::Every { count, unit } => Some(*count as u64 * unit.minutes() as u64),
            Self::Cron(_) => None,
        }
    }
}

const HELP: &str = "write `every 5 minutes`, or cron's `minute hour day month weekday`";

fn every(words: &[&str]) -> Result<Schedule, String> {
    let (count, unit) = match words {
        [unit] => (1, *unit),
        [count, unit] => {
            let number = count.parse::<u32>().ok().filter(|n| *n > 0);
            (number.ok_or_else(|| format!("`every {count}`: a whole number from 1 is wanted"))?, *unit)
        }
        _ => return Err(format!("`every {}` is not a schedule: {HELP}", words.join(" "))),
    };
    let unit = match unit {
        "minute" | "minutes" => Unit::Minutes,
        "hour" | "hours" => Unit::Hours,
        "day" | "days" => Unit::Days,
        "second" | "seconds" => return Err("no platform's scheduler goes below one minute".to_owned()),
        other => return Err(format!("`{other}` is not a unit: minutes, hours or days")),
    };
    if u64::from(count) * u64::from(unit.minutes()) > u64::from(LONGEST_DAYS * Unit::Days.minutes()) {
        return Err(format!("every {count} {}s is longer than a year", unit.word()));
    }
    Ok(Schedule::Every { count, unit })
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every { count: 1, unit } => write!(f, "every {}", unit.word()),
            Self::Every { count, unit } => write!(f, "every {count} {}s", unit.word()),
            Self::Cron(cron) => write!(f, "{cron}"),
        }
    }
}

/// Whether a text has the form of an IANA time zone's name: `Europe/Berlin`, `UTC`. That there is such a zone is for
/// whoever holds the database to say.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_zone(name: &str) -> Result<(), String> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    if name.len() <= 64 && name.split('/').all(part) {
        return Ok(());
    }
    Err(format!("`{name}` is not the name of a time zone: write it as `Europe/Berlin`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, written) in [
            ("every minute", "every minute"),
            ("every 1 hours", "every hour"),
            ("  every   5  minutes ", "every 5 minutes"),
            ("every 2 days", "every 2 days"),
        ] {
            let schedule = Schedule::parse(text).unwrap();
            assert_eq!(schedule.to_string(), written);
            assert_eq!(Schedule::parse(written).unwrap(), schedule);
        }
    }

    #[test]
    fn what_no_platform_runs_is_refused_in_words() {
        for (text, what) in [
            ("", "empty"),
            ("every 30 seconds", "one minute"),
            ("every 0 minutes", "from 1"),
            ("every fortnight", "not a unit"),
            ("every 500 days", "longer than a year"),
            ("rate(5 minutes)", "AWS's own"),
            ("@every 5m", "own dialect"),
            ("0 */5 * * * *", "six fields"),
            ("now", "not a schedule"),
        ] {
            let error = Schedule::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn zones_have_the_form_of_a_name() {
        for good in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3"] {
            assert!(check_zone(good).is_ok(), "{good}");
        }
        for bad in ["", "Europe/", "+02:00", "Europe Berlin", "../etc"] {
            assert!(check_zone(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", near in "(every )?[0-9*/,a-zA-Z -]{0,24}") {
            for text in [text, near] {
                if let Ok(schedule) = Schedule::parse(&text) {
                    proptest::prop_assert_eq!(Schedule::parse(&schedule.to_string()), Ok(schedule.clone()));
                    for dialect in Dialect::ALL {
                        drop(lower(&schedule, None, dialect));
                    }
                }
            }
        }
    }
}
