//! Which function an event reaches, on an instance that serves all and on one that serves a few.

use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use xcloud_core::event::{Change, CloudEvent, Http, Object, Queue, Raw, Tick, Topic};
use xcloud_core::handler::{Descriptor, Function, Trigger};
use xcloud_core::spec::ObjectFilter;
use xcloud_core::text::base64_encode;
use xcloud_core::{App, Functions, Instance, Json, Platform, State};
use xcloud_serve::{Concurrency, block_on};

use super::*;
use crate::adapter::answer;

/// What was called, in order.
type Calls = Arc<Mutex<Vec<String>>>;

macro_rules! function {
    ($name:ident $called:literal: $event:ty, $trigger:expr, $what:expr) => {
        struct $name;

        impl Function<Calls> for $name {
            const DESCRIPTOR: Descriptor =
                Descriptor { name: $called, trigger: $trigger, sends: &[], tables: &[] };
            type Answer = <$event as xcloud_core::Event>::Output;
            type Event = $event;
            type Args = (State<Calls>,);
            type Return = Result<()>;

            async fn invoke(event: $event, (calls,): (State<Calls>,)) -> Result<()> {
                let what: String = ($what)(event);
                let failed = what.contains("fail");
                calls.lock().unwrap().push(format!("{} {what}", $called));
                if failed { Err(Error::unavailable("asked to fail")) } else { Ok(()) }
            }
        }
    };
}
function!(Thumbs "thumbs": Object, Trigger::Object { bucket: "uploads", on: ObjectFilter::Any }, |o: Object| {
    format!("{:?} {}", o.action, o.key)
});
function!(Sweep "sweep": Tick, Trigger::Schedule { schedule: "every 5 minutes", timezone: None }, |t: Tick| {
    t.name.unwrap_or_default()
});
function!(Audit "audit": Change<Value>, Trigger::Change { table: "ledger" }, |c: Change<Value>| {
    format!("{:?} {} {}", c.kind, c.key, c.new.unwrap_or_default())
});
function!(Hear "hear": Topic<()>, Trigger::Topic { topic: "news" }, |t: Topic<()>| {
    String::from_utf8_lossy(t.bytes()).into_owned()
});
function!(Work "work": Queue<()>, Trigger::Queue { queue: "orders", batch: None }, |q: Queue<()>| {
    q.iter().map(|m| String::from_utf8_lossy(m.bytes()).into_owned()).collect()
});
function!(Notice "notice": CloudEvent, Trigger::Event, |e: CloudEvent| format!("{} {}", e.ty, e.id));

struct Anything;

impl Function<Calls> for Anything {
    const DESCRIPTOR: Descriptor =
        Descriptor { name: "anything", trigger: Trigger::Raw, sends: &[], tables: &[] };
    type Answer = <Raw as xcloud_core::Event>::Output;
    type Event = Raw;
    type Args = (State<Calls>,);
    type Return = Result<Json<Value>>;

    async fn invoke(event: Raw, (calls,): (State<Calls>,)) -> Result<Json<Value>> {
        calls.lock().unwrap().push(format!("anything {}", String::from_utf8_lossy(&event.0)));
        Ok(Json(json!("said")))
    }
}

struct Root;

impl Function<Calls> for Root {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "root",
        trigger: Trigger::Http { method: Some("POST"), path: "/" },
        sends: &[],
        tables: &[],
    };
    type Answer = <Http as xcloud_core::Event>::Output;
    type Event = Http;
    type Args = (State<Calls>,);
    type Return = &'static str;

    async fn invoke(_: Http, (calls,): (State<Calls>,)) -> &'static str {
        calls.lock().unwrap().push("root".to_owned());
        "root"
    }
}

type Post = (&'static str, Vec<(&'static str, String)>, String);

/// Sends them to an instance that serves `only`, and gives the statuses, what was called, and the last body.
fn sent(only: Option<&'static str>, posts: Vec<Post>) -> (Vec<u16>, Vec<String>, String) {
    let calls = Calls::default();
    let state = Arc::clone(&calls);
    let functions = Functions::<Calls>::new()
        .with::<Root>()
        .with::<Thumbs>()
        .with::<Sweep>()
        .with::<Audit>()
        .with::<Hear>()
        .with::<Work>()
        .with::<Notice>()
        .with::<Anything>();
    let app = App::init(|| async { Ok::<_, Error>(state) }).functions(functions);
    let (mut statuses, mut last) = (Vec::new(), String::new());
    let run = async {
        let service = app.into_program()?.start(Instance::new(Platform::Http).shared(), only).await?;
        for (path, headers, body) in posts {
            let mut request = Request::builder().method(Method::POST).uri(path);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let response = answer(service.clone(), request.body(body.into()).unwrap(), None).await;
            statuses.push(response.status().as_u16());
            last = String::from_utf8_lossy(&response.into_body().collect().await.unwrap()).into_owned();
        }
        Ok(())
    };
    block_on(Concurrency::One, run).unwrap();
    let calls = calls.lock().unwrap().clone();
    (statuses, calls, last)
}

fn event(ty: &str, source: &str, data: &Value) -> Post {
    let event = json!({ "specversion": "1.0", "id": "e-1", "source": source, "type": ty, "data": data,
        "time": "2026-11-23T20:00:00Z", "subject": "documents/ledger/1" });
    ("/", vec![("content-type", "application/cloudevents+json".to_owned())], event.to_string())
}

fn push(body: &str, subscription: &str, attributes: &Value) -> Post {
    let message =
        json!({ "messageId": "m-1", "data": base64_encode(body.as_bytes()), "attributes": attributes });
    let push =
        json!({ "message": message, "subscription": format!("projects/p/subscriptions/{subscription}") });
    ("/", vec![("content-type", "application/json".to_owned())], push.to_string())
}

const SCHEDULER: [(&str, &str); 3] = [
    ("x-cloudscheduler", "true"),
    ("x-cloudscheduler-jobname", "shop-dev-sweep"),
    ("x-cloudscheduler-scheduletime", "2026-11-23T20:00:00Z"),
];

fn tick(path: &'static str) -> Post {
    (path, SCHEDULER.map(|(name, value)| (name, value.to_owned())).into(), String::new())
}

/// Plain HTTP and Knative: each kind by Google's type and by ours, on an instance that serves everything.
#[test]
fn each_kind_is_reached_by_its_cloudevents_type() {
    let (statuses, calls, _) = sent(
        None,
        vec![
            event(
                "google.cloud.storage.object.v1.finalized",
                "//storage.googleapis.com/projects/_/buckets/shop-dev-uploads",
                &json!({ "bucket": "shop-dev-uploads", "name": "a" }),
            ),
            event("dev.xcloud.object.deleted", "/here", &json!({ "bucket": "uploads", "key": "b" })),
            event("google.cloud.scheduler.job.v1.executed", "jobs/sweep", &json!({})),
            event("dev.xcloud.schedule.tick", "/here", &json!({ "name": "sweep" })),
            event(
                "google.cloud.firestore.document.v1.created",
                "//firestore.googleapis.com/projects/p/databases/(default)",
                &json!({ "value": { "name": "n", "fields": { "n": { "integerValue": "7" } } } }),
            ),
            event("dev.xcloud.change.updated", "/here", &json!({ "table": "ledger", "key": "k", "new": 8 })),
            event(
                "google.cloud.pubsub.topic.v1.messagePublished",
                "//pubsub.googleapis.com/projects/p/topics/shop-dev-news",
                &json!({ "message": { "messageId": "1", "data": "aGk=" } }),
            ),
            event("dev.xcloud.topic.message", "/here", &json!({ "topic": "news", "body": "ho" })),
            event("OrderPaid", "/here", &json!({})),
            event(
                "google.firebase.auth.user.v1.created",
                "//firebaseauth.googleapis.com/projects/p",
                &json!({}),
            ),
        ],
    );
    assert_eq!(statuses, [204; 10]);
    assert_eq!(
        calls,
        [
            "thumbs Created a",
            "thumbs Deleted b",
            "sweep sweep",
            "sweep sweep",
            r#"audit Created 1 {"n":7}"#,
            "audit Updated k 8",
            "hear hi",
            "hear ho",
            "notice OrderPaid e-1",
            "notice google.firebase.auth.user.v1.created e-1",
        ]
    );
}

#[test]
fn a_message_goes_to_the_queue_or_the_topic_of_its_name() {
    let through_eventarc = |topic: &str| {
        event(
            "google.cloud.pubsub.topic.v1.messagePublished",
            &format!("//pubsub.googleapis.com/projects/p/topics/{topic}"),
            &json!({ "message": { "messageId": "1", "data": "aGk=" },
                "subscription": "projects/p/subscriptions/eventarc-europe-west1-trigger-x-sub-1" }),
        )
    };
    let (statuses, calls, _) = sent(
        None,
        vec![
            push("q", "shop-dev-orders", &json!({})),
            push("t", "shop-dev-news", &json!({})),
            through_eventarc("shop-dev-orders"),
            through_eventarc("shop-dev-news"),
            // Nobody's name: any CloudEvent is the event function's.
            push("x", "shop-dev-other", &json!({})),
        ],
    );
    assert_eq!(statuses, [204; 5]);
    assert_eq!(
        calls,
        [
            "work q",
            "hear t",
            "work hi",
            "hear hi",
            "notice google.cloud.pubsub.topic.v1.messagePublished m-1"
        ]
    );
}

#[test]
fn a_buckets_notification_is_an_object_where_one_is_served_and_else_a_message() {
    let attributes =
        json!({ "eventType": "OBJECT_FINALIZE", "bucketId": "shop-dev-uploads", "objectId": "a" });
    let notified = || vec![push("", "shop-dev-orders", &attributes)];
    assert_eq!(sent(None, notified()).1, ["thumbs Created a"]);
    assert_eq!(sent(Some("thumbs"), notified()).1, ["thumbs Created a"]);
    assert_eq!(sent(Some("work"), notified()).1, ["work "]);
}

#[test]
fn a_batch_is_handled_in_order_until_one_fails() {
    let one = |id: &str, key: &str| {
        json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "dev.xcloud.object.created",
            "data": { "bucket": "uploads", "key": key } })
    };
    let batch = json!([one("1", "a"), one("2", "fail"), one("3", "c")]).to_string();
    let headers = vec![("content-type", "application/cloudevents-batch+json".to_owned())];
    let (statuses, calls, _) = sent(Some("thumbs"), vec![("/", headers, batch)]);
    assert_eq!(
        (statuses, calls.as_slice()),
        (vec![503], &["thumbs Created a", "thumbs Created fail"].map(str::to_owned)[..])
    );
}

/// The headers alone are no proof: an ordinary client can send them to a service that answers HTTP.
#[test]
fn a_tick_is_one_only_where_no_http_is_served_or_the_path_says_so() {
    let (statuses, calls, _) = sent(None, vec![tick("/"), tick("/sweep")]);
    assert_eq!(
        (statuses, calls),
        (vec![200, 204], vec!["root".to_owned(), "sweep shop-dev-sweep".to_owned()])
    );
    assert_eq!(sent(Some("sweep"), vec![tick("/")]).1, ["sweep shop-dev-sweep"]);
    assert_eq!(sent(Some("sweep,audit"), vec![tick("/any/path")]).1, ["sweep shop-dev-sweep"]);
}

#[test]
fn an_instance_that_serves_only_http_takes_nothing_for_an_event() {
    let posts = || {
        vec![
            event("dev.xcloud.object.created", "/s", &json!({ "bucket": "uploads", "key": "a" })),
            push("q", "shop-dev-orders", &json!({})),
            tick("/"),
        ]
    };
    assert_eq!(sent(Some("http"), posts()), (vec![200; 3], vec!["root".to_owned(); 3], "root".to_owned()));
}

#[test]
fn what_no_function_takes_goes_to_the_raw_handler_untouched_or_is_refused() {
    let object = || event("dev.xcloud.object.created", "/s", &json!({ "bucket": "uploads", "key": "a" }));
    let legacy = r#"{"eventType":"google.pubsub.topic.publish","eventId":"1","timestamp":"t","resource":"projects/p/topics/t","data":{}}"#;
    let (statuses, calls, answer) = sent(
        Some("anything"),
        vec![object(), ("/", vec![], legacy.to_owned()), ("/", vec![], "bytes".to_owned()), tick("/")],
    );
    assert_eq!((statuses, answer.as_str()), (vec![200; 4], "\"said\""));
    assert!(calls[0].contains(r#""type":"dev.xcloud.object.created""#), "{calls:?}");
    assert_eq!(
        calls[1..],
        [format!("anything {legacy}"), "anything bytes".to_owned(), "anything ".to_owned()]
    );
    let (statuses, calls, answer) =
        sent(Some("sweep,audit"), vec![object(), ("/", vec![], "bytes".to_owned())]);
    assert_eq!((statuses, calls), (vec![400, 400], vec![]));
    assert!(answer.contains("no handler takes this event; this instance serves sweep, audit"), "{answer}");
}

#[test]
fn a_path_that_names_a_function_says_who_takes_the_event() {
    let mut to_notice = event("dev.xcloud.object.created", "/s", &json!({ "bucket": "uploads", "key": "a" }));
    to_notice.0 = "/notice";
    let mut wrong = event("dev.xcloud.schedule.tick", "/s", &json!({}));
    wrong.0 = "/thumbs";
    let (statuses, calls, answer) = sent(None, vec![to_notice, wrong]);
    assert_eq!((statuses, calls), (vec![204, 400], vec!["notice dev.xcloud.object.created e-1".to_owned()]));
    assert!(answer.contains("expected a object event, got a schedule event"), "{answer}");
}

#[test]
fn a_broken_event_is_refused_and_the_next_flows() {
    let broken = event("dev.xcloud.object.created", "/s", &json!({ "bucket": 7 }));
    let good = event("dev.xcloud.object.created", "/s", &json!({ "bucket": "uploads", "key": "a" }));
    let (statuses, calls, _) = sent(Some("thumbs"), vec![broken, good]);
    assert_eq!((statuses, calls), (vec![400, 204], vec!["thumbs Created a".to_owned()]));
}
