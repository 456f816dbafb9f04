//! What providers say of themselves is what the matrix says.

use std::collections::BTreeSet;

use serde_json::Value;
use xcloud_deploy::check::Limits;

use crate::root;

/// A kind of trigger, and the capability that stands for it.
const KINDS: [(&str, &str); 7] = [
    ("http", "HTTP requests"),
    ("queue", "queue messages"),
    ("object", "objects written"),
    ("schedule", "schedules"),
    ("change", "rows written"),
    ("topic", "messages of topics"),
    ("event", "any CloudEvent"),
];

fn matrix() -> Value {
    let text = std::fs::read_to_string(root().join("docs/parity.json")).expect("the matrix is there");
    serde_json::from_str(&text).expect("the matrix is JSON")
}

fn works(matrix: &Value, capability: &str, room: &str) -> bool {
    let rows = matrix["rows"].as_array().into_iter().flatten();
    let row = rows.clone().find(|row| row["capability"] == capability);
    row.unwrap_or_else(|| panic!("no row `{capability}`"))["cells"][room]["status"] == "works"
}

#[test]
fn capabilities_are_what_the_matrix_says() {
    let matrix = matrix();
    let clouds: [&Limits; 4] = [
        &xcloud_aws_deploy::check::LIMITS,
        &xcloud_azure_deploy::check::LIMITS,
        &xcloud_gcp_deploy::check::LIMITS,
        &xcloud_alibaba_deploy::check::LIMITS,
    ];
    for limits in clouds {
        let room = limits.provider;
        // `raw` is the platform's own event past all kinds: no row of its own.
        let says: BTreeSet<&str> = limits.triggers.is.iter().copied().filter(|kind| *kind != "raw").collect();
        let shown: BTreeSet<&str> = KINDS
            .iter()
            .filter(|(_, capability)| works(&matrix, capability, room))
            .map(|(kind, _)| *kind)
            .collect();
        assert_eq!(says, shown, "{room}");
        // Where a call brings one message, what fails is retried alone of itself.
        let single = limits.partial_failure.is || limits.batch.is == Some(1);
        assert_eq!(single, works(&matrix, "retry of single messages of a batch", room), "{room}");
        assert_eq!(limits.streaming.is, works(&matrix, "streamed answers", room), "{room}");
    }
}

#[test]
fn the_matrix_has_no_gap_in_what_was_promised() {
    let matrix = matrix();
    for row in matrix["rows"].as_array().into_iter().flatten() {
        for (room, cell) in row["cells"].as_object().into_iter().flatten() {
            assert_ne!(cell["status"], "missing", "{} on {room}", row["capability"]);
            let why = cell["why"].as_str().unwrap_or_default();
            assert!(cell["status"] != "unsupported" || why.contains("https://"), "{room}: {why}");
        }
    }
}
