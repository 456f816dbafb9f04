//! Living with what is deployed: following logs, finding a call's lines, the host that ended and comes back.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::{host, kill};
use crate::fixture::Deployed;
use crate::{data, program, scratch, xcloud};

/// A running `xcloud logs -f -o json`.
struct Follow {
    child: Child,
    lines: Receiver<Value>,
}

impl Follow {
    fn start(app: &Deployed, arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.env("XCLOUD_HOME", &app.home).current_dir(&app.directory);
        command.args(["logs", "-f", "-o", "json"]).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("xcloud starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                drop(sender.send(line));
            }
        });
        Self { child, lines }
    }

    fn wait(&self, text: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|e| panic!("no line with {text}: {e}"));
            if line["line"].as_str().is_some_and(|line| line.contains(text)) {
                return line;
            }
        }
    }

    fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
        self.child.wait().expect("it ends").code()
    }
}

fn work(app: &Deployed, id: &str) -> Value {
    let message = json!({ "id": id, "action": "ok" }).to_string();
    app.run(&["invoke", "work", "-d", &message])
}

#[test]
fn logs_are_followed_across_a_killed_host_and_found_by_call() {
    let app = Deployed::new("followed", "");
    let before = work(&app, "before");
    let follow = Follow::start(&app, &["work"]);
    follow.wait("did before");
    let called = work(&app, "first");
    let line = follow.wait("did first");
    assert_eq!(line["request_id"], called["request_id"], "{line}");
    kill(&host(&app.home));
    work(&app, "second");
    follow.wait("did second");
    assert_eq!(follow.interrupt(), Some(130));

    let id = before["request_id"].as_str().expect("an id");
    let found = app.run(&["logs", "--request", id]);
    let lines = found["lines"].as_array().expect("a list");
    assert!(!lines.is_empty() && lines.iter().all(|line| line["request_id"] == id), "{found}");
    assert!(lines.iter().any(|line| line.to_string().contains("did before")), "{found}");
    let none = app.run(&["logs", "--since", "2100-01-01T00:00:00Z"]);
    assert_eq!(none["lines"], json!([]));
    assert!(app.run(&["logs", "work", "--since", "10m"]).to_string().contains("did second"));
}

#[test]
fn a_host_that_was_killed_is_told_of_once_and_one_that_was_stopped_is_not() {
    let app = Deployed::new("told", "");
    let directory = app.directory.display().to_string();
    let stderr = |arguments: &[&str]| {
        let output = xcloud(&app.home, &[&["-C", directory.as_str()], arguments].concat());
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let pid = host(&app.home);
    kill(&pid);
    let told = stderr(&["status"]);
    assert!(told.contains("had ended") && told.contains("started again with 1 app and 0 messages"), "{told}");
    assert_eq!(stderr(&["status"]), "", "it is told of once");
    let status = data(&app.home, &["local", "status", "-o", "json"]);
    assert!(status["running"] == true && status["apps"] == json!(["told.dev"]), "{status}");
    assert_ne!(status["pid"].to_string(), pid);
    let text = xcloud(&app.home, &["local", "status"]).stdout;
    let held = status["memory_limits"].as_str().expect("it says how");
    assert!(["held by the kernel (", "held by looking "].iter().any(|how| held.starts_with(how)), "{held}");
    assert!(String::from_utf8_lossy(&text).contains(&format!("memory limits are {held}")));

    let stop = || data(&app.home, &["local", "stop", "-o", "json"]);
    assert_eq!((stop(), stop()), (json!({ "running": false }), json!({ "running": false })));
    assert_eq!(data(&app.home, &["local", "status", "-o", "json"]), json!({ "running": false }));
    assert_eq!(data(&app.home, &["local", "start", "-o", "json"])["apps"], json!(["told.dev"]));
    stop();
    assert_eq!(stderr(&["status"]), "", "who was asked to end has not died");
    assert_eq!(work(&app, "after")["status"], 200);
}

#[test]
fn the_local_host_needs_no_project() {
    let home = scratch("no-project");
    let output = xcloud(&home, &["-C", "/", "local", "status"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("does not run"));
}
