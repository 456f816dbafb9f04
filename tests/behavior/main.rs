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

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use xcloud_tests::rooms::{self, Room};

/// A behaviour and what shows it.
type Behaviour = (&'static str, fn(Room) -> kit::Pending);

const SUITES: [(&str, &[Behaviour]); 6] = [
    ("http", http::BEHAVIOURS),
    ("cors", cors::BEHAVIOURS),
    ("errors", errors::BEHAVIOURS),
    ("queue", events::BEHAVIOURS),
    ("forgery", forgery::BEHAVIOURS),
    ("lifecycle", lifecycle::BEHAVIOURS),
];

/// Behaviours that a platform does not have; printed with every run.
const NOT_THERE: &[(&str, &str, &str)] = &[(
    "aws",
    "calls_at_once_do_not_wait_for_each_other",
    "classic Lambda gives an instance one call at a time; managed instances are tried with the real emulator in tests/peers",
)];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for room in rooms::all() {
        let before = trials.len();
        for (suite, behaviours) in SUITES {
            for &(name, run) in behaviours {
                if let Some((_, _, why)) = NOT_THERE.iter().find(|(r, b, _)| *r == room.name && *b == name) {
                    eprintln!("not there: {}::{suite}::{name}: {why}", room.name);
                    continue;
                }
                let name = format!("{}::{suite}::{name}", room.name);
                trials.push(Trial::test(name, move || kit::block_on(run(room))).with_kind(room.evidence));
            }
        }
        assert!(trials.len() > before, "room {} has no trials", room.name);
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
