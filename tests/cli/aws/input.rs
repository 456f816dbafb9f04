//! What AWS cannot do or does not know is said before anything is made. Refusals that AWS itself answers are tried in
//! `aws_burst`, missing credentials and networks in `aws`.

use serde_json::{Value, json};

use super::app::App;

/// Everything that a deployment makes first.
const MADE: &str = "[len(iam.list_roles(PathPrefix='/xcloud/')['Roles']), len(sqs.list_queues().get('QueueUrls', [])), len(logs.describe_log_groups()['logGroups']), len(lambda_.list_functions()['Functions'])]";

/// The code and the message of a deployment that makes nothing.
fn refused(app: &App) -> (i32, Value, String) {
    let (said, code) = app.object(&["deploy"]);
    assert_eq!((&said["success"], app.ask(MADE)), (&json!(false), json!([0, 0, 0, 0])), "{said}");
    let message = said["message"].as_str().expect("text").to_owned();
    (code, said["data"]["code"].clone(), message)
}

#[test]
fn settings_that_lambda_does_not_take_end_it_before_anything_is_made() {
    let Some(app) = App::start("limits", &["record"], "") else { return };
    // In the file, and what is said of it: a limit of Lambda's ends it as `check` does, with 6.
    for (setting, exit, parts) in [
        ("memory = \"11GB\"", 6, ["11264", "10240"]),
        ("memory = \"64MB\"", 6, ["64", "128"]),
        ("timeout = \"16m\"", 6, ["960", "900"]),
        ("env = { AWS_REGION = \"mars\" }", 6, ["AWS_REGION", "record"]),
        ("memory = \"much\"", 2, ["memory", "xcloud.toml"]),
        ("aws = { role = \"admin\" }", 2, ["role", "arn:"]),
    ] {
        app.configure(&format!("[functions.record]\n{setting}\n"));
        let (code, _, message) = refused(&app);
        assert_eq!(code, exit, "{setting}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{setting}: {message}");
    }
    // 6 GB is within them.
    app.configure("[functions.record]\nmemory = \"6GB\"\n");
    app.data(&["plan"]);
}

/// `check` says of these that they will be the nearest that Lambda takes: so they are.
#[test]
fn settings_that_are_to_be_made_smaller_are() {
    let toml = "[functions.record]\nmax_attempts = 1001\nbatch = 10001\n";
    let Some(app) = App::start("nearest", &["record"], toml) else { return };
    let output = app.run(&["deploy"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("it will be 1000") && output.status.success(), "{said}");
    let url = format!("sqs.get_queue_url(QueueName={:?})['QueueUrl']", app.resource("recorded"));
    let redrive = format!(
        "sqs.get_queue_attributes(QueueUrl={url}, AttributeNames=['RedrivePolicy'])['Attributes']['RedrivePolicy']"
    );
    assert!(app.ask(&redrive).as_str().is_some_and(|redrive| redrive.contains("1000")), "{said}");
    assert_eq!(
        app.ask("lambda_.list_event_source_mappings()['EventSourceMappings'][0]['BatchSize']"),
        10_000
    );
}

/// What is asked of a project that was never deployed is an error with its name, not an empty list.
#[test]
fn a_project_that_is_not_there_is_named() {
    let Some(app) = App::start("nowhere", &["anything"], "") else { return };
    for verb in [
        &["status"][..],
        &["versions"],
        &["logs"],
        &["metrics"],
        &["rollback"],
        &["invoke", "anything", "-d", "{}"],
    ] {
        let (said, code) = app.object(verb);
        assert_eq!((code, &said["data"]["code"]), (1, &json!("NotFound")), "{verb:?}: {said}");
        assert!(said["message"].as_str().is_some_and(|m| m.contains("nowhere")), "{verb:?}: {said}");
    }
    // Nothing to destroy is no failure.
    let gone = app.data(&["destroy", "--yes"]);
    assert_eq!(gone["plans"][0]["summary"]["delete"], 0, "{gone}");
}
