use xcloud_core::App;
use xcloud_core::app::Functions;
use xcloud_core::event::{Change, CloudEvent, Object, Queue, Raw, Topic};
use xcloud_core::handler::{Descriptor, Function, Trigger};
use xcloud_core::spec::ObjectFilter;

use super::*;

/// A function without a body: only the way to it is under test.
macro_rules! functions {
    ($($name:ident: $event:ty => $trigger:expr;)*) => {$(
        struct $name;
        impl Function<()> for $name {
            const DESCRIPTOR: Descriptor = Descriptor { name: stringify!($name), trigger: $trigger, sends: &[], tables: &[] };
            type Answer = <$event as xcloud_core::Event>::Output;
            type Event = $event;
            type Args = ();
            type Return = ();
            async fn invoke(_: $event, (): ()) {}
        }
    )*};
}
functions! {
    Hear: Topic<()> => Trigger::Topic { topic: "news" };
    Other: Topic<()> => Trigger::Topic { topic: "sport" };
    Fulfil: Queue<()> => Trigger::Queue { queue: "news", batch: None };
    See: Object => Trigger::Object { bucket: "uploads", on: ObjectFilter::Any };
    Audit: Change<()> => Trigger::Change { table: "ledger" };
    Notice: CloudEvent => Trigger::Event;
    Anything: Raw => Trigger::Raw;
}

macro_rules! fixture {
    ($case:literal) => {
        include_str!(concat!("../../fixtures/wire/", $case, "/event.json"))
    };
}

/// Where an event goes: the kind of what is handed over, and of the function.
fn way(functions: Functions<()>, body: &str) -> Result<Vec<(TriggerKind, TriggerKind)>> {
    let program = App::new().functions(functions).into_program()?;
    let mut way = Vec::new();
    block_on(Concurrency::One, async {
        let service = program.start(Instance::new(Platform::Alibaba).shared(), None).await?;
        let parts = parts(&service, &HeaderMap::new(), None);
        match choose(&service, &Bytes::from(body.to_owned()), &parts)? {
            Work::Queue(target, _) => {
                way.extend(service.target_kind(target).map(|kind| (TriggerKind::Queue, kind)))
            }
            Work::Raw(target) => way.extend(service.target_kind(target).map(|kind| (TriggerKind::Raw, kind))),
            Work::Records(Records { records, .. }) => {
                for record in records {
                    let target = service.record_target(&record)?;
                    way.extend(service.target_kind(target).map(|kind| (record.kind(), kind)));
                }
            }
        }
        Ok(())
    })?;
    Ok(way)
}

fn of<F: Function<()>>() -> Functions<()> {
    Functions::new().with::<F>()
}

const HELLO: &str = "hello topic";

#[test]
fn a_message_that_is_nothing_else_is_of_the_topic() {
    let topic = [(TriggerKind::Topic, TriggerKind::Topic)];
    for body in [HELLO, r#"{"a":1}"#, fixture!("topic/mns-json"), fixture!("object/oss-put")] {
        assert_eq!(way(of::<Hear>(), body).unwrap(), topic, "{body}");
    }
    // Which topic is not told.
    assert!(
        way(of::<Hear>().with::<Other>(), HELLO).unwrap_err().message().contains("no function takes topic")
    );
    // A topic's trigger that says JSON sends its documented JSON.
    let broken = fixture!("topic/mns-json").replace("\"Message\"", "\"message\"");
    assert!(way(of::<Hear>(), &broken).unwrap_err().message().contains("`Message` is not a text"));
    let raw = [(TriggerKind::Raw, TriggerKind::Raw)];
    assert_eq!(way(of::<Hear>().with::<Anything>(), HELLO).unwrap(), raw);
}

#[test]
fn rocketmq_feeds_a_queue_or_a_topic() {
    let rocket = fixture!("topic/rocketmq");
    assert_eq!(way(of::<Fulfil>(), rocket).unwrap(), [(TriggerKind::Queue, TriggerKind::Queue)]);
    assert_eq!(way(of::<Hear>(), rocket).unwrap(), [(TriggerKind::Topic, TriggerKind::Topic); 2]);
    // An SMQ queue is never a topic.
    let queue = fixture!("queue/mns");
    assert_eq!(way(of::<Fulfil>(), queue).unwrap(), [(TriggerKind::Queue, TriggerKind::Queue)]);
    assert_eq!(way(of::<Notice>(), queue).unwrap(), [(TriggerKind::Event, TriggerKind::Event)]);
}

#[test]
fn what_no_function_takes_goes_to_the_next_that_might() {
    let object = fixture!("object/oss-put");
    assert_eq!(
        way(of::<See>().with::<Notice>(), object).unwrap(),
        [(TriggerKind::Object, TriggerKind::Object)]
    );
    assert_eq!(way(of::<Notice>(), object).unwrap(), [(TriggerKind::Object, TriggerKind::Event)]);
    assert_eq!(way(of::<Anything>(), object).unwrap(), [(TriggerKind::Raw, TriggerKind::Raw)]);
    assert!(way(of::<Audit>(), object).unwrap_err().message().contains("serves no object function"));
    assert!(way(of::<Audit>(), HELLO).unwrap_err().message().contains("takes this event (not JSON"));
}

#[test]
fn a_raw_handler_alone_judges_broken_events_itself() {
    let broken = fixture!("object/oss-put").replace("\"key\"", "\"kei\"");
    assert_eq!(way(of::<Anything>(), &broken).unwrap(), [(TriggerKind::Raw, TriggerKind::Raw)]);
    assert!(way(of::<Anything>().with::<Audit>(), &broken).is_err());
}
