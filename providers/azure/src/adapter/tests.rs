use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use xcloud_core::event::{Change, CloudEvent, Http, Object, Tick};
use xcloud_core::handler::{Descriptor, Function as Handler, Trigger};
use xcloud_core::spec::ObjectFilter;
use xcloud_core::{App, Functions};

use super::*;

const SUFFIX: &str = "5d1f0c9ab8e74263";

static OBJECTS: AtomicUsize = AtomicUsize::new(0);
static EVENTS: AtomicUsize = AtomicUsize::new(0);

/// A function as `#[handler]` would describe it.
macro_rules! function {
    ($name:ident, $event:ty, $trigger:expr, $run:expr) => {
        struct $name;
        impl Handler<()> for $name {
            const DESCRIPTOR: Descriptor =
                Descriptor { name: stringify!($name), trigger: $trigger, sends: &[], tables: &[] };
            type Answer = <$event as xcloud_core::event::Event>::Output;
            type Event = $event;
            type Args = ();
            type Return = Result<()>;

            async fn invoke(event: $event, (): ()) -> Result<()> {
                $run(event)
            }
        }
    };
}
function!(See, Object, Trigger::Object { bucket: "uploads", on: ObjectFilter::Any }, |_| {
    OBJECTS.fetch_add(1, Ordering::SeqCst);
    Ok(())
});
function!(Notice, CloudEvent, Trigger::Event, |_| {
    EVENTS.fetch_add(1, Ordering::SeqCst);
    Ok(())
});
function!(Sweep, Tick, Trigger::Schedule { schedule: "every hour", timezone: None }, |_| Err(
    Error::unavailable("no")
));

function!(Audit, Change<serde_json::Value>, Trigger::Change { table: "ledger" }, |_| Ok(()));

struct Upload;
impl Handler<()> for Upload {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "upload",
        trigger: Trigger::Http { method: Some("POST"), path: "/upload" },
        sends: &[],
        tables: &[],
    };
    type Answer = <Http as xcloud_core::event::Event>::Output;
    type Event = Http;
    type Args = ();
    type Return = &'static str;

    async fn invoke(_: Http, (): ()) -> &'static str {
        "taken"
    }
}

async fn room(functions: Functions<()>, only: Option<&str>) -> Room {
    let program = App::new().functions(functions).into_program().unwrap();
    let service = program.start(Instance::new(Platform::Azure).shared(), only).await.unwrap();
    let root = std::env::temp_dir().join(format!("xcloud-azure-adapter-{}", request_id()));
    for event in service.events() {
        let folder = root.join(format!("{}-{SUFFIX}", event.name));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("function.json"), r#"{"bindings":[{"type":"eventGridTrigger"}]}"#)
            .unwrap();
    }
    let room = Room::new(service, &root);
    std::fs::remove_dir_all(&root).unwrap();
    room
}

async fn post(room: &Room, function: &str, case: &str) -> (StatusCode, String) {
    let path = format!("{}/fixtures/wire/{case}/event.json", env!("CARGO_MANIFEST_DIR"));
    let request = Request::post(format!("/{function}-{SUFFIX}"))
        .header(binding::INVOCATION_HEADER, "1")
        .body(Bytes::from(std::fs::read(path).unwrap()))
        .unwrap();
    let response = room.answer(request).await;
    let (parts, body) = response.into_parts();
    (parts.status, String::from_utf8(body.collect().await.unwrap().to_vec()).unwrap())
}

fn block_on<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run)
}

#[test]
fn the_path_decides_and_what_is_of_another_kind_goes_to_the_event_function() {
    block_on(async {
        let room = room(Functions::new().with::<See>().with::<Notice>().with::<Sweep>(), None).await;
        assert_eq!(post(&room, "See", "object/event-grid-created").await.0, StatusCode::OK);
        assert_eq!((OBJECTS.load(Ordering::SeqCst), EVENTS.load(Ordering::SeqCst)), (1, 0));
        assert_eq!(post(&room, "See", "event/cloud-event").await.0, StatusCode::OK);
        assert_eq!((OBJECTS.load(Ordering::SeqCst), EVENTS.load(Ordering::SeqCst)), (1, 1));
        // An event function takes any event, a blob's too.
        assert_eq!(post(&room, "Notice", "object/event-grid-created").await.0, StatusCode::OK);
        assert_eq!((OBJECTS.load(Ordering::SeqCst), EVENTS.load(Ordering::SeqCst)), (1, 2));
        assert_eq!(post(&room, "Sweep", "schedule/timer").await.0, StatusCode::INTERNAL_SERVER_ERROR);
        let (status, answer) = post(&room, "Sweep", "object/event-grid-created").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.contains("`Sweep` takes schedule events: not a timer's envelope"), "{answer}");
    });
}

#[test]
fn without_an_event_function_another_kind_is_refused_in_words() {
    block_on(async {
        let room = room(Functions::new().with::<See>().with::<Notice>(), Some("See")).await;
        let (status, answer) = post(&room, "See", "event/cloud-event").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.contains("`See` takes object events, not `com.example.OrderPaid`"), "{answer}");
    });
}

/// A page of a change feed may be larger than what a request may be; refused, it would come again for ever.
#[test]
fn envelopes_may_be_larger_than_requests() {
    block_on(async {
        let room = room(Functions::new().with::<Upload>().with::<Audit>(), None).await;
        let large = Bytes::from(vec![b' '; room.max_body + 1]);
        let send = |path: String, body: Bytes| {
            let request = Request::post(path).header(binding::INVOCATION_HEADER, "1").body(body).unwrap();
            room.answer(request)
        };
        assert_eq!(send("/upload".to_owned(), large.clone()).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(send("/upload".to_owned(), large.slice(..10)).await.status(), StatusCode::OK);
        assert!(room.max_envelope() > large.len());
        let documents = r#"{"Data":{"d":"[{\"id\":\"r-1\",\"_lsn\":1}]"},"Metadata":{}}"#;
        let envelope = [documents.as_bytes(), &large].concat();
        assert_eq!(send(format!("/Audit-{SUFFIX}"), envelope.into()).await.status(), StatusCode::OK);
    });
}
