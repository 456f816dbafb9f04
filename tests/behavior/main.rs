//! What every room must do: suites × rooms, each trial driving a real child process through the room's host.
//!
//! A trial is named `room::suite::what_it_shows`. A room without trials fails the run. `cargo test --test behavior
//! aws::queue` runs a part.

#![expect(clippy::print_stderr, reason = "the run says what it leaves out")]

mod cors;
mod errors;
mod events;
mod forgery;
mod http;
mod kit;
mod lifecycle;
mod triggers;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};
use xcloud_tests::parity;
use xcloud_tests::rooms::{self, Room};

/// A behaviour and what shows it.
type Behaviour = (&'static str, fn(Room) -> kit::Pending);

const SUITES: [(&str, &[Behaviour]); 11] = [
    ("http", http::BEHAVIOURS),
    ("cors", cors::BEHAVIOURS),
    ("errors", errors::BEHAVIOURS),
    ("queue", events::BEHAVIOURS),
    ("object", triggers::object::BEHAVIOURS),
    ("schedule", triggers::schedule::BEHAVIOURS),
    ("change", triggers::change::BEHAVIOURS),
    ("topic", triggers::topic::BEHAVIOURS),
    ("event", triggers::event::BEHAVIOURS),
    ("forgery", forgery::BEHAVIOURS),
    ("lifecycle", lifecycle::BEHAVIOURS),
];

/// Whether each behaviour held in each room.
static HELD: Mutex<BTreeMap<(String, String), bool>> = Mutex::new(BTreeMap::new());

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for room in rooms::all() {
        let before = trials.len();
        for (suite, behaviours) in SUITES {
            for &(name, run) in behaviours {
                trials.push(trial(room, format!("{suite}::{name}"), run));
            }
        }
        assert!(trials.len() > before, "room {} has no trials", room.name);
    }
    let all = trials.len();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let ran = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if ran.len() < all {
        // A part of the suites says nothing of the matrix.
        return conclusion.exit_code();
    }
    match compare(&parity::matrix(&rooms::all(), &ran)) {
        Ok(()) => conclusion.exit_code(),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// What a platform does not have is tried too, and must not hold: else the matrix is wrong.
fn trial(room: Room, behaviour: String, run: fn(Room) -> kit::Pending) -> Trial {
    let name = format!("{}::{behaviour}", room.name);
    let absent = parity::absent(room.name, &behaviour);
    let name = if absent.is_some() { format!("{name} (not there)") } else { name };
    let run = move || {
        let result = kit::block_on(run(room));
        let key = (room.name.to_owned(), behaviour);
        HELD.lock().unwrap_or_else(PoisonError::into_inner).insert(key, result.is_ok());
        match (result, absent) {
            (result, None) => result,
            (Err(_), Some(_)) => Ok(()),
            (Ok(()), Some(absent)) => Err(format!("it holds, and is said not to: {}", absent.why).into()),
        }
    };
    Trial::test(name, run).with_kind(room.evidence)
}

/// Fails when this run and `docs/parity.json` differ; with `XCLOUD_UPDATE_PARITY` writes it, and its page.
fn compare(matrix: &serde_json::Value) -> Result<(), String> {
    let docs = xcloud_tests::root().join("docs");
    let (json, page) = (docs.join("parity.json"), docs.join("parity.md"));
    let text = serde_json::to_string_pretty(matrix).map_err(|e| e.to_string())? + "\n";
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    let rendered = parity::page(matrix, &rooms::all());
    if std::env::var_os("XCLOUD_UPDATE_PARITY").is_some() {
        let written = std::fs::write(&json, &text).and_then(|()| std::fs::write(&page, &rendered));
        return written.map_err(|e| format!("cannot write the matrix: {e}"));
    }
    if read(&json) == text && read(&page) == rendered {
        return Ok(());
    }
    let committed: serde_json::Value = serde_json::from_str(&read(&json)).unwrap_or_default();
    Err(format!(
        "docs/parity.json or docs/parity.md is not what this run gives ({}); XCLOUD_UPDATE_PARITY=1 writes both",
        differences(&committed, matrix).join("; ")
    ))
}

fn differences(committed: &serde_json::Value, ran: &serde_json::Value) -> Vec<String> {
    let rows = |matrix: &serde_json::Value| matrix["rows"].as_array().cloned().unwrap_or_default();
    let before = rows(committed);
    let mut found = Vec::new();
    for row in rows(ran) {
        let old = before.iter().find(|old| old["capability"] == row["capability"]);
        for (room, cell) in row["cells"].as_object().into_iter().flatten() {
            let was = old.map(|old| &old["cells"][room]);
            if was != Some(cell) {
                found.push(format!("{} on {room}: {} now", row["capability"], cell["status"]));
            }
        }
    }
    found
}
