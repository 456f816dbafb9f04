use std::path::Path;

use xcloud_core::spec::{ObjectFilter, Settings};

use super::*;

fn function(name: &str, trigger: TriggerSpec) -> FunctionSpec {
    FunctionSpec {
        name: name.to_owned(),
        trigger,
        sends: Vec::new(),
        tables: Vec::new(),
        settings: Settings::default(),
    }
}

fn schedule(schedule: &str, timezone: Option<&str>) -> FunctionSpec {
    let trigger =
        TriggerSpec::Schedule { schedule: schedule.to_owned(), timezone: timezone.map(str::to_owned) };
    function("sweep", trigger)
}

/// Property names as PyPI azure-functions 1.26.0 `decorators/*.py` and azure-functions-host@89dc438
/// `sample/NodeRetry` (`retry`) have them.
#[test]
fn golden_function_json() {
    let object = TriggerSpec::Object { bucket: "uploads".to_owned(), on: ObjectFilter::Any };
    let functions = [
        function("http", TriggerSpec::Http { routes: Vec::new(), mounted: true }),
        function("work", TriggerSpec::Queue { queue: "work-items".to_owned(), batch: Some(10) }),
        function("see", object),
        schedule("every 5 minutes", None),
        function("audit", TriggerSpec::Change { table: "ledger".to_owned() }),
        function("hear", TriggerSpec::Topic { topic: "news".to_owned() }),
        function("notice", TriggerSpec::Event),
    ];
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/functions");
    for function in &functions {
        let json = function_json(function).unwrap().unwrap();
        let file = goldens.join(format!("{}.json", function.trigger.kind()));
        if std::env::var_os("XCLOUD_UPDATE_GOLDENS").is_some() {
            std::fs::create_dir_all(&goldens).unwrap();
            std::fs::write(&file, serde_json::to_string_pretty(&json).unwrap() + "\n").unwrap();
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(json, expected, "{}", file.display());
    }
    assert_eq!(function_json(&function("anything", TriggerSpec::Raw)).unwrap(), None);
}

#[test]
fn a_schedule_that_cannot_be_expressed_is_an_error_and_says_whose() {
    for (spec, what) in [
        (schedule("every 7 minutes", None), "does not divide an hour"),
        (schedule("0 4 * * *", Some("Europe/Berlin")), "in UTC"),
        (schedule("@daily", None), "own dialect"),
    ] {
        let error = function_json(&spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("`sweep`") && error.message().contains(what), "{error}");
    }
}

#[test]
fn max_attempts_bounds_the_retries() {
    let with = |mut function: FunctionSpec, attempts| {
        function.settings.max_attempts = attempts;
        function_json(&function).unwrap().unwrap()["retry"]["maxRetryCount"].clone()
    };
    let change = function("audit", TriggerSpec::Change { table: "ledger".to_owned() });
    assert_eq!(with(change.clone(), None), -1);
    assert_eq!(with(change.clone(), Some(3)), 2);
    assert_eq!(with(change, Some(1)), Value::Null);
    assert_eq!(with(schedule("every hour", None), None), 4);
}

/// What a package says of a function is what its process reads of it.
#[test]
fn a_binding_is_read_from_our_own_function_json() {
    let read = |trigger| {
        let json = function_json(&function("f", trigger)).unwrap().unwrap().to_string();
        let binding = Binding::new("f").with_json(json.as_bytes()).unwrap();
        (binding.binary, binding.source().to_owned())
    };
    let queue = TriggerSpec::Queue { queue: "work-items".to_owned(), batch: None };
    assert_eq!(read(queue), (true, "work-items".to_owned()));
    assert_eq!(read(TriggerSpec::Topic { topic: "news".to_owned() }), (true, "news".to_owned()));
    assert_eq!(read(TriggerSpec::Change { table: "ledger".to_owned() }), (false, "ledger".to_owned()));
    assert_eq!(read(TriggerSpec::Event), (false, "f".to_owned()));
}

#[test]
fn a_function_json_that_is_none_says_what_is_wrong() {
    for (json, what) in [
        ("", "EOF"),
        ("{}", "no trigger among its `bindings`"),
        (r#"{"bindings":[{"type":"http"}]}"#, "no trigger"),
        (r#"{"bindings":7}"#, "no trigger"),
    ] {
        let error = Binding::new("f").with_json(json.as_bytes()).unwrap_err();
        assert!(
            error.message().contains("function.json of `f`") && error.message().contains(what),
            "{error}"
        );
    }
    let setting = r#"{"bindings":[{"type":"QUEUETRIGGER","queueName":"%Q%","dataType":"Binary"}]}"#;
    let binding = Binding::new("f").with_json(setting.as_bytes()).unwrap();
    assert_eq!((binding.binary, binding.source()), (true, "f"));
}
