//! The fixture's handlers as apps of AWS: no build, and of the handlers those that a test wants.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Cloud;

/// ministack starts a process for a first call, on a machine that builds beside it.
const PATIENCE: Duration = Duration::from_secs(90);

/// An app, and the cloud that it goes to.
pub(super) struct App {
    pub(super) cloud: Cloud,
    directory: PathBuf,
    /// The project's name: the app's things are called `<name>-dev-…`.
    name: &'static str,
}

impl App {
    /// An app of these functions on a cloud of its own; `toml` comes after `[project]`.
    pub(super) fn start(name: &'static str, functions: &[&str], toml: &str) -> Option<Self> {
        Cloud::start(&format!("aws-{name}")).map(|cloud| Self::on(cloud, name, functions, toml))
    }

    pub(super) fn on(cloud: Cloud, name: &'static str, functions: &[&str], toml: &str) -> Self {
        let directory = cloud.home.join("app");
        std::fs::create_dir_all(directory.join("artifact")).expect("a directory");
        let app = Self { cloud, directory, name };
        app.build(functions, |_| ());
        app.configure(toml);
        app
    }

    /// As a build would leave it whose app has these functions, each as `change` makes it.
    pub(super) fn build(&self, functions: &[&str], change: impl Fn(&mut Value)) {
        let (program, digest, spec) = fixture();
        let mut spec = spec.clone();
        let all = spec["functions"].as_array_mut().expect("a list");
        all.retain(|function| functions.iter().any(|name| function["name"] == *name));
        assert_eq!(all.len(), functions.len(), "the fixture has {functions:?}");
        all.iter_mut().for_each(change);
        complete(&mut spec);
        let artifact = self.directory.join("artifact");
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let facts = json!({ "sha256": digest, "arch": arch, "spec": spec });
        std::fs::write(artifact.join("binary.json"), facts.to_string()).expect("a file");
        std::fs::copy(program, artifact.join("binary")).expect("a file");
    }

    /// Writes xcloud.toml.
    pub(super) fn configure(&self, toml: &str) {
        let text = format!("[project]\nname = \"{}\"\n{toml}", self.name);
        std::fs::write(self.directory.join("xcloud.toml"), text).expect("a file");
    }

    /// Where its xcloud.toml is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What a function is called at AWS.
    pub(super) fn resource(&self, name: &str) -> String {
        format!("{}-dev-{name}", self.name)
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cloud.command();
        command.arg("-C").arg(&self.directory).args(["-p", "aws"]).args(arguments);
        if matches!(arguments.first(), Some(&"deploy" | &"plan")) && !arguments.contains(&"--destroy") {
            command.arg("--artifact").arg(self.directory.join("artifact"));
        }
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("xcloud starts")
    }

    /// The one object on stdout, and the exit code.
    pub(super) fn object(&self, arguments: &[&str]) -> (Value, i32) {
        object(&self.run(&[arguments, &["-o", "json"]].concat()))
    }

    /// `data` of a verb that succeeds.
    pub(super) fn data(&self, arguments: &[&str]) -> Value {
        let (object, code) = self.object(arguments);
        assert_eq!(code, 0, "{arguments:?}: {object}");
        object["data"].clone()
    }

    /// What boto3 answers to an expression, as [`Cloud::ask`].
    pub(super) fn ask(&self, ask: &str) -> Value {
        self.cloud.ask(ask)
    }

    /// Waits until boto3's answer is as it should be, and gives it.
    pub(super) fn until(&self, what: &str, ask: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(ask);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < end, "{what}: {answer}\n{}", self.cloud.ministack.log());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Waits for so many lines with this text in a function's log, and gives what comes after the text.
    pub(super) fn lines(&self, function: &str, text: &str, count: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let data = self.data(&["logs", function]);
            let lines = data["lines"].as_array().expect("a list").iter();
            let lines = lines.filter_map(|line| line["line"].as_str()?.split_once(text));
            let found: Vec<_> = lines.map(|(_, rest)| rest.to_owned()).collect();
            if found.len() >= count {
                return found;
            }
            assert!(
                Instant::now() < end,
                "{function}: {} of {count} lines with {text:?}: {data}\n{}",
                found.len(),
                self.cloud.ministack.log()
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// What the fixture's handlers of events have said that they saw.
    pub(super) fn saw(&self, function: &str, count: usize) -> Vec<Value> {
        let said = self.lines(function, "saw ", count);
        said.iter().map(|line| seen(line)).collect()
    }
}

/// The JSON at the beginning of what follows `saw `, which may itself stand in the JSON of a log line.
fn seen(line: &str) -> Value {
    let of = |text: &str| serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok();
    let quoted = || of(&line.replace("\\\"", "\"").replace("\\\\", "\\"));
    of(line).or_else(quoted).unwrap_or_else(|| panic!("no JSON: {line}"))
}

pub(super) fn object(output: &Output) -> (Value, i32) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let object = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    (object, output.status.code().unwrap_or(-1))
}

/// The fixture without its symbols, which would be packed each time; its hash; and what it says of itself.
fn fixture() -> &'static (PathBuf, String, Value) {
    static FIXTURE: OnceLock<(PathBuf, String, Value)> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let directory = crate::scratch("aws-fixture");
        let (program, spec) = (directory.join("fixture"), directory.join("spec.json"));
        let done = |command: &mut Command| {
            let output = command.output().expect("it starts");
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        done(Command::new("strip").arg("-o").arg(&program).arg(Path::new(env!("CARGO_BIN_EXE_fixture"))));
        done(Command::new(&program).env("XCLOUD_DESCRIBE", &spec));
        let spec = serde_json::from_slice(&std::fs::read(&spec).expect("a spec")).expect("JSON");
        let sum = done(Command::new("sha256sum").arg(&program));
        (program, sum.split(' ').next().expect("a digest").to_owned(), spec)
    })
}

/// Writes into a spec which queues, buckets, tables and topics its functions name, in order as a binary does.
fn complete(spec: &mut Value) {
    let functions = spec["functions"].as_array().cloned().unwrap_or_default();
    let named = |kind: &str, list: &str| {
        let listed = |function: &Value| function[list].as_array().cloned().unwrap_or_default();
        let all = functions.iter().flat_map(|f| f["trigger"].get(kind).cloned().into_iter().chain(listed(f)));
        all.filter_map(|name| name.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    let (queues, tables) = (named("queue", "sends"), named("table", "tables"));
    let (buckets, topics) = (named("bucket", ""), named("topic", ""));
    for (field, names) in [("queues", queues), ("tables", tables), ("buckets", buckets), ("topics", topics)] {
        spec[field] = json!(names);
    }
}
