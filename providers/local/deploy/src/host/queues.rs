//! What the control socket answers about an app's queues.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use xcloud_core::text::{base64_encode, rfc3339};
use xcloud_core::{Error, Response, Result};
use xcloud_deploy::{Peeked, QueueStatus};

use super::app::App;
use super::control::{ok, parameter};
use super::store::{Held, now_ms};
use crate::error::json as answer_json;

/// Messages in one answer at most: what a terminal can show, and what fits into memory.
const MOST: usize = 10_000;
/// Bytes of bodies in one answer.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Answers what comes after `/apps/<key>/queues`.
pub(super) async fn answer(app: &App, method: &Method, rest: &[&str], query: &str) -> Result<Response> {
    let (store, dead) = (&app.place().store, parameter(query, "dead").is_some());
    let record = app.record();
    let known = |name: &str| match record.queues.contains(name) || record.inboxes.contains(name) {
        true => Ok(()),
        false => Err(no_queue(app, name)),
    };
    match (method, rest) {
        (&Method::GET, []) => ok(&list(app).await?),
        (&Method::GET, [name, "messages"]) => {
            known(name)?;
            let limit = parameter(query, "limit").and_then(|n| n.parse().ok()).unwrap_or(MOST);
            let held = store.peek(name, dead, limit.min(MOST)).await?;
            let mut bytes = 0;
            let fits = held.iter().take_while(|held| {
                bytes += held.body.len();
                bytes <= MOST_BYTES
            });
            ok(&fits.map(peeked).collect::<Vec<_>>())
        }
        (&Method::POST, [name, "redrive"]) => {
            known(name)?;
            ok(&json!({ "messages": store.redrive(name).await? }))
        }
        (&Method::DELETE, [name, "messages"]) => {
            known(name)?;
            ok(&json!({ "messages": store.purge(name, dead).await? }))
        }
        _ => Ok(answer_json(
            StatusCode::NOT_FOUND,
            &json!({ "kind": "NotFound", "error": "no such question about queues" }),
        )),
    }
}

fn no_queue(app: &App, name: &str) -> Error {
    let record = app.record();
    let known =
        record.queues.iter().chain(&record.inboxes).map(String::as_str).collect::<Vec<_>>().join(", ");
    let there = if known.is_empty() { "it has none".to_owned() } else { format!("it has {known}") };
    Error::not_found(format!("app {} has no queue `{name}`; {there}", app.place().key))
}

async fn list(app: &App) -> Result<Vec<QueueStatus>> {
    let store = &app.place().store;
    store.check()?;
    let mut list = Vec::new();
    let record = app.record();
    for name in record.queues.into_iter().chain(record.inboxes) {
        let counts = store.counts(&name);
        let oldest = store.peek(&name, false, 1).await?;
        list.push(QueueStatus {
            provider: "local".to_owned(),
            waiting: counts.waiting,
            in_flight: Some(counts.in_flight),
            dead: counts.dead,
            oldest: oldest.first().and_then(|held| time(held.sent)),
            name,
        });
    }
    Ok(list)
}

fn time(ms: u64) -> Option<String> {
    std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(ms)).map(rfc3339)
}

fn peeked(held: &Held) -> Peeked {
    let later = held.due.filter(|due| *due > now_ms() && !held.in_flight);
    let state = match held.due {
        None => "dead",
        Some(_) if held.in_flight => "in-flight",
        Some(_) if later.is_some() => "delayed",
        Some(_) => "waiting",
    };
    Peeked {
        id: held.id.clone(),
        sent: time(held.sent),
        attempts: held.attempts,
        state: state.to_owned(),
        due: later.and_then(time),
        error: held.why.clone(),
        body: body(&held.body),
    }
}

fn body(bytes: &[u8]) -> Value {
    if let Ok(json) = serde_json::from_slice(bytes) {
        return json;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => base64_encode(bytes).into(),
    }
}
