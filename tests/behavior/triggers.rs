//! Objects, schedules, changes, topics, CloudEvents: what arrives, what fails, what comes again.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use xcloud_core::event::{ChangeKind, CloudEvent, ObjectAction, Payload, Record};
use xcloud_core::text::rfc3339;
use xcloud_serve::host::{Delivery, Host};
use xcloud_tests::rooms::Room;

use crate::kit::{self, ensure, same};

/// A behaviour of each of the five kinds.
macro_rules! suite {
    ($suite:ident: $($name:ident),* $(,)?) => {
        pub(crate) mod $suite {
            pub(crate) const BEHAVIOURS: &[crate::Behaviour] =
                &[$((stringify!($name), |room| Box::pin(super::$name(room)))),*];
        }
    };
}
suite!(object: object_created, object_deleted, object_of_another_action_is_left_alone, object_failure_comes_again);
suite!(schedule: tick_arrives, tick_failure_comes_again);
suite!(change: change_created, change_updated_with_old_image, change_deleted, change_failure_comes_again,
    change_of_another_type_is_refused_and_the_next_flows);
suite!(topic: topic_message, topic_attributes, topic_failure_comes_again,
    topic_message_of_another_type_is_refused_and_the_next_flows);
suite!(event: event_of_the_application, event_failure_comes_again, an_event_keeps_its_key_on_every_delivery);

/// One event of each kind, and the function of the fixture that takes it.
pub(crate) fn one_of_each() -> [(&'static str, Record); 5] {
    [
        ("see", object("1", "a", ObjectAction::Created, "uploads")),
        ("sweep", tick("2")),
        ("audit", change("3", ChangeKind::Created, None, row("ok"))),
        ("hear", topic("4", "hi")),
        ("notice", application("5", "ok")),
    ]
}

const WHEN: u64 = 1_795_464_000;

fn event(id: &str) -> CloudEvent {
    CloudEvent {
        id: id.to_owned(),
        source: "shop.test".to_owned(),
        ty: "OrderPaid".to_owned(),
        subject: None,
        time: Some(rfc3339(UNIX_EPOCH + Duration::from_secs(WHEN))),
        datacontenttype: Some("application/json".to_owned()),
        extensions: Vec::new(),
        data: Bytes::new(),
    }
}

fn object(id: &str, key: &str, action: ObjectAction, bucket: &str) -> Record {
    let payload = Payload::Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        action,
        size: Some(5),
        etag: Some("b1946ac92492d2347c6235b4d2611184".to_owned()),
        version: None,
    };
    Record::new(event(id), payload, bucket)
}

fn tick(id: &str) -> Record {
    let payload =
        Payload::Tick { name: Some("sweep".to_owned()), scheduled: UNIX_EPOCH + Duration::from_secs(WHEN) };
    Record::new(event(id), payload, "sweep")
}

fn row(action: &str) -> Option<Bytes> {
    Some(Bytes::from(json!({ "id": "r-1", "action": action }).to_string()))
}

fn change(id: &str, kind: ChangeKind, old: Option<Bytes>, new: Option<Bytes>) -> Record {
    Record::new(event(id), Payload::Change { kind, key: "r-1".to_owned(), old, new }, "ledger")
}

fn topic(id: &str, body: &str) -> Record {
    let attributes = vec![("colour".to_owned(), "red".to_owned())];
    let payload = Payload::Topic { body: Bytes::from(body.to_owned()), attributes };
    Record::new(event(id), payload, "news")
}

fn application(id: &str, action: &str) -> Record {
    let data = Bytes::from(json!({ "action": action, "total": 7 }).to_string());
    let event = CloudEvent { data, subject: Some("orders/o-1".to_owned()), ..event(id) };
    Record::new(event, Payload::Event, "shop.test")
}

async fn start(room: Room, function: &str) -> Result<Box<dyn Host>, Failed> {
    kit::start(room, kit::launch(Some(function))).await
}

async fn send(host: &dyn Host, function: &str, record: Record) -> Result<Delivery, Failed> {
    host.record(function, record).await.map_err(kit::failed)
}

/// Sends, and gives what the handler saw.
async fn seen(host: &dyn Host, function: &str, record: Record) -> Result<Value, Failed> {
    let before = lines(host).len();
    same!(send(host, function, record).await?, Delivery::Done, "delivery");
    let end = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(line) = lines(host).get(before) {
            return Ok(line.clone());
        }
        ensure!(std::time::Instant::now() < end, "the handler saw nothing; it wrote: {}", host.output());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What handlers saw so far. The line is JSON in every dialect, with the sight as text in its message.
fn lines(host: &dyn Host) -> Vec<Value> {
    let output = host.output();
    let logged = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let sights = logged.filter_map(|line| {
        let message = line.get("message").and_then(Value::as_str)?.strip_prefix("saw ")?.to_owned();
        serde_json::from_str(&message).ok()
    });
    sights.collect()
}

async fn fails_and_comes_again(
    host: &dyn Host,
    function: &str,
    bad: [Record; 2],
    good: Record,
) -> Result<(), Failed> {
    for record in bad {
        let delivery = send(host, function, record).await?;
        ensure!(delivery != Delivery::Done, "a failure was taken for success: {delivery:?}");
    }
    seen(host, function, good).await.map(drop)
}

async fn object_created(room: Room) -> Result<(), Failed> {
    let host = start(room, "see").await?;
    let key = "folder/red flower+é %20.jpg";
    let saw = seen(&*host, "see", object("1", key, ObjectAction::Created, "uploads")).await?;
    same!(saw["what"]["key"], key, "key");
    same!(saw["what"]["action"], "created", "action");
    same!(saw["what"]["size"], 5, "size");
    let bucket = saw["what"]["bucket"].as_str().unwrap_or_default();
    ensure!(bucket.ends_with("uploads"), "bucket {bucket}");
    Ok(())
}

async fn object_deleted(room: Room) -> Result<(), Failed> {
    let host = start(room, "see").await?;
    let saw = seen(&*host, "see", object("1", "gone.txt", ObjectAction::Deleted, "uploads")).await?;
    same!(saw["what"]["action"], "deleted", "action");
    same!(saw["what"]["key"], "gone.txt", "key");
    Ok(())
}

/// A bucket's notifications may be wider than what one handler asked for.
async fn object_of_another_action_is_left_alone(room: Room) -> Result<(), Failed> {
    let host = start(room, "new-only").await?;
    let gone = object("1", "gone.txt", ObjectAction::Deleted, "inbox");
    same!(send(&*host, "new-only", gone).await?, Delivery::Done, "delivery");
    let saw = seen(&*host, "new-only", object("2", "new.txt", ObjectAction::Created, "inbox")).await?;
    same!(saw["what"]["key"], "new.txt", "the first that it saw");
    Ok(())
}

async fn object_failure_comes_again(room: Room) -> Result<(), Failed> {
    let host = start(room, "see").await?;
    let bad = ["a/fail", "a/panic"].map(|key| object("1", key, ObjectAction::Created, "uploads"));
    fails_and_comes_again(&*host, "see", bad, object("2", "b", ObjectAction::Created, "uploads")).await
}

async fn tick_arrives(room: Room) -> Result<(), Failed> {
    let host = start(room, "sweep").await?;
    let saw = seen(&*host, "sweep", tick("1")).await?;
    if let Some(name) = saw["what"]["name"].as_str() {
        ensure!(name.contains("sweep"), "name {name}");
    }
    let (due, late) = (saw["what"]["due"].as_u64().unwrap_or(0), saw["what"]["late"].as_u64());
    ensure!(due == WHEN || late.is_some_and(|late| late < 60), "due at {due}, {WHEN} was sent");
    Ok(())
}

async fn tick_failure_comes_again(room: Room) -> Result<(), Failed> {
    let mut launch = kit::launch(Some("sweep"));
    launch.env.push(("FIXTURE_SWEEP".to_owned(), "1".to_owned()));
    let host = kit::start(room, launch).await?;
    let delivery = send(&*host, "sweep", tick("1")).await?;
    ensure!(delivery != Delivery::Done, "a failure was taken for success: {delivery:?}");
    seen(&*host, "sweep", tick("1")).await.map(drop)
}

async fn change_created(room: Room) -> Result<(), Failed> {
    let host = start(room, "audit").await?;
    let saw = seen(&*host, "audit", change("1", ChangeKind::Created, None, row("ok"))).await?;
    same!(saw["what"]["new"]["action"], "ok", "new image");
    let key = saw["what"]["key"].as_str().unwrap_or_default();
    ensure!(key.contains("r-1"), "key {key}");
    // Where a platform does not tell new rows from old ones, all are updates.
    let kind = &saw["what"]["kind"];
    ensure!(
        *kind == "created" || (["azure", "alibaba"].contains(&room.name) && *kind == "updated"),
        "kind {kind}"
    );
    Ok(())
}

async fn change_updated_with_old_image(room: Room) -> Result<(), Failed> {
    let host = start(room, "audit").await?;
    let saw = seen(&*host, "audit", change("1", ChangeKind::Updated, row("before"), row("after"))).await?;
    same!(saw["what"]["kind"], "updated", "kind");
    same!(saw["what"]["old"]["action"], "before", "old image");
    same!(saw["what"]["new"]["action"], "after", "new image");
    Ok(())
}

async fn change_deleted(room: Room) -> Result<(), Failed> {
    let host = start(room, "audit").await?;
    let saw = seen(&*host, "audit", change("1", ChangeKind::Deleted, row("before"), None)).await?;
    same!(saw["what"]["kind"], "deleted", "kind");
    same!(saw["what"]["new"], Value::Null, "new image");
    Ok(())
}

async fn change_failure_comes_again(room: Room) -> Result<(), Failed> {
    let host = start(room, "audit").await?;
    let bad = ["fail", "panic"].map(|action| change("1", ChangeKind::Updated, None, row(action)));
    fails_and_comes_again(&*host, "audit", bad, change("2", ChangeKind::Updated, None, row("ok"))).await
}

async fn change_of_another_type_is_refused_and_the_next_flows(room: Room) -> Result<(), Failed> {
    let host = start(room, "audit").await?;
    let other = Some(Bytes::from_static(br#"{"id":7,"action":[]}"#));
    let bad = [
        change("1", ChangeKind::Updated, None, other.clone()),
        change("2", ChangeKind::Updated, None, other),
    ];
    fails_and_comes_again(&*host, "audit", bad, change("3", ChangeKind::Updated, None, row("ok"))).await?;
    kit::wrote(&*host, "not what this table's handler takes").await
}

async fn topic_message(room: Room) -> Result<(), Failed> {
    let host = start(room, "hear").await?;
    let body = json!({ "id": "quote \" newline \n café 💡 dGVzdA==", "action": "ok" }).to_string();
    let saw = seen(&*host, "hear", topic("t-1", &body)).await?;
    same!(saw["what"]["item"]["id"], "quote \" newline \n café 💡 dGVzdA==", "body");
    Ok(())
}

async fn topic_attributes(room: Room) -> Result<(), Failed> {
    let host = start(room, "hear").await?;
    let saw = seen(&*host, "hear", topic("t-1", r#"{"id":"a","action":"ok"}"#)).await?;
    same!(saw["what"]["colour"], "red", "attribute");
    same!(saw["what"]["id"], "t-1", "id");
    Ok(())
}

async fn topic_failure_comes_again(room: Room) -> Result<(), Failed> {
    let host = start(room, "hear").await?;
    let bad = ["fail", "panic"].map(|action| topic("1", &json!({ "id": "a", "action": action }).to_string()));
    fails_and_comes_again(&*host, "hear", bad, topic("2", r#"{"id":"a","action":"ok"}"#)).await
}

async fn topic_message_of_another_type_is_refused_and_the_next_flows(room: Room) -> Result<(), Failed> {
    let host = start(room, "hear").await?;
    let bad = [topic("1", r#"{"id":7}"#), topic("2", "not json")];
    fails_and_comes_again(&*host, "hear", bad, topic("3", r#"{"id":"a","action":"ok"}"#)).await?;
    kit::wrote(&*host, "not what this topic's handler takes").await
}

async fn event_of_the_application(room: Room) -> Result<(), Failed> {
    let host = start(room, "notice").await?;
    let saw = seen(&*host, "notice", application("e-1", "ok")).await?;
    same!(saw["type"], "OrderPaid", "type");
    same!(saw["what"]["data"]["total"], 7, "data");
    same!(saw["what"]["id"], "e-1", "id");
    same!(saw["what"]["source"], "shop.test", "source");
    same!(saw["what"]["subject"], "orders/o-1", "subject");
    Ok(())
}

async fn event_failure_comes_again(room: Room) -> Result<(), Failed> {
    let host = start(room, "notice").await?;
    let bad = ["fail", "panic"].map(|action| application("1", action));
    fails_and_comes_again(&*host, "notice", bad, application("2", "ok")).await
}

async fn an_event_keeps_its_key_on_every_delivery(room: Room) -> Result<(), Failed> {
    let host = start(room, "notice").await?;
    let first = seen(&*host, "notice", application("e-1", "ok")).await?;
    let again = seen(&*host, "notice", application("e-1", "ok")).await?;
    let other = seen(&*host, "notice", application("e-2", "ok")).await?;
    same!(first["key"], again["key"], "the key of the second delivery");
    ensure!(first["key"] != other["key"], "two events share the key {}", first["key"]);
    Ok(())
}
