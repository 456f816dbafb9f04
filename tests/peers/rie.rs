//! AWS's own emulator in front of the fixture. It takes one call at a time.

use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xcloud_serve::host::free_port;
use xcloud_tests::tools::{self, Skip};

use crate::{Running, listens, post};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const PATH: &str = "/2015-03-31/functions/function/invocations";

/// In managed mode the emulator does not queue: while no loop has asked for its next call yet, it answers
/// `Runtime.Unavailable` at once; rarely it resets a connection instead, when calls come together. Lambda's front waits;
/// so does this.
fn invoke(port: u16, event: &Value) -> Result<Value, String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let (status, body) = match post(port, PATH, &[], event.to_string().as_bytes()) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset && Instant::now() < end => {
                continue;
            }
            result => result.map_err(|e| e.to_string())?,
        };
        let answer: Value =
            serde_json::from_str(&body).map_err(|e| format!("{event}: {status} {body}: {e}"))?;
        if answer["errorType"] != "Runtime.Unavailable" || Instant::now() > end {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn gateway(method: &str, path: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": "", "headers": { "content-type": "application/json" },
        "requestContext": { "http": { "method": method } }, "body": body, "isBase64Encoded": false,
    })
}

fn sqs(bodies: &[&str]) -> Value {
    let record = |(at, body): (usize, &&str)| {
        json!({ "messageId": format!("m-{at}"), "eventSource": "aws:sqs", "body": body,
            "eventSourceARN": "arn:aws:sqs:eu-west-1:1:work-items", "attributes": { "ApproximateReceiveCount": "2" } })
    };
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
}

fn same(what: &str, got: &Value, wanted: &Value) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: got {got}, expected {wanted}")) }
}

/// What the classic and the managed mode have in common.
fn suite(port: u16) -> Result<(), String> {
    let hello = invoke(port, &gateway("GET", "/hello", ""))?;
    same("hello", &json!([hello["statusCode"], hello["body"]]), &json!([200, "hello"]))?;
    let double = invoke(port, &gateway("POST", "/double", r#"{"n":21}"#))?;
    same(&format!("double: {double}"), &double["statusCode"], &json!(200))?;
    let bad = invoke(port, &gateway("POST", "/double", "not json"))?;
    same("not json", &bad["statusCode"], &json!(400))?;
    same("panic", &invoke(port, &gateway("GET", "/panic", ""))?["statusCode"], &json!(500))?;
    same("no route", &invoke(port, &gateway("GET", "/nowhere", ""))?["statusCode"], &json!(404))?;
    let batch =
        invoke(port, &sqs(&[r#"{"id":"a","action":"ok"}"#, "not json", r#"{"id":"b","action":"ok"}"#]))?;
    same("batch", &batch, &json!({ "batchItemFailures": [{ "itemIdentifier": "m-1" }] }))?;
    same(
        "whole batch",
        &invoke(port, &sqs(&[r#"{"id":"a","action":"ok"}"#]))?,
        &json!({ "batchItemFailures": [] }),
    )?;
    let broken = invoke(port, &json!({ "Records": [{ "eventSource": "aws:sqs" }] }))?;
    same("broken records", &broken["errorType"], &json!("Function.BadEvent"))
}

fn start(command: &mut Command, port: u16) -> Result<Running, String> {
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("{command:?}: {e}"))?;
    let running = Running(child);
    listens(port)?;
    Ok(running)
}

fn ports() -> Result<(u16, [String; 4]), String> {
    let (api, port) = (free_port().map_err(|e| e.to_string())?, free_port().map_err(|e| e.to_string())?);
    let arguments = [
        "--runtime-api-address".to_owned(),
        format!("127.0.0.1:{api}"),
        "--runtime-interface-emulator-address".to_owned(),
        format!("127.0.0.1:{port}"),
    ];
    Ok((port, arguments))
}

pub(crate) fn classic() -> Result<(), String> {
    let rie = match tools::rie() {
        Ok(rie) => rie,
        Err(why) => return tools::skip(&why),
    };
    let (port, arguments) = ports()?;
    let mut command = Command::new(rie);
    command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10").args(arguments).arg(FIXTURE);
    let _running = start(&mut command, port)?;
    suite(port)
}

/// The managed mode wants `/var/task/bootstrap`: a mount namespace with a `/var` of its own, for which one must be root.
pub(crate) fn managed() -> Result<(), String> {
    let rie = match tools::rie() {
        Ok(rie) => rie,
        Err(why) => return tools::skip(&why),
    };
    let probe = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /var"]).output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        let why = format!("managed instances need a mount namespace (root and unshare): {probe:?}");
        return tools::skip(&Skip(why));
    }
    let (port, arguments) = ports()?;
    let script = "rie=$(realpath \"$1\") && mount -t tmpfs tmpfs /var && mkdir -p /var/task /var/tmp && cp \"$2\" /var/task/bootstrap && cd /var/task && \
        shift 2 && exec \"$rie\" \"$@\" /var/task/bootstrap";
    let mut command = Command::new("unshare");
    command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10").env("AWS_LAMBDA_MAX_CONCURRENCY", "4");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(rie).arg(FIXTURE).args(arguments);
    let _running = start(&mut command, port)?;
    suite(port)?;
    // Classic RIE panics on two at once; here they are handed to four loops.
    let calls: Vec<_> =
        (0..4).map(|_| std::thread::spawn(move || invoke(port, &gateway("GET", "/hello", "")))).collect();
    for call in calls {
        let answer = call.join().map_err(|_| "a call panicked".to_owned())??;
        same(&format!("at once: {answer}"), &answer["statusCode"], &json!(200))?;
    }
    Ok(())
}

/// Streaming as RAPID takes it: it buffers for its client, so what comes out is prelude, eight NULs and body.
pub(crate) fn streams() -> Result<(), String> {
    let rie = match tools::rie() {
        Ok(rie) => rie,
        Err(why) => return tools::skip(&why),
    };
    let (port, arguments) = ports()?;
    let mut command = Command::new(rie);
    command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10").env("XCLOUD_HTTP_STREAM", "1");
    let _running = start(command.args(arguments).arg(FIXTURE), port)?;
    // Function URLs hang on an empty body after a prelude, so an empty one is a newline.
    for (kind, body) in [("", "piece 2\npiece 1\npiece 0\n"), ("empty", "\n")] {
        let mut event = gateway("GET", "/stream", "");
        event["rawQueryString"] = format!("kind={kind}").into();
        let (status, answer) =
            post(port, PATH, &[], event.to_string().as_bytes()).map_err(|e| e.to_string())?;
        same("status", &status.into(), &json!(200))?;
        let (prelude, rest) =
            answer.split_once("\0\0\0\0\0\0\0\0").ok_or(format!("no prelude: {answer:?}"))?;
        let prelude: Value = serde_json::from_str(prelude).map_err(|e| format!("{prelude}: {e}"))?;
        same("prelude", &prelude["statusCode"], &json!(200))?;
        same(kind, &rest.into(), &body.into())?;
    }
    // A body that breaks off is reported in trailers; the instance answers the next call.
    let mut broken = gateway("GET", "/stream", "");
    broken["rawQueryString"] = "kind=broken".into();
    drop(post(port, PATH, &[], broken.to_string().as_bytes()));
    let (_, answer) = post(port, PATH, &[], gateway("GET", "/hello", "").to_string().as_bytes())
        .map_err(|e| e.to_string())?;
    if answer.ends_with("hello") { Ok(()) } else { Err(format!("after a broken stream: {answer:?}")) }
}

/// An init that fails is reported as such, with its reason.
pub(crate) fn init_error() -> Result<(), String> {
    let rie = match tools::rie() {
        Ok(rie) => rie,
        Err(why) => return tools::skip(&why),
    };
    let (port, arguments) = ports()?;
    let mut command = Command::new(rie);
    command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10").env("FIXTURE_INIT", "fail");
    let _running = start(command.args(arguments).arg(FIXTURE), port)?;
    let (status, answer) = post(port, PATH, &[], gateway("GET", "/hello", "").to_string().as_bytes())
        .map_err(|e| e.to_string())?;
    if answer.contains("Runtime.InitError") && answer.contains("init was asked to fail") {
        return Ok(());
    }
    Err(format!("an init error is answered {status} {answer}"))
}

/// With a shutdown hook the extension is registered, and SIGTERM comes before the end.
pub(crate) fn graceful_stop() -> Result<(), String> {
    let rie = match tools::rie() {
        Ok(rie) => rie,
        Err(why) => return tools::skip(&why),
    };
    let (port, arguments) = ports()?;
    let mut command = Command::new(rie);
    command.env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10").env("FIXTURE_SHUTDOWN", "1");
    command.args(arguments).arg(FIXTURE).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn().map_err(|e| e.to_string())?);
    let mut output = running.0.stdout.take().ok_or("no output")?;
    listens(port)?;
    invoke(port, &gateway("GET", "/hello", ""))?;
    let pid = running.0.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().map_err(|e| e.to_string())?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut output, &mut text).map_err(|e| e.to_string())?;
    if text.contains("the shutdown hook ran") { Ok(()) } else { Err(format!("no hook: {text}")) }
}
