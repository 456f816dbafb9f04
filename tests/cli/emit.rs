//! Events put in by hand under `xcloud dev --as`: they reach the handler over that cloud's wire.

use std::path::Path;

use serde_json::Value;

use crate::dev::{Dev, app};

/// A handler for each kind of event; what each logs says what it was given.
const MAIN: &str = r#"
use serde::Deserialize;
use xcloud::{App, Change, CloudEvent, Context, Object, Queue, Result, Tick, Topic, handler};

#[derive(Deserialize)]
struct Entry {
    by: String,
}

#[handler(object = "images")]
async fn see(object: Object, cx: Context) -> Result<()> {
    cx.log().info(format!("object {} in {}", object.key, object.bucket));
    Ok(())
}

#[handler(schedule = "0 4 1 1 *")]
async fn sweep(tick: Tick, cx: Context) -> Result<()> {
    cx.log().info(format!("tick, on time: {}", tick.lateness().as_secs() < 60));
    Ok(())
}

#[handler(change = "ledger")]
async fn audit(change: Change<Entry>, cx: Context) -> Result<()> {
    let by = change.new.as_ref().map(|entry| entry.by.as_str());
    cx.log().info(format!("change of {} by {by:?}", change.key));
    Ok(())
}

#[handler(topic = "news")]
async fn hear(news: Topic<Entry>, cx: Context) -> Result<()> {
    cx.log().info(format!("news by {}", news.by));
    Ok(())
}

#[handler(queue = "things")]
async fn work(things: Queue<Entry>, cx: Context) -> Result<()> {
    for thing in &things {
        cx.log().info(format!("thing by {}", thing.by));
    }
    Ok(())
}

#[handler(event)]
async fn notice(event: CloudEvent, cx: Context) -> Result<()> {
    cx.log().info(format!("event {} with {}", event.ty, event.json::<Entry>()?.by));
    Ok(())
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![see, sweep, audit, hear, work, notice]))
}
"#;

fn emit(directory: &Path, arguments: &[&str]) {
    let place = directory.display().to_string();
    let emitted = crate::xcloud(directory, &[&["-C", &place, "emit"], arguments].concat());
    assert!(emitted.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&emitted.stderr));
}

/// That a function has logged this in a call.
fn logged(dev: &mut Dev, function: &str, text: &str) {
    let said = |event: &Value| event["line"].as_str().is_some_and(|line| line.contains(text));
    let line = dev.ever(text, |event| event["function"] == function && said(event));
    assert!(line["request_id"].is_string(), "{line}");
}

#[test]
fn as_every_cloud_what_is_emitted_reaches_its_handler() {
    let directory = app("dev-emit", MAIN);
    let file = directory.join("picture");
    std::fs::write(&file, "12345").expect("it can be written");
    for cloud in ["aws", "azure", "gcp", "alibaba"] {
        let mut dev = Dev::start(&directory, &["--as", cloud, "-v"]);
        dev.event("served");
        let (key, row) = (format!("{cloud}.png"), format!(r#"{{"by":"{cloud}"}}"#));
        let event = format!(r#"{{"type":"Paid","data":{row}}}"#);
        emit(&directory, &["object", "images", &file.display().to_string(), "--key", &key]);
        emit(&directory, &["tick", "sweep"]);
        emit(&directory, &["change", "ledger", "r-1", &row]);
        emit(&directory, &["topic", "news", &row]);
        emit(&directory, &["message", "things", &row]);
        emit(&directory, &["event", &event]);
        logged(&mut dev, "see", &format!("object {key} in "));
        logged(&mut dev, "sweep", "tick, on time: true");
        logged(&mut dev, "audit", &format!("change of r-1 by Some(\\\"{cloud}\\\")"));
        logged(&mut dev, "hear", &format!("news by {cloud}"));
        logged(&mut dev, "work", &format!("thing by {cloud}"));
        logged(&mut dev, "notice", &format!("event Paid with {cloud}"));
        made_up(&mut dev, &directory, cloud);
        let (code, events) = dev.interrupt();
        assert_eq!(code, Some(0), "{cloud}: {events:#?}");
        over_its_wire(cloud, &events);
    }
}

/// `invoke --example` of each kind is shown as that cloud's event, sent over its wire, and answered.
fn made_up(dev: &mut Dev, directory: &Path, cloud: &str) {
    let row = format!(r#"{{"by":"{cloud}, made up"}}"#);
    let by = format!("by {cloud}, made up");
    let kinds = [
        ("object", "made-up.png", "see", "object made-up.png in ".to_owned()),
        ("schedule", "", "sweep", "tick, on time".to_owned()),
        ("change", &row, "audit", format!("change of example by Some(\\\"{cloud}, made up")),
        ("topic", &row, "hear", format!("news {by}")),
        ("queue", &row, "work", format!("thing {by}")),
        ("event", &row, "notice", format!("event dev.xcloud.example with {cloud}, made up")),
    ];
    let marks = marks(cloud);
    for ((kind, data, function, text), mark) in kinds.into_iter().zip(marks) {
        let place = directory.display().to_string();
        let arguments = ["-C", &place, "invoke", "--example", kind, "--as", cloud, "-d", data, "-o", "json"];
        let output = crate::xcloud(directory, &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let answer: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert!(
            output.status.success() && answer["data"]["status"] == 200,
            "{cloud} {kind}: {answer} {stderr}"
        );
        assert!(stderr.contains(mark), "{cloud} {kind}: {mark} is not in {stderr}");
        logged(dev, function, &text);
    }
}

/// What only this cloud's events of each kind have: object, tick, row, topic's message, queue's message, any other.
fn marks(cloud: &str) -> [&'static str; 6] {
    match cloud {
        "aws" => ["aws:s3", "Scheduled", "aws:dynamodb", "aws:sns", "aws:sqs", "detail-type"],
        "azure" => [
            "Microsoft.Storage.Blob",
            "ScheduleStatus",
            "\"Data\"",
            "ApplicationProperties",
            "DequeueCount",
            "dev.xcloud.example",
        ],
        "gcp" => {
            ["storage.object", "scheduler", "firestore", "fixture-dev-news", "\"subscription\"", "ce-type"]
        }
        _ => ["oss", "triggerTime", "x-fc-", "TopicOwner", "mns:Queue:SendMessage", "dev.xcloud.example"],
    }
}

/// Each function's call is shown in that cloud's form.
fn over_its_wire(cloud: &str, events: &[Value]) {
    for function in ["see", "sweep", "audit", "hear", "work", "notice"] {
        let shown = |event: &&Value| {
            let line = serde_json::from_str::<Value>(event["line"].as_str().unwrap_or_default());
            event["function"] == function && line.is_ok_and(|l| l["form"] == cloud && l["way"] == "in")
        };
        assert!(events.iter().any(|event| shown(&event)), "{cloud} {function}: {events:#?}");
    }
}
