//! Two small apps: the orders example, and one with what else a function may be called by.

use std::collections::BTreeMap;
use std::sync::Arc;

use xcloud_core::spec::{FunctionSpec, ObjectFilter, Settings, Spec, TriggerSpec};
use xcloud_deploy::{Artifact, Binary, Desired, Stage};

pub(crate) fn stage() -> Stage {
    Stage { project: "shop".to_owned(), stage: "dev".to_owned() }
}

/// A version of an app: other code, other memory, other variables for each number.
fn desired(functions: Vec<FunctionSpec>, spec: Spec, number: u32) -> Desired {
    let functions = functions.into_iter().map(|mut function| {
        function.settings.memory_mb = Some(128 * number);
        function.settings.env = Some(BTreeMap::from([("GREETING".to_owned(), format!("hello {number}"))]));
        function
    });
    let spec = Spec { version: 1, functions: functions.collect(), ..spec };
    Desired::new(stage(), spec, Some(artifact(number)))
}

fn artifact(number: u32) -> Artifact {
    let bytes = format!("not a program, number {number}").into_bytes();
    let binary = Binary {
        sha256: format!("{number:064}"),
        bytes: Arc::from(bytes.as_slice()),
        arch: "x86_64".to_owned(),
        files: Arc::default(),
    };
    Artifact::new("aws", "shop-aws.zip".to_owned(), bytes, "bootstrap", binary)
}

fn function(name: &str, trigger: TriggerSpec, sends: &[&str], tables: &[&str]) -> FunctionSpec {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let settings = Settings { timeout_seconds: Some(15), ..Settings::default() };
    FunctionSpec { name: name.to_owned(), trigger, sends: all(sends), tables: all(tables), settings }
}

/// The orders example: a public address, and a queue with what was put aside.
pub(crate) fn orders(number: u32) -> Desired {
    let queue = "order-placed".to_owned();
    let http = TriggerSpec::Http { routes: Vec::new(), mounted: false };
    let mut http = function("http", http, &["order-placed"], &[]);
    http.settings.public = Some(true);
    let mut fulfil = function("fulfil", TriggerSpec::Queue { queue: queue.clone(), batch: None }, &[], &[]);
    fulfil.settings.max_attempts = Some(5);
    // What is set and then is not any more.
    fulfil.settings.max_instances = (number == 1).then_some(4);
    let spec = Spec { queues: vec![queue], ..Spec::default() };
    desired(vec![http, fulfil], spec, number)
}

/// A schedule, a bucket, a table's changes and a topic.
pub(crate) fn triggers(number: u32) -> Desired {
    let schedule = TriggerSpec::Schedule { schedule: "every 5 minutes".to_owned(), timezone: None };
    let object = TriggerSpec::Object { bucket: "uploads".to_owned(), on: ObjectFilter::Any };
    let change = TriggerSpec::Change { table: "ledger".to_owned() };
    let topic = TriggerSpec::Topic { topic: "news".to_owned() };
    let functions = vec![
        function("tick", schedule, &[], &["ledger"]),
        function("shrink", object, &[], &[]),
        function("follow", change, &[], &[]),
        function("hear", topic, &[], &[]),
    ];
    let (bucket, table, topic) = ("uploads".to_owned(), "ledger".to_owned(), "news".to_owned());
    let spec = Spec { buckets: vec![bucket], tables: vec![table], topics: vec![topic], ..Spec::default() };
    desired(functions, spec, number)
}

/// So many functions, each with a queue of its own.
pub(crate) fn many(functions: usize, number: u32) -> Desired {
    let queues: Vec<String> = (0..functions).map(|at| format!("work-{at}")).collect();
    let of = |queue: &String| {
        let trigger = TriggerSpec::Queue { queue: queue.clone(), batch: None };
        function(&queue.replace("work", "worker"), trigger, &[], &[])
    };
    let functions = queues.iter().map(of).collect();
    desired(functions, Spec { queues, ..Spec::default() }, number)
}

/// Nothing, and the data gone too.
pub(crate) fn nothing() -> Desired {
    Desired { delete_data: true, ..Desired::nothing(stage()) }
}
