//! `xcloud logs`

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::sync::Notify;
use xcloud_core::text::parse_rfc3339;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{LogLine, LogQuery};

use super::Project;
use crate::args::{self, Args, Output};
use crate::exit;
use crate::printer::{self, Done};

/// Lines of before that `-f` begins with, when nothing else is said.
const BEFORE: usize = 10;

/// What functions have logged, oldest first; with `-f` what they log from now on too, until Ctrl-C.
pub(super) async fn run(project: &Project, args: &Args, options: &args::Logs) -> Result<Done> {
    let provider = project.operated(args).await?.provider;
    let since = options.since.as_deref().map(|text| since(text, SystemTime::now())).transpose()?;
    let before = (options.follow && since.is_none() && options.request.is_none()).then_some(BEFORE);
    let query = LogQuery {
        function: options.function.clone(),
        limit: options.lines.or(before),
        since,
        request: options.request.clone(),
    };
    if options.follow {
        let json = args.global.output == Output::Json;
        let unread = Notify::new();
        let mut take = |line| {
            if !print(&line, json) {
                unread.notify_one();
            }
        };
        let stop = xcloud_serve::terminated()?;
        tokio::select! {
            result = provider.follow(&project.stage, query, &mut take) => result?,
            () = unread.notified() => {}
            () = stop => {}
        }
        // Every line was an object; there is none left to print.
        return Ok(Done { code: exit::INTERRUPTED, silent: true, ..Done::new("", json!(null), "") });
    }
    let lines = provider.logs(&project.stage, query).await?;
    let text: String = lines.iter().map(text).collect();
    Ok(Done::new(format!("{} lines", lines.len()), json!({ "lines": lines }), text))
}

fn print(line: &LogLine, json: bool) -> bool {
    let text = if json { format!("{}\n", json!(line)) } else { text(line) };
    printer::out(text.as_bytes())
}

fn text(line: &LogLine) -> String {
    format!("{} {} {}\n", line.time, line.function, line.line)
}

/// `30s`, `10m`, `2h`, `1d` ago, or a time.
fn since(text: &str, now: SystemTime) -> Result<SystemTime> {
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return None,
        };
        let ago = number.parse::<u64>().ok()?.checked_mul(seconds)?;
        now.checked_sub(Duration::from_secs(ago))
    };
    ago().or_else(|| parse_rfc3339(text)).ok_or_else(|| {
        let message =
            format!("--since {text:?} is not a time: 30s, 10m, 2h, 1d, or like 2026-11-25T09:00:00Z");
        Error::new(ErrorKind::Config, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn times_are_ago_or_absolute() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |text: &str| since(text, now).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!((at("30s"), at("10m"), at("2h")), (999_970, 999_400, 992_800));
        assert_eq!(at("1970-01-02T00:00:00Z"), 86_400);
        for bad in ["", "m", "10", "10x", "-1m", "yesterday", "99999999999999999999d", "é"] {
            assert!(since(bad, now).unwrap_err().message().contains("--since"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_time_makes_it_panic(text in ".*") {
            drop(since(&text, SystemTime::now()));
        }
    }
}
