//! `xcloud dev`: what is saved is served.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deploy::{good, order, post};
use crate::{program, root, scratch};

/// A first build compiles every dependency.
const BUILD: Duration = Duration::from_secs(300);

/// A running `xcloud dev -o json`.
pub(crate) struct Dev {
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Dev {
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        for name in ["XCLOUD_PROVIDER", "XCLOUD_STAGE", "XCLOUD_CONFIG", "XCLOUD_OUTPUT", "RUSTFLAGS"] {
            command.env_remove(name);
        }
        // Every app of these tests shares what is built with the examples.
        command.env("CARGO_TARGET_DIR", root().join("examples/target")).current_dir(directory);
        command.args(["dev", "-o", "json"]).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("xcloud starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, events, seen: Vec::new() }
    }

    /// The next event that is wanted; those before it are passed over.
    pub(crate) fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + BUILD;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(event) = self.events.recv_timeout(left) else {
                panic!("{what} did not happen; it said: {:#?}", self.seen);
            };
            self.seen.push(event.clone());
            if wanted(&event) {
                return event;
            }
            assert!(event["event"] != "failed", "{what} did not happen; it said: {:#?}", self.seen);
        }
    }

    /// An event that may have come already: lines come through a pipe, calls do not.
    pub(crate) fn ever(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        match self.seen.iter().find(|event| wanted(event)) {
            Some(event) => event.clone(),
            None => self.wait(what, wanted),
        }
    }

    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.wait(name, |event| event["event"] == name)
    }

    /// The next log line that holds a text.
    pub(crate) fn log(&mut self, text: &str) -> Value {
        self.wait(text, |event| event["line"].as_str().is_some_and(|line| line.contains(text)))
    }

    /// Ctrl-C, as a terminal sends it.
    pub(crate) fn interrupt(mut self) -> (Option<i32>, Vec<Value>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        while let Ok(event) = self.events.recv_timeout(Duration::from_secs(10)) {
            self.seen.push(event);
        }
        (status.code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Ended already, where the test has come to its end.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// The body of a `GET`, on a connection of its own.
pub(crate) fn get(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").expect("an http URL");
    let mut stream = TcpStream::connect(address).expect("the app listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .expect("it can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

const MAIN: &str = r#"
use xcloud::{App, Context, Http, Queue, Result, Sender, Tick, handler};

const TEXT: &str = "one";

#[handler(http = "GET /text", sends = "things")]
async fn text(_request: Http<()>, things: Sender<u32>, cx: Context) -> Result<String> {
    cx.log().info(format!("asked for {TEXT}"));
    things.send(&7).await?;
    Ok(format!("{TEXT} {}", std::process::id()))
}

/// Answers when the file is there.
#[handler(http = "GET /until/{file}")]
async fn until(request: Http<()>, cx: Context) -> Result<String> {
    let file = std::env::temp_dir().join(request.param::<String>("file")?);
    cx.log().info("waiting");
    while !file.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Ok(TEXT.to_owned())
}

#[handler(schedule = "every 7 days")]
async fn sweep(tick: Tick, cx: Context) -> Result<()> {
    let seconds = tick.scheduled.duration_since(std::time::UNIX_EPOCH).map(|time| time.as_secs());
    cx.log().info(format!("{TEXT} swept: {}", seconds.is_ok_and(|seconds| seconds > 0)));
    Ok(())
}

#[handler(queue = "things")]
async fn work(things: Queue<u32>, cx: Context) -> Result<()> {
    cx.log().info(format!("{TEXT} worked on {}", things.len()));
    Ok(())
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![text, until, work, sweep]))
}
"#;

/// An app of its own, with the versions of dependencies that this repository has.
pub(crate) fn app(name: &str, main: &str) -> PathBuf {
    let directory = scratch(name);
    let providers = root().join("providers");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\
         tokio = {{ version = \"1\", default-features = false, features = [\"time\"] }}\n\
         xcloud = {{ path = {providers:?} }}\n[profile.dev.package.\"*\"]\ndebug = 0\n"
    );
    let write =
        |file: &str, text: &str| std::fs::write(directory.join(file), text).expect("it can be written");
    std::fs::create_dir_all(directory.join("src")).expect("it can be made");
    write("Cargo.toml", &manifest);
    write("xcloud.toml", &format!("[project]\nname = \"{name}\"\n"));
    write("src/main.rs", main);
    std::fs::copy(root().join("examples/Cargo.lock"), directory.join("Cargo.lock"))
        .expect("it can be copied");
    directory
}

fn save(directory: &Path, from: &str, to: &str) {
    let main = directory.join("src/main.rs");
    let text = std::fs::read_to_string(&main).expect("it can be read");
    assert!(text.contains(from), "{from} is not in {text}");
    // Whole: a build that begins between the truncation and the write would be one of nothing.
    let part = directory.with_extension("part");
    std::fs::write(&part, text.replace(from, to)).expect("it can be written");
    std::fs::rename(part, main).expect("it can be renamed");
}

fn url(served: &Value) -> String {
    served["url"].as_str().unwrap_or_else(|| panic!("no URL: {served}")).to_owned()
}

/// The dev loop from its start to its end.
#[test]
fn what_is_saved_is_served_and_a_mistake_is_not() {
    let directory = app("dev-loop", &MAIN.replace("\"one\"", "one"));
    let mut dev = Dev::start(&directory, &[]);
    let url = url(&dev.event("watching"));
    assert_eq!(dev.event("failed")["serves"], false);
    let (status, answer) = order(&url, "text/plain", "nothing");
    assert!(status == 503 && answer["error"].as_str().is_some_and(|e| e.contains("build")), "{answer}");
    save(&directory, "= one", "= \"one\"");
    let served = dev.event("served");
    assert_eq!((&served["version"], &served["url"]), (&Value::from(1), &Value::from(url.clone())));
    let first = get(&url, "/text");
    assert!(first.starts_with("one "), "{first}");
    assert!(dev.log("asked for one")["request_id"].is_string(), "log lines name their call");
    // Another process's line, which may have come before.
    let worked = dev.ever("a message's line", |event| {
        event["line"].as_str().is_some_and(|line| line.contains("one worked on 1"))
    });
    assert_eq!(worked["function"], "work");
    let called =
        dev.ever("the end of a call", |event| event["event"] == "call" && event["function"] == "work");
    assert!(called["outcome"] == "ok" && called["duration_ms"].is_number(), "{called}");

    // A request that is on its way when the next version comes ends where it began.
    let file = format!("xcloud-dev-until-{}", std::process::id());
    let path = format!("/until/{file}");
    let asked = url.clone();
    let waiting = std::thread::spawn(move || get(&asked, &path));
    dev.log("waiting");
    save(&directory, "\"one\"", "\"two\"");
    let swapped = dev.event("served");
    assert_eq!((&swapped["url"], &swapped["after"]), (&Value::from(url.clone()), &Value::from("save")));
    assert!(swapped["seconds"].as_f64().is_some_and(|s| s > 0.0), "{swapped}");
    assert!(get(&url, "/text").starts_with("two "), "the next request is answered by what was saved");
    std::fs::write(std::env::temp_dir().join(&file), "").expect("it can be written");
    assert_eq!(waiting.join().expect("an answer"), "one");
    std::fs::remove_file(std::env::temp_dir().join(&file)).expect("it can be removed");

    save(&directory, "\"two\"", "two");
    assert_eq!(dev.event("failed")["serves"], true);
    assert!(get(&url, "/text").starts_with("two "), "the version before still serves");
    save(&directory, "= two", "= \"three\"");
    dev.event("served");
    let last = get(&url, "/text");
    assert!(last.starts_with("three "), "{last}");
    dev.log("three worked on 1");

    // What is saved while a build is on its way is what is served.
    save(&directory, "\"three\"", "\"four\"");
    dev.event("building");
    save(&directory, "\"four\"", "\"three\"");
    dev.event("saved");
    dev.wait("the last save", |event| ["served", "unchanged"].iter().any(|name| event["event"] == *name));
    let last = get(&url, "/text");
    assert!(last.starts_with("three "), "{last}");

    let (code, events) = dev.interrupt();
    assert_eq!(code, Some(0), "{events:#?}");
    assert_eq!(events.last().expect("an end")["message"], "stopped");
    assert!(TcpStream::connect(url.trim_start_matches("http://")).is_err(), "it still listens");
    let pid = last.trim_start_matches("three ");
    assert!(!Path::new("/proc").join(pid).exists(), "process {pid} is still there");
    again(&directory, &url);
}

/// The next session has the same port; a second one at the same time is refused, and so is a port that is taken.
fn again(directory: &Path, url: &str) {
    let mut dev = Dev::start(directory, &["-v"]);
    assert_eq!(self::url(&dev.event("served")), url);
    get(url, "/text");
    // Of the request: the message that it sends is worked on at the same time, and told of too.
    let call = |dev: &mut Dev, way: &str, text: &str| {
        let way = format!("\"way\":\"{way}\"");
        let line = dev.wait(text, |event| {
            event["function"] == "http" && event["line"].as_str().is_some_and(|line| line.contains(&way))
        });
        assert!(line["line"].as_str().is_some_and(|line| line.contains(text)), "{line}");
    };
    call(&mut dev, "in", "GET /text");
    call(&mut dev, "out", "200 OK");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program());
        let output =
            command.current_dir(directory).arg("dev").args(arguments).output().expect("xcloud starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = run(&[]);
    assert!(code == Some(1) && stderr.contains("serves this app already"), "{stderr}");
    dev.interrupt();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (code, stderr) = run(&["--port", &port]);
    assert!(code == Some(2) && stderr.contains(&format!("cannot listen on port {port}")), "{stderr}");
}

/// What the README tells a newcomer to do.
#[test]
fn a_new_app_is_served_and_the_next_request_has_what_was_edited() {
    let home = scratch("newcomer");
    let place = home.display().to_string();
    let output = crate::xcloud(&home, &["-C", &place, "new", "demo"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let demo = home.join("demo");
    std::fs::copy(root().join("examples/Cargo.lock"), demo.join("Cargo.lock")).expect("it can be copied");
    let mut dev = Dev::start(&demo, &[]);
    let url = url(&dev.event("served"));
    let greet = || post(&url, "/greet", "application/json", r#"{"name":"ada"}"#);
    assert_eq!(greet(), (200, json!({ "message": "Hello, ada!" })));
    save(&demo, "Hello, {name}!\") })", "Good day, {name}!\") })");
    let seconds = dev.event("served")["seconds"].as_f64();
    assert_eq!(greet(), (200, json!({ "message": "Good day, ada!" })));
    assert!(seconds.is_some_and(|seconds| seconds > 0.0), "the time from the save to the service");
    assert_eq!(dev.interrupt().0, Some(0));
}

/// As on Lambda: an instance has one call at a time, the next one gets another instance.
#[test]
fn as_aws_calls_at_once_have_instances_of_their_own() {
    let directory = app("dev-aws", MAIN);
    let mut dev = Dev::start(&directory, &["--as", "aws"]);
    let url = url(&dev.event("served"));
    let file = format!("xcloud-dev-aws-{}", std::process::id());
    let (asked, path) = (url.clone(), format!("/until/{file}"));
    let waiting = std::thread::spawn(move || get(&asked, &path));
    dev.log("waiting");
    assert!(get(&url, "/text").starts_with("one "), "a second call does not wait for the first");
    std::fs::write(std::env::temp_dir().join(&file), "").expect("it can be written");
    assert_eq!(waiting.join().expect("an answer"), "one");
    std::fs::remove_file(std::env::temp_dir().join(&file)).expect("it can be removed");
    // Other events go over the cloud's wire too.
    let place = directory.display().to_string();
    let emitted = crate::xcloud(&directory, &["-C", &place, "emit", "tick", "sweep"]);
    assert!(emitted.status.success(), "{}", String::from_utf8_lossy(&emitted.stderr));
    assert_eq!(dev.log("one swept: true")["function"], "sweep");
    assert_eq!(dev.interrupt().0, Some(0));
}

/// The wire is the cloud's, the receipt is not.
#[test]
fn as_every_cloud_the_same_order_has_the_same_receipt() {
    let orders = root().join("examples/orders");
    for cloud in ["aws", "azure", "gcp", "alibaba"] {
        let mut dev = Dev::start(&orders, &["--as", cloud, "-v"]);
        let url = url(&dev.event("served"));
        let (status, receipt) = order(&url, "application/json", &good().to_string());
        let expected = json!({ "order_id": "o-1", "status": "accepted", "items": 2, "total_cents": 2505 });
        assert_eq!((status, receipt), (200, expected), "{cloud}");
        let fulfilled = dev.log("order fulfilled");
        assert!(fulfilled["function"] == "fulfil" && fulfilled["request_id"].is_string(), "{fulfilled}");
        examples(cloud);
        dev.log("order fulfilled");
        let (code, events) = dev.interrupt();
        assert_eq!(code, Some(0), "{cloud}: {events:#?}");
        both_forms(cloud, &events);
        not_sent(cloud);
    }
}

fn invoke(arguments: &[&str]) -> (Option<i32>, Value, String) {
    let home = scratch("invoke-example");
    let output =
        crate::xcloud(&home, &[&["-C", "examples/orders", "invoke", "-o", "json"], arguments].concat());
    let object = serde_json::from_slice(&output.stdout).expect("one object");
    (output.status.code(), object, String::from_utf8_lossy(&output.stderr).into_owned())
}

const PLACED: &str = r#"{"order_id":"example","customer":"c","currency":"EUR","total_cents":1}"#;

/// Made-up calls reach the running session over its cloud's wire, and that wire's form is shown.
fn examples(cloud: &str) {
    let (code, answer, stderr) = invoke(&["--example", "http", "--as", cloud, "-d", &good().to_string()]);
    assert_eq!((code, &answer["data"]["status"]), (Some(0), &json!(200)), "{cloud}: {answer}");
    assert!(stderr.contains("/orders") && stderr.contains("xcloud dev"), "{cloud}: {stderr}");
    let (code, answer, stderr) = invoke(&["--example", "queue", "--as", cloud, "-d", PLACED]);
    assert_eq!((code, &answer["data"]["status"]), (Some(0), &json!(200)), "{cloud}: {answer}");
    let marks = ["aws:sqs", "DequeueCount", "\"subscription\"", "mns:Queue:SendMessage"];
    assert_eq!(marks.iter().filter(|mark| stderr.contains(**mark)).count(), 1, "{cloud}: {stderr}");
    let (code, answer, _) = invoke(&["--example", "raw"]);
    assert!(code == Some(2) && answer["message"].as_str().is_some_and(|m| m.contains("no raw")), "{answer}");
}

/// Without a session the form is the result.
fn not_sent(cloud: &str) {
    let artifact = root().join("examples/orders/.xcloud/build/binary.json");
    if !artifact.exists() {
        crate::data(&scratch("built"), &["-C", "examples/orders", "build", "-p", "local", "-o", "json"]);
    }
    let (code, answer, stderr) = invoke(&["--example", "http", "--as", cloud, "-d", "{}"]);
    let event = answer["data"]["event"].as_str().unwrap_or_default();
    assert!(code == Some(0) && event.contains("/orders") && stderr.contains("not sent"), "{cloud}: {answer}");
}

/// Every call of both functions is shown in neutral form and in the cloud's, both ways.
fn both_forms(cloud: &str, events: &[Value]) {
    let shown: Vec<Value> = events
        .iter()
        .filter_map(|event| {
            let mut fields: Value = serde_json::from_str(event["line"].as_str()?).ok()?;
            fields["function"] = event["function"].clone();
            fields["form"].is_string().then_some(fields)
        })
        .collect();
    for function in ["http", "fulfil"] {
        for (form, way) in [("neutral", "in"), (cloud, "in"), (cloud, "out"), ("neutral", "out")] {
            let one = |e: &&Value| e["function"] == function && e["form"] == form && e["way"] == way;
            let found =
                shown.iter().find(one).unwrap_or_else(|| panic!("{function} {form} {way}: {shown:#?}"));
            assert!(found["message"].as_str().is_some_and(|text| !text.is_empty()), "{found}");
        }
    }
    let wire = |function: &str| {
        let one = |e: &&Value| e["function"] == function && e["form"] == cloud && e["way"] == "in";
        shown.iter().find(one).and_then(|e| e["message"].as_str()).unwrap_or_default().to_owned()
    };
    let marks = match cloud {
        "aws" => ("\"rawPath\":\"/orders\"", "\"eventSource\":\"aws:sqs\""),
        "azure" => ("x-azure-functions-invocationid", "\"DequeueCount\""),
        "gcp" => ("x-cloud-trace-context", "\"subscription\""),
        _ => ("x-fc-control-path: /http-invoke", "mns:Queue:SendMessage"),
    };
    assert!(wire("http").contains(marks.0) && wire("fulfil").contains(marks.1), "{shown:#?}");
}
