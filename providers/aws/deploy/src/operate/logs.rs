//! What functions have logged, from CloudWatch Logs.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use serde_json::Value;
use xcloud_core::Result;
use xcloud_core::text::rfc3339;
use xcloud_deploy::{LogLine, LogQuery, Stage, Take};

use super::live::{live, one};
use crate::Aws;
use crate::client::Session;
use crate::error::{failed, optional};

/// How far back logs are read where nothing is said.
const LOOKBACK: Duration = Duration::from_secs(3600);
/// Between two looks for new lines. A look is a call; CloudWatch takes five a second of an account.
const LOOK: Duration = Duration::from_secs(1);
/// Lines come late and out of order: so far back each look begins again.
const LATE: i64 = 15_000;

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The log groups that are asked for, by the function's name in the app.
async fn groups(aws: &Aws, stage: &Stage, query: &LogQuery) -> Result<BTreeMap<String, String>> {
    let (session, names) = aws.session(stage).await?;
    let functions = match &query.function {
        Some(name) => vec![one(session, &names, name).await?],
        None => live(session, &names).await?,
    };
    Ok(functions.into_iter().map(|live| (live.name, names.log_group(&live.resource))).collect())
}

/// Lines of all functions, oldest first.
pub(crate) async fn logs(aws: &Aws, stage: &Stage, query: LogQuery) -> Result<Vec<LogLine>> {
    let (session, _) = aws.session(stage).await?;
    let since = query.since.unwrap_or_else(|| SystemTime::now() - LOOKBACK);
    let mut all = Vec::new();
    for (function, group) in groups(aws, stage, &query).await? {
        let events = events(session, &group, millis(since)).await?;
        all.extend(
            events.into_iter().map(|event| (event.timestamp.unwrap_or_default(), line(&function, event))),
        );
    }
    all.sort_by_key(|(time, _)| *time);
    let mut lines: Vec<_> =
        all.into_iter().map(|(_, line)| line).filter(|line| wanted(&query, line)).collect();
    if let Some(limit) = query.limit {
        lines.drain(..lines.len().saturating_sub(limit));
    }
    Ok(lines)
}

fn wanted(query: &LogQuery, line: &LogLine) -> bool {
    query
        .request
        .as_ref()
        .is_none_or(|id| line.request_id.as_ref().is_some_and(|own| own.ends_with(id.as_str())))
}

async fn events(session: &Session, group: &str, since: i64) -> Result<Vec<FilteredLogEvent>> {
    let asked = session.read.logs().filter_log_events().log_group_name(group).start_time(since);
    let asked = asked.into_paginator().send().try_collect().await;
    // A function that was never called has no lines; one that is being deleted has no group.
    let pages = optional(asked.map_err(failed("logs:FilterLogEvents", group)))?.unwrap_or_default();
    Ok(pages.into_iter().flat_map(|page| page.events.unwrap_or_default()).collect())
}

fn line(function: &str, event: FilteredLogEvent) -> LogLine {
    let text = event.message.unwrap_or_default().trim_end().to_owned();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let platform = json["type"].as_str().is_some_and(|ty| ty.starts_with("platform."))
        || ["START ", "END ", "REPORT ", "INIT_START "].iter().any(|word| text.starts_with(word));
    let time =
        UNIX_EPOCH + Duration::from_millis(event.timestamp.unwrap_or_default().try_into().unwrap_or(0));
    LogLine {
        time: rfc3339(time),
        function: function.to_owned(),
        stream: if platform { "platform" } else { "stdout" }.to_owned(),
        request_id: request_id(&json, &text),
        line: text,
    }
}

/// The call that a line belongs to: our own JSON lines, Lambda's, and Lambda's in text.
fn request_id(json: &Value, text: &str) -> Option<String> {
    let fields = [&json["requestId"], &json["request_id"], &json["record"]["requestId"]];
    let named = fields.into_iter().find_map(|field| field.as_str().map(str::to_owned));
    let after = || text.split_once("RequestId: ").and_then(|(_, rest)| rest.split_whitespace().next());
    named.or_else(|| after().map(str::to_owned))
}

/// Hands over what [`logs`] gives, and then each new line, until the future is dropped.
pub(crate) async fn follow(aws: &Aws, stage: &Stage, query: LogQuery, take: &mut Take<'_>) -> Result<()> {
    let (session, _) = aws.session(stage).await?;
    let groups = groups(aws, stage, &query).await?;
    let started = millis(SystemTime::now());
    for line in logs(aws, stage, query.clone()).await? {
        take(line);
    }
    let mut seen: HashSet<String> = HashSet::new();
    // What the first look found is not new.
    for group in groups.values() {
        let found = events(session, group, started - LATE).await?.into_iter();
        let old = found.filter(|event| event.timestamp.unwrap_or_default() < started);
        seen.extend(old.filter_map(|event| event.event_id));
    }
    loop {
        let from = millis(SystemTime::now()) - LATE;
        let mut new = Vec::new();
        for (function, group) in &groups {
            for event in events(session, group, from.max(started - LATE)).await? {
                let id = event.event_id.clone().unwrap_or_default();
                if seen.insert(id) {
                    new.push((event.timestamp.unwrap_or_default(), line(function, event)));
                }
            }
        }
        new.sort_by_key(|(time, _)| *time);
        for (_, line) in new.into_iter().filter(|(_, line)| wanted(&query, line)) {
            take(line);
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_belongs_to_its_call_in_every_form() {
        let id = |text: &str| {
            let event = FilteredLogEvent::builder().message(text).timestamp(0).build();
            let line = line("http", event);
            (line.stream, line.request_id)
        };
        let platform = ("platform".to_owned(), Some("r-1".to_owned()));
        assert_eq!(id("REPORT RequestId: r-1 Duration: 1 ms\n"), platform);
        assert_eq!(id(r#"{"type":"platform.report","record":{"requestId":"r-1"}}"#), platform);
        let own = ("stdout".to_owned(), Some("r-1".to_owned()));
        assert_eq!(id(r#"{"level":"INFO","message":"x","requestId":"r-1"}"#), own);
        assert_eq!(id("plain"), ("stdout".to_owned(), None));
    }
}
