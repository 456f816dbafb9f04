//! An app whose handlers misbehave, deployed to a host of its own: what the tests of the host share.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{data, scratch, xcloud};

/// A host and the app's directory.
pub(crate) struct Tenant {
    directory: PathBuf,
    pub(crate) home: PathBuf,
}

impl Tenant {
    pub(crate) fn new(name: &str) -> Self {
        let directory = scratch(&format!("tenant-{name}"));
        let artifact = directory.join("artifact");
        std::fs::create_dir_all(&artifact).expect("the temporary directory can be written");
        let program = Path::new(env!("CARGO_BIN_EXE_tenant"));
        let spec = artifact.join("spec.json");
        let status = Command::new(program).env("XCLOUD_DESCRIBE", &spec).status().expect("the app starts");
        assert!(status.success(), "describe: {status}");
        let spec: Value = serde_json::from_slice(&std::fs::read(&spec).expect("a spec")).expect("JSON");
        std::fs::copy(program, artifact.join("binary")).expect("the app can be copied");
        let output = Command::new("sha256sum").arg(program).output().expect("sha256sum runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let digest = text.split(' ').next().expect("a digest");
        let facts = json!({ "sha256": digest, "arch": std::env::consts::ARCH, "spec": spec });
        std::fs::write(artifact.join("binary.json"), facts.to_string()).expect("it can be written");
        let home = scratch(&format!("tenant-{name}-home"));
        Self { directory, home }
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let directory = self.directory.to_str().expect("the temporary directory is UTF-8");
        [&["-C", directory], arguments].concat()
    }

    /// Takes the queue and who works it off out of the app's code.
    pub(crate) fn drop_jobs(&self) {
        let facts = self.directory.join("artifact/binary.json");
        let mut known: Value = serde_json::from_slice(&std::fs::read(&facts).expect("facts")).expect("JSON");
        let spec = &mut known["spec"];
        spec["queues"] = json!([]);
        let functions = spec["functions"].as_array_mut().expect("a list");
        functions.retain(|function| function["name"] != "run-job");
        functions.iter_mut().for_each(|function| function["sends"] = json!([]));
        std::fs::write(&facts, known.to_string()).expect("it can be written");
    }

    /// Deploys with these settings beside the project's name.
    pub(crate) fn try_deploy(&self, settings: &str) -> Output {
        self.try_deploy_with(settings, &[])
    }

    /// The same with more arguments.
    pub(crate) fn try_deploy_with(&self, settings: &str, more: &[&str]) -> Output {
        let toml = format!("[project]\nname = \"tenant\"\n{settings}");
        std::fs::write(self.directory.join("xcloud.toml"), toml).expect("it can be written");
        let artifact = self.directory.join("artifact").display().to_string();
        xcloud(
            &self.home,
            &self.arguments(&[&["deploy", "-o", "json", "--artifact", &artifact], more].concat()),
        )
    }

    /// The URL.
    pub(crate) fn deploy(&self, settings: &str) -> String {
        let output = self.try_deploy(settings);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
        let object: Value = serde_json::from_str(&stdout).expect("one object");
        object["data"]["deployments"][0]["url"].as_str().expect("a URL").to_owned()
    }

    /// `data` of a verb that succeeds.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        data(&self.home, &self.arguments(&[arguments, &["-o", "json"]].concat()))
    }

    pub(crate) fn xcloud(&self, arguments: &[&str]) -> Output {
        xcloud(&self.home, &self.arguments(arguments))
    }

    /// The state of a function, as `status` prints it.
    pub(crate) fn state(&self, function: &str) -> String {
        let status = self.run(&["status"]);
        let functions = status["functions"].as_array().expect("a list");
        let found = functions.iter().find(|f| f["name"] == function).expect("the function is listed");
        found["state"].as_str().expect("a word").to_owned()
    }

    /// Waits until the state is as wanted.
    pub(crate) fn until(&self, function: &str, what: &str, wanted: impl Fn(&str) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let state = self.state(function);
            if wanted(&state) {
                return;
            }
            assert!(Instant::now() < end, "{function} does not become {what}: {state}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for a line in the logs of a function.
    pub(crate) fn logged(&self, function: &str, part: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let logs = self.run(&["logs", function]);
            let lines = logs["lines"].as_array().expect("a list");
            if lines.iter().any(|l| l["line"].as_str().is_some_and(|l| l.contains(part))) {
                return;
            }
            assert!(Instant::now() < end, "{part:?} is not in the logs of {function}: {logs}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.xcloud(&["destroy", "--yes", "--delete-data"]);
        // The host ends by itself once its socket is gone.
        drop(std::fs::remove_dir_all(&self.home));
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    address: String,
}

impl Connection {
    pub(crate) fn new(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("an http URL").to_owned();
        let stream = TcpStream::connect(&address).expect("the app listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
        Self { stream, address }
    }

    pub(crate) fn get(&mut self, path: &str) -> (u16, String) {
        self.send("GET", path, "")
    }

    /// Status and body of an answer that says its length.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).expect("the request can be sent");
        let mut answer = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let read = self.stream.read(&mut buffer).expect("an answer");
            assert!(read > 0, "{path}: the connection was closed: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.expect("an answer says its length") {
                let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
                return (status, body.to_owned());
            }
        }
    }
}

/// One request on a connection of its own.
pub(crate) fn get(url: &str, path: &str) -> (u16, String) {
    Connection::new(url).get(path)
}

/// The JSON of an answer that is 200.
pub(crate) fn who(url: &str) -> Value {
    let (status, body) = get(url, "/who");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}
