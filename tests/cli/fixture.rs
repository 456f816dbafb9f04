//! The fixture as a deployed app: no build, every kind of handler.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use xcloud_core::queue::QueueTransport;

use crate::{data, scratch, xcloud};

/// A project around the fixture, deployed without a build; taken down with the value.
pub(crate) struct Deployed {
    pub(crate) home: PathBuf,
    pub(crate) directory: PathBuf,
}

impl Deployed {
    /// `toml` comes after `[project]`.
    pub(crate) fn new(name: &str, toml: &str) -> Self {
        Self::in_home(&scratch(name), name, toml)
    }

    /// One of several apps of a host.
    pub(crate) fn in_home(home: &Path, name: &str, toml: &str) -> Self {
        let this = Self { directory: home.join("app").join(name), home: home.to_owned() };
        let artifact = this.directory.join("artifact");
        std::fs::create_dir_all(&artifact).expect("the temporary directory can be written");
        let toml = format!("[project]\nname = \"{name}\"\n{toml}");
        std::fs::write(this.directory.join("xcloud.toml"), toml)
            .expect("the temporary directory can be written");
        kept(&artifact);
        let artifact = artifact.display().to_string();
        this.run(&["deploy", "--artifact", &artifact]);
        this
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let directory = self.directory.to_str().expect("a path of ours is text");
        [&["-C", directory], arguments, &["-o", "json"]].concat()
    }

    /// Runs the command and expects success.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        data(&self.home, &self.arguments(arguments))
    }

    /// Runs the command: exit code and the one object.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = xcloud(&self.home, &self.arguments(arguments));
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    /// The way to a queue, as functions have it.
    pub(crate) fn queue(&self, name: &str, queue: &str) -> Arc<dyn QueueTransport> {
        let socket = self.home.join("run/data.sock");
        xcloud_local::sender::open_queue(&format!("{name}.dev/{queue}@{}", socket.display()))
            .expect("a binding")
    }

    pub(crate) fn counts(&self, queue: &str) -> (u64, u64) {
        let listed = self.run(&["queue", "ls"]);
        let queues = listed["queues"].as_array().expect("a list");
        let found = queues.iter().find(|q| q["name"] == queue).expect("the queue is listed");
        (found["waiting"].as_u64().expect("a number"), found["dead"].as_u64().expect("a number"))
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        xcloud(&self.home, &self.arguments(&["destroy", "--yes", "--delete-data"]));
        drop(std::fs::remove_dir_all(&self.home));
    }
}

/// The fixture as a build would leave it.
fn kept(artifact: &Path) {
    let program = env!("CARGO_BIN_EXE_fixture");
    let spec = artifact.join("spec.json");
    let described = Command::new(program).env("XCLOUD_DESCRIBE", &spec).status().expect("the fixture starts");
    assert!(described.success());
    let spec: Value = serde_json::from_slice(&std::fs::read(&spec).expect("a spec")).expect("JSON");
    let sum = Command::new("sha256sum").arg(program).output().expect("sha256sum runs");
    let sum = String::from_utf8_lossy(&sum.stdout);
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let facts = json!({ "sha256": sum.split(' ').next(), "arch": arch, "spec": spec });
    std::fs::write(artifact.join("binary.json"), facts.to_string()).expect("the directory can be written");
    std::fs::copy(program, artifact.join("binary")).expect("the fixture can be copied");
}

/// Where the fixture writes down what it was given.
pub(crate) fn record_toml(file: &Path) -> String {
    format!("[functions.record]\nenv = {{ FIXTURE_RECORD = {file:?} }}\n")
}

/// How often each message was handled.
pub(crate) fn handled(file: &Path) -> BTreeMap<String, usize> {
    let mut handled = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
        *handled.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    handled
}

pub(crate) fn message(id: &str, action: &str) -> Bytes {
    json!({ "id": id, "action": action }).to_string().into()
}
