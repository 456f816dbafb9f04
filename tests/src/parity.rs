//! The parity matrix: what works where, and who says so. The behaviour suites fill it in; `docs/parity.json` is what
//! they filled in last, and a run that differs from it fails.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rooms::Room;

/// A capability, and the behaviours that show it.
#[derive(Debug)]
pub struct Row {
    /// In the words of a user.
    pub capability: &'static str,
    /// `trigger`, `http` or `lifecycle`.
    pub group: &'static str,
    /// `suite::behaviour`; all of them must hold.
    pub shown_by: &'static [&'static str],
}

/// A behaviour that a platform does not have. It is tried all the same and must not hold.
#[derive(Debug)]
pub struct Absent {
    /// The room.
    pub room: &'static str,
    /// `suite::behaviour`.
    pub behaviour: &'static str,
    /// Why, for the reader of the matrix.
    pub why: &'static str,
    /// The platform's own page that says so.
    pub page: &'static str,
}

/// Someone who says more than our simulator does.
#[derive(Debug)]
pub struct Witness {
    /// The room.
    pub room: &'static str,
    /// The capability.
    pub capability: &'static str,
    /// `vendor` or `third-party`.
    pub evidence: &'static str,
    /// The trial of `tests/peers` that asks them.
    pub trial: &'static str,
}

const fn row(capability: &'static str, group: &'static str, shown_by: &'static [&'static str]) -> Row {
    Row { capability, group, shown_by }
}

/// Every capability.
pub const ROWS: &[Row] = &[
    row("HTTP requests", "trigger", &["http::a_route_answers", "http::method_path_and_body_arrive_as_sent"]),
    row("queue messages", "trigger", &["queue::a_message_is_handled", "queue::a_batch_is_handled_in_order"]),
    row("objects written", "trigger", &["object::object_created", "object::object_failure_comes_again"]),
    row("objects removed", "trigger", &["object::object_deleted"]),
    row("schedules", "trigger", &["schedule::tick_arrives", "schedule::tick_failure_comes_again"]),
    row(
        "rows written",
        "trigger",
        &[
            "change::change_created",
            "change::change_failure_comes_again",
            "change::change_of_another_type_is_refused_and_the_next_flows",
        ],
    ),
    row("rows removed", "trigger", &["change::change_deleted"]),
    row("the row before a change", "trigger", &["change::change_updated_with_old_image"]),
    row(
        "messages of topics",
        "trigger",
        &[
            "topic::topic_message",
            "topic::topic_failure_comes_again",
            "topic::topic_message_of_another_type_is_refused_and_the_next_flows",
        ],
    ),
    row("attributes of topics' messages", "trigger", &["topic::topic_attributes"]),
    row(
        "any CloudEvent",
        "trigger",
        &["event::event_of_the_application", "event::event_failure_comes_again"],
    ),
    row("an idempotency key", "trigger", &["event::an_event_keeps_its_key_on_every_delivery"]),
    row("retry of single messages of a batch", "trigger", &["queue::only_the_failed_message_comes_again"]),
    row(
        "retry of a whole batch",
        "trigger",
        &["queue::a_failing_batch_comes_again", "queue::partial_failure"],
    ),
    row("the number of the attempt", "trigger", &["queue::the_attempt_is_known"]),
    row(
        "poison messages do not stop the others",
        "trigger",
        &["queue::a_message_of_another_type_fails_alone", "queue::a_message_that_is_not_utf8_fails_alone"],
    ),
    row("outsiders cannot make events", "trigger", &["forgery::a_forged_event_is_an_ordinary_request"]),
    row("JSON bodies", "http", &["http::json_goes_in_and_out", "errors::malformed_json_is_400"]),
    row("path parameters", "http", &["http::path_parameters_are_decoded"]),
    row("repeated query keys", "http", &["http::repeated_query_keys_are_kept"]),
    row("repeated request headers", "http", &["http::repeated_request_headers_are_kept"]),
    row("several cookies", "http", &["http::two_cookies_are_set_and_repeated_headers_survive"]),
    row(
        "binary bodies",
        "http",
        &["http::binary_bodies_pass_both_ways", "http::a_body_that_looks_like_base64_stays_text"],
    ),
    row("large bodies", "http", &["http::large_bodies_pass", "errors::an_oversized_body_is_413"]),
    row(
        "streamed answers",
        "http",
        &["http::a_streamed_answer_arrives_whole", "http::an_empty_stream_is_an_empty_answer"],
    ),
    row("a mounted axum router", "http", &["http::a_mounted_router_answers_the_rest"]),
    row("HEAD", "http", &["http::head_is_get_without_the_body"]),
    row(
        "errors and panics are answers",
        "http",
        &[
            "errors::a_failure_is_500_and_keeps_its_secret",
            "errors::a_panic_is_500_and_the_instance_lives_on",
        ],
    ),
    row("deadline", "lifecycle", &["errors::past_the_deadline_is_504_and_the_instance_lives_on"]),
    row("deadline of events", "lifecycle", &["queue::past_the_deadline_the_batch_comes_again"]),
    row("remaining time", "lifecycle", &["lifecycle::the_remaining_time_is_known"]),
    row(
        "init errors",
        "lifecycle",
        &[
            "lifecycle::a_failing_init_is_reported_and_ends_the_instance",
            "lifecycle::a_panicking_init_is_reported_and_ends_the_instance",
        ],
    ),
    row("graceful stop", "lifecycle", &["lifecycle::the_shutdown_hook_runs_before_the_end"]),
    row("cold start is known", "lifecycle", &["lifecycle::the_first_call_is_the_cold_one"]),
    row("state made once", "lifecycle", &["http::state_is_made_once"]),
    row("several calls at once", "lifecycle", &["lifecycle::calls_at_once_do_not_wait_for_each_other"]),
    row("log lines of a call", "lifecycle", &["lifecycle::a_tracing_event_is_a_json_line_of_its_call"]),
];

/// What platforms do not have.
pub const ABSENT: &[Absent] = &[
    Absent {
        room: "azure",
        behaviour: "lifecycle::the_shutdown_hook_runs_before_the_end",
        why: "the Functions host kills a custom handler; nothing tells it before",
        page: "https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers",
    },
    Absent {
        room: "alibaba",
        behaviour: "queue::only_the_failed_message_comes_again",
        why: "a call answers for all messages that it brought: one failure brings all back",
        page: "https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/custom-runtime",
    },
    Absent {
        room: "aws",
        behaviour: "lifecycle::calls_at_once_do_not_wait_for_each_other",
        why: "Lambda gives an instance one call at a time and starts another instance; managed instances are tried with \
              AWS's own emulator (rie::managed)",
        page: "https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html",
    },
    Absent {
        room: "azure",
        behaviour: "change::change_deleted",
        why: "the change feed of Cosmos DB has no deletes",
        page: "https://learn.microsoft.com/azure/azure-functions/functions-bindings-cosmosdb-v2-trigger",
    },
    Absent {
        room: "azure",
        behaviour: "change::change_updated_with_old_image",
        why: "the change feed of Cosmos DB gives the document as it is now",
        page: "https://learn.microsoft.com/azure/cosmos-db/change-feed",
    },
    Absent {
        room: "alibaba",
        behaviour: "change::change_updated_with_old_image",
        why: "a Tablestore trigger gives what was written, not what was there before",
        page: "https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/tablestore-triggers",
    },
];

const fn vendor(room: &'static str, capability: &'static str, trial: &'static str) -> Witness {
    Witness { room, capability, evidence: "vendor", trial }
}

const fn third(room: &'static str, capability: &'static str, trial: &'static str) -> Witness {
    Witness { room, capability, evidence: "third-party", trial }
}

/// Where more than our own simulator says so. A library that reads what our host writes says that the wire is right, not
/// that the platform calls again.
pub const WITNESSES: &[Witness] = &[
    vendor("aws", "HTTP requests", "rie::classic"),
    vendor("aws", "queue messages", "rie::classic"),
    vendor("aws", "streamed answers", "rie::streams"),
    vendor("aws", "init errors", "rie::init_error"),
    vendor("aws", "graceful stop", "rie::graceful_stop"),
    third("aws", "objects written", "powertools::objects"),
    third("aws", "objects removed", "powertools::objects"),
    third("aws", "schedules", "powertools::schedules"),
    third("aws", "rows written", "powertools::changes"),
    third("aws", "rows removed", "powertools::changes"),
    third("aws", "the row before a change", "powertools::changes"),
    third("aws", "messages of topics", "powertools::topics"),
    third("aws", "attributes of topics' messages", "powertools::topics"),
    third("aws", "any CloudEvent", "powertools::events"),
    third("aws", "the number of the attempt", "powertools::queue_messages"),
    third("azure", "queue messages", "azure_functions::queue_messages"),
    third("azure", "the number of the attempt", "azure_functions::queue_messages"),
    third("azure", "objects written", "azure_functions::objects"),
    third("azure", "objects removed", "azure_functions::objects"),
    third("azure", "schedules", "azure_functions::schedules"),
    third("azure", "rows written", "azure_functions::changes"),
    third("azure", "messages of topics", "azure_functions::topics"),
    third("azure", "attributes of topics' messages", "azure_functions::topics"),
    third("azure", "any CloudEvent", "azure_functions::events"),
    third("gcp", "any CloudEvent", "functions_framework::events"),
    third("gcp", "objects written", "functions_framework::objects"),
    third("gcp", "objects removed", "functions_framework::objects"),
    third("gcp", "rows written", "functions_framework::changes"),
    third("gcp", "rows removed", "functions_framework::changes"),
    third("gcp", "the row before a change", "functions_framework::changes"),
    third("gcp", "messages of topics", "functions_framework::topics"),
    third("gcp", "attributes of topics' messages", "functions_framework::topics"),
    third("gcp", "queue messages", "functions_framework::queue_messages"),
];

/// The absence of a behaviour in a room.
pub fn absent(room: &str, behaviour: &str) -> Option<&'static Absent> {
    ABSENT.iter().find(|absent| absent.room == room && absent.behaviour == behaviour)
}

/// The matrix that a run gives: `held` says of room and behaviour whether it did.
pub fn matrix(rooms: &[Room], held: &BTreeMap<(String, String), bool>) -> Value {
    let rows = ROWS.iter().map(|row| {
        let cells: serde_json::Map<String, Value> =
            rooms.iter().map(|room| (room.name.to_owned(), cell(row, room, held))).collect();
        json!({ "capability": row.capability, "group": row.group, "cells": cells })
    });
    json!({ "rows": rows.collect::<Vec<_>>() })
}

fn cell(row: &Row, room: &Room, held: &BTreeMap<(String, String), bool>) -> Value {
    if let Some(absent) = row.shown_by.iter().find_map(|behaviour| absent(room.name, behaviour)) {
        let why = format!("{} ({})", absent.why, absent.page);
        return json!({ "status": "unsupported", "why": why, "evidence": "negative trial" });
    }
    let did = |behaviour: &&str| held.get(&(room.name.to_owned(), (*behaviour).to_owned())).copied();
    if row.shown_by.iter().any(|behaviour| did(behaviour) != Some(true)) {
        return json!({ "status": "missing", "why": null, "evidence": null });
    }
    let witness = WITNESSES.iter().find(|w| w.room == room.name && w.capability == row.capability);
    let (evidence, by) = match witness {
        Some(witness) => (witness.evidence, vec![format!("tests/peers {}", witness.trial)]),
        None if has_vectors(room, row) => ("vectors", Vec::new()),
        None => (room.evidence, Vec::new()),
    };
    let behaviours =
        row.shown_by.iter().map(|behaviour| format!("tests/behavior {}::{behaviour}", room.name));
    let by: Vec<_> = by.into_iter().chain(behaviours).collect();
    json!({ "status": "works", "why": null, "evidence": evidence, "by": by })
}

/// Whether the room holds golden events of the row's trigger, each of which names its first-party source.
fn has_vectors(room: &Room, row: &Row) -> bool {
    let folder = match row.capability {
        "objects written" | "objects removed" => "object",
        "schedules" => "schedule",
        "rows written" | "rows removed" | "the row before a change" => "change",
        "messages of topics" | "attributes of topics' messages" => "topic",
        "queue messages" => "queue",
        _ => return false,
    };
    let wire = crate::root().join("providers").join(room.name).join("fixtures/wire").join(folder);
    wire.is_dir()
}

/// The matrix as a page.
pub fn page(matrix: &Value, rooms: &[Room]) -> String {
    let mut text = String::from(
        "# What works where\n\nWritten by the behaviour suites (`XCLOUD_UPDATE_PARITY=1 cargo test -p xcloud-tests --test behavior`), from the \
         same results as [parity.json](parity.json). A run that differs from this page fails.\n\nWho says so: **vendor**, the \
         vendor's own emulator (for `local`, the platform itself); **third-party**, someone else's emulator or SDK; **vectors**, events \
         from the vendor's documentation, with their source in `providers/*/fixtures`; **simulator**, our own transcription of the \
         platform alone. – is not there, for the reason below.\n",
    );
    let mut notes: Vec<String> = Vec::new();
    let rows: Vec<&Value> = matrix["rows"].as_array().into_iter().flatten().collect();
    for group in ["trigger", "http", "lifecycle"] {
        let names: Vec<_> = rooms.iter().map(|room| room.name).collect();
        text +=
            &format!("\n## {group}\n\n| | {} |\n|{}\n", names.join(" | "), " --- |".repeat(names.len() + 1));
        for row in rows.iter().filter(|row| row["group"] == group) {
            let cells: Vec<_> = names.iter().map(|room| word(&row["cells"][*room], &mut notes)).collect();
            text +=
                &format!("| {} | {} |\n", row["capability"].as_str().unwrap_or_default(), cells.join(" | "));
        }
    }
    text += "\n## Not there\n\n";
    for (at, note) in notes.iter().enumerate() {
        text += &format!("{}. {note}\n", at + 1);
    }
    text
}

fn word(cell: &Value, notes: &mut Vec<String>) -> String {
    match cell["status"].as_str() {
        Some("works") => cell["evidence"].as_str().unwrap_or_default().to_owned(),
        Some("unsupported") => {
            let why = cell["why"].as_str().unwrap_or_default().to_owned();
            let at = notes.iter().position(|note| *note == why).unwrap_or_else(|| {
                notes.push(why);
                notes.len() - 1
            });
            format!("– ({})", at + 1)
        }
        _ => "missing".to_owned(),
    }
}
