//! Cron in five fields, with the meaning that all platforms share.

use std::fmt;

/// `minute hour day-of-month month day-of-week`, each as the set of values that match.
///
/// Day of month and day of week may not both be restricted: crons on unix and Google then take either, others take
/// both, and EventBridge takes neither, so such an expression would mean different things in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cron {
    /// 0 to 59.
    pub minute: Field,
    /// 0 to 23.
    pub hour: Field,
    /// 1 to 31.
    pub day: Field,
    /// 1 to 12.
    pub month: Field,
    /// 0 to 6, Sunday first.
    pub weekday: Field,
}

/// The values of one field that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    bits: u64,
    min: u32,
    max: u32,
}

struct Kind {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names of values, from `min`.
    names: &'static [&'static str],
}

const KINDS: [Kind; 5] = [
    Kind { name: "minute", min: 0, max: 59, names: &[] },
    Kind { name: "hour", min: 0, max: 23, names: &[] },
    Kind { name: "day of month", min: 1, max: 31, names: &[] },
    Kind {
        name: "month",
        min: 1,
        max: 12,
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    },
    Kind { name: "day of week", min: 0, max: 6, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] },
];

/// The most days that a month has: 29 for February.
const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    pub(crate) fn parse(texts: [&str; 5]) -> Result<Self, String> {
        let mut fields = [Field { bits: 0, min: 0, max: 0 }; 5];
        for ((field, text), kind) in fields.iter_mut().zip(texts).zip(&KINDS) {
            *field = Field::parse(text, kind)?;
        }
        let [minute, hour, day, month, weekday] = fields;
        if !day.is_all() && !weekday.is_all() {
            let message = "day of month and day of week cannot both be restricted: platforms differ in whether one or both must \
                           match; write two handlers";
            return Err(message.to_owned());
        }
        let possible = |m: u32| day.values().any(|d| d <= DAYS[m as usize - 1]);
        if !month.values().any(possible) {
            return Err(format!("`{} {}` never comes: no such day in that month", day.text(), month.text()));
        }
        Ok(Self { minute, hour, day, month, weekday })
    }

    /// Whether it fires in this minute, given in the schedule's time zone: month from 1, weekday 0 is Sunday.
    pub const fn matches(&self, minute: u32, hour: u32, day: u32, month: u32, weekday: u32) -> bool {
        self.minute.has(minute)
            && self.hour.has(hour)
            && self.day.has(day)
            && self.month.has(month)
            && self.weekday.has(weekday)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [minute, hour, day, month, weekday] =
            [self.minute, self.hour, self.day, self.month, self.weekday].map(|f| f.text());
        write!(f, "{minute} {hour} {day} {month} {weekday}")
    }
}

impl Field {
    fn parse(text: &str, kind: &Kind) -> Result<Self, String> {
        let mut field = Self { bits: 0, min: kind.min, max: kind.max };
        for item in text.split(',') {
            field.add(item, kind).map_err(|why| format!("{} `{text}`: {why}", kind.name))?;
        }
        Ok(field)
    }

    fn add(&mut self, item: &str, kind: &Kind) -> Result<(), String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                let number = step.parse::<u32>().ok().filter(|n| (1..=kind.max).contains(n));
                (
                    range,
                    Some(number.ok_or_else(|| format!("`/{step}` is not a step from 1 to {}", kind.max))?),
                )
            }
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (kind.min, kind.max),
            Some((first, last)) => (value(first, kind)?, value(last, kind)?),
            // `5/15` is from 5 on in some dialects and an error in others.
            None if step.is_some() => return Err(format!("`{item}`: a step goes with `*` or a range")),
            None => {
                let one = value(range, kind)?;
                (one, one)
            }
        };
        if first > last {
            return Err(format!("`{range}` goes backwards"));
        }
        for at in (first..=last).step_by(step.unwrap_or(1) as usize) {
            // Sunday is 0 and 7.
            self.bits |= 1 << if at > kind.max { kind.min } else { at };
        }
        Ok(())
    }

    const fn has(&self, value: u32) -> bool {
        value < u64::BITS && self.bits & (1 << value) != 0
    }

    /// The values that match, in order.
    pub fn values(self) -> impl Iterator<Item = u32> + Clone {
        (self.min..=self.max).filter(move |v| self.has(*v))
    }

    /// Whether every value matches.
    pub fn is_all(self) -> bool {
        self.values().count() as u32 == self.max - self.min + 1
    }

    /// `*`, `*/5`, `9-17` or a list: what every dialect reads alike.
    pub fn text(self) -> String {
        self.text_from(0)
    }

    /// The same with every value moved up: EventBridge counts days of the week from 1.
    pub(crate) fn text_from(self, offset: u32) -> String {
        let values: Vec<u32> = self.values().collect();
        if self.is_all() {
            return "*".to_owned();
        }
        if let [first, second, _, ..] = values[..]
            && first == self.min
            && second - first > 1
            && (first..=self.max).step_by((second - first) as usize).eq(values.iter().copied())
        {
            return format!("*/{}", second - first);
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while at < values.len() {
            let mut end = at;
            while end + 1 < values.len() && values[end + 1] == values[end] + 1 {
                end += 1;
            }
            let (first, last) = (values[at] + offset, values[end] + offset);
            parts.push(match end - at {
                0 => first.to_string(),
                1 => format!("{first},{last}"),
                _ => format!("{first}-{last}"),
            });
            at = end + 1;
        }
        parts.join(",")
    }
}

fn value(text: &str, kind: &Kind) -> Result<u32, String> {
    let upper = text.to_ascii_uppercase();
    if let Some(at) = kind.names.iter().position(|name| *name == upper) {
        return Ok(kind.min + at as u32);
    }
    // Sunday as 7 is read by name in `add`.
    let max = if kind.name == "day of week" { 7 } else { kind.max };
    let number =
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u32>().ok());
    match number.flatten() {
        Some(n) if (kind.min..=max).contains(&n) => Ok(n),
        _ if text.contains(['L', 'W', '#', '?']) => {
            Err(format!("`{text}`: only some platforms read L, W, # and ?"))
        }
        _ => Err(format!("`{text}` is not from {} to {max}", kind.min)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split(' ').collect();
        Cron::parse(fields.try_into().unwrap())
    }

    #[test]
    fn fields_are_sets_and_written_in_one_way() {
        for (text, written) in [
            ("* * * * *", "* * * * *"),
            ("*/15 9-17 * * MON-FRI", "*/15 9-17 * * 1-5"),
            ("0,15,30,45 0 1 jan,jul *", "*/15 0 1 1,7 *"),
            ("5 4 * * 7", "5 4 * * 0"),
            ("0 0 * * 5-7", "0 0 * * 0,5,6"),
            ("10-50/20 */2 29 2 *", "10,30,50 */2 29 2 *"),
            ("1,2 3 * * *", "1,2 3 * * *"),
        ] {
            let parsed = cron(text).unwrap();
            assert_eq!(parsed.to_string(), written, "{text}");
            assert_eq!(cron(written).unwrap(), parsed);
        }
    }

    #[test]
    fn matching_looks_at_every_field() {
        let weekdays = cron("30 9 * * 1-5").unwrap();
        assert!(weekdays.matches(30, 9, 24, 11, 2));
        for (minute, hour, weekday) in [(31, 9, 2), (30, 10, 2), (30, 9, 0)] {
            assert!(!weekdays.matches(minute, hour, 24, 11, weekday));
        }
    }

    #[test]
    fn what_platforms_read_differently_is_refused() {
        for (text, what) in [
            ("0 0 1 * 1", "both"),
            ("60 * * * *", "minute `60`"),
            ("* * L * *", "only some"),
            ("* * 31 2 *", "never comes"),
            ("5/15 * * * *", "a range"),
            ("*/0 * * * *", "step"),
            ("9-5 * * * *", "backwards"),
            ("* * * * 8", "0 to 7"),
            ("* , * * *", "hour"),
        ] {
            let error = cron(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
