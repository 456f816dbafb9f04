//! What CloudWatch has counted. ministack publishes Lambda's own metrics for each call that it runs.

use serde_json::{Value, json};

use super::app::App;

fn of<'a>(metrics: &'a Value, function: &str) -> &'a Value {
    let functions = metrics["functions"].as_array().expect("a list");
    functions.iter().find(|f| f["function"] == function).unwrap_or_else(|| panic!("{function}: {metrics}"))
}

#[test]
fn calls_and_failures_of_functions_are_counted_and_timed() {
    let Some(app) = App::start("counted", &["http", "anything"], "") else { return };
    app.data(&["deploy"]);
    let nothing = app.data(&["metrics"]);
    assert_eq!(
        (&of(&nothing, "http")["calls"], &of(&nothing, "http")["duration_ms"]),
        (&json!(0), &Value::Null)
    );

    for _ in 0..3 {
        let answer = app.data(&["invoke", "http", "--path", "/hello"]);
        assert_eq!(answer["status"], 200, "{answer}");
    }
    app.data(&["invoke", "anything", "-d", "{}"]);
    let (failed, code) = app.object(&["invoke", "anything", "-d", r#"{"fail":1}"#]);
    assert_ne!(code, 0, "{failed}");

    let metrics = app.data(&["metrics"]);
    let (http, raw) = (of(&metrics, "http"), of(&metrics, "anything"));
    assert_eq!((&http["calls"], &http["errors"], &http["provider"]), (&json!(3), &json!(0), &json!("aws")));
    assert_eq!((&raw["calls"], &raw["errors"]), (&json!(2), &json!(1)), "{metrics}");
    assert_eq!((&raw["outcomes"]["ok"], &raw["outcomes"]["error"]), (&json!(1), &json!(1)), "{metrics}");
    let ms = |name: &str| http["duration_ms"][name].as_f64().unwrap_or_else(|| panic!("{name}: {metrics}"));
    assert!(ms("p50") > 0.0 && ms("p50") <= ms("p95") && ms("p99") <= ms("max"), "{metrics}");
    assert!(ms("mean") <= ms("max"), "{metrics}");

    // One function's, as people read them.
    let output = app.run(&["metrics", "anything"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("2 (1 error)") && !text.contains("http"), "{text}");
    let (unknown, code) = app.object(&["metrics", "nobody"]);
    assert_eq!((code, &unknown["success"]), (1, &json!(false)), "{unknown}");
}
