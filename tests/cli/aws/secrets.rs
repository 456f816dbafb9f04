//! A secret on AWS: the function has it, and nobody else sees it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::app::App;
use crate::aws_faults::proxy::Proxy;
use crate::fixture::handled;

/// In every secret's value, and nowhere else.
const CANARY: &str = "canary-5ec2e7";

/// What a command printed must not have the canary, nor its first part: neither whole nor in pieces.
fn silent(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("xcloud starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = format!("{out}\n{err}");
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("canary") && !said.contains("5ec2e7"), "{command:?}: {said}");
    said
}

/// Command lines of all processes, over and over until told to stop; those with the canary.
fn command_lines(stop: &AtomicBool) -> (usize, BTreeSet<String>) {
    let (mut looked, mut found) = (0, BTreeSet::new());
    while !stop.load(Ordering::SeqCst) {
        for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
            let Ok(line) = std::fs::read(process.path().join("cmdline")) else { continue };
            let line = String::from_utf8_lossy(&line).into_owned();
            looked += usize::from(line.contains("deploy"));
            if line.contains(CANARY) {
                found.insert(line);
            }
        }
    }
    (looked, found)
}

/// Files under a directory whose bytes have the canary.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("it can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if std::fs::read(&path).is_ok_and(|b| b.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()))
        {
            found.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    found
}

/// `FIXTURE_RECORD` is where the fixture writes to: that a line is there shows that the function has the value.
#[test]
fn a_secret_reaches_its_function_and_nothing_that_is_said_or_kept() {
    let toml = "[functions.record]\nsecrets = { FIXTURE_RECORD = \"env:SOURCE\", KEY = \"file:key\" }\n";
    let Some(app) = App::start("secrets", &["record"], toml) else { return };
    let record = crate::scratch(&format!("aws-{CANARY}")).join("record");
    let key = format!("{CANARY} \"ü\" $HOME\n second line");
    std::fs::write(app.directory().join("key"), format!("{key}\n")).expect("a file");
    let with = |arguments: &[&str]| {
        let mut command = app.command(arguments);
        command.env("SOURCE", &record);
        command
    };
    let missing = silent(&mut app.command(&["plan"]), 2);
    assert!(missing.contains("SOURCE"), "{missing}");

    silent(&mut with(&["plan"]), 0);
    let plan = silent(&mut with(&["plan", "-o", "json"]), 0);
    assert!(plan.contains("secrets.KEY") && plan.contains("secrets.FIXTURE_RECORD"), "{plan}");
    silent(&mut with(&["plan", "--policy"]), 0);
    silent(&mut with(&["deploy", "--dry-run", "-v"]), 0);
    let stop = AtomicBool::new(false);
    let (looked, found) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| command_lines(&stop));
        silent(&mut with(&["deploy", "-v"]), 0);
        stop.store(true, Ordering::SeqCst);
        looking.join().expect("it looked")
    });
    assert!(looked > 0, "the deployment's own command line was never seen");
    assert_eq!(found, BTreeSet::new());

    // It is there.
    let name = app.resource("record");
    let variables = format!(
        "lambda_.get_function_configuration(FunctionName={name:?}, Qualifier='live')['Environment']['Variables']"
    );
    assert_eq!(app.ask(&variables)["KEY"], key);
    let body = json!({ "id": "told", "action": "ok" }).to_string();
    let url = format!("sqs.get_queue_url(QueueName={:?})['QueueUrl']", app.resource("recorded"));
    app.ask(&format!("sqs.send_message(QueueUrl={url}, MessageBody={body:?})['MessageId']"));
    let left = format!(
        "sum(int(n) for n in sqs.get_queue_attributes(QueueUrl={url}, AttributeNames=['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'])['Attributes'].values())"
    );
    app.until("the message is taken", &left, |left| left == 0);
    assert_eq!(handled(&record).into_iter().collect::<Vec<_>>(), [("told".to_owned(), 1)]);

    for arguments in [
        &["status"][..],
        &["status", "-o", "json"],
        &["logs"],
        &["logs", "-o", "json"],
        &["versions"],
        &["versions", "-o", "json"],
        &["deploy", "-v", "-o", "json"],
    ] {
        silent(&mut with(arguments), 0);
    }
    rotated(&app, &record);
    failing(&app, &record);
    silent(&mut app.command(&["destroy", "--yes"]), 0);
    assert_eq!(files(&app.cloud.home), ["key"], "kept in files");
}

/// Another value is a change of one field whose values nobody sees; so is what somebody has set by hand.
fn rotated(app: &App, record: &Path) {
    let next = format!("{CANARY}-next");
    std::fs::write(app.directory().join("key"), &next).expect("a file");
    let plan = silent(app.command(&["plan", "-o", "json"]).env("SOURCE", record), 0);
    assert!(plan.contains("secrets.KEY") && !plan.contains("secrets.FIXTURE_RECORD"), "{plan}");
    silent(app.command(&["deploy", "-v"]).env("SOURCE", record), 0);
    let name = app.resource("record");
    let variables =
        format!("lambda_.get_function_configuration(FunctionName={name:?})['Environment']['Variables']");
    assert_eq!(app.ask(&variables)["KEY"], next);
    let by_hand = format!(
        "lambda_.update_function_configuration(FunctionName={name:?}, Environment={{'Variables': {{**{variables}, 'KEY': 'canary-by-hand'}}}})['Version']"
    );
    app.ask(&by_hand);
    let plan = silent(app.command(&["plan", "-o", "json"]).env("SOURCE", record), 0);
    assert!(plan.contains("secrets.KEY"), "{plan}");
    silent(app.command(&["deploy", "-v"]).env("SOURCE", record), 0);
    assert_eq!(app.ask(&variables)["KEY"], next);
}

/// A deployment that fails at the very call that has the values in it.
fn failing(app: &App, record: &Path) {
    std::fs::write(app.directory().join("key"), format!("{CANARY}-third")).expect("a file");
    let proxy = Proxy::start(&app.cloud.ministack.endpoint());
    let path = format!("PUT /2015-03-31/functions/{}/configuration", app.resource("record"));
    for (status, code, exit) in [
        ("403 Forbidden", "AccessDeniedException", 4),
        ("400 Bad Request", "InvalidParameterValueException", 2),
    ] {
        proxy.refuse(&path, status, code);
        for arguments in [&["deploy", "-v"][..], &["deploy", "-v", "-o", "json"]] {
            let mut command = app.command(arguments);
            command.env("SOURCE", record).env("AWS_ENDPOINT_URL", proxy.address()).env("RUST_LOG", "trace");
            let said = silent(&mut command, exit);
            assert!(said.contains("lambda:UpdateFunctionConfiguration") && said.contains(code), "{said}");
        }
    }
}
