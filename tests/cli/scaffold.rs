//! An app from each template: made, tested, deployed to this machine and called, as it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{data, program, root, scratch, xcloud};

/// Cheap release builds: the profile's own are held by tests/cli/packages.rs.
const CHEAP: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// An app and its host, taken down whatever becomes of the test.
struct App {
    home: PathBuf,
    directory: PathBuf,
}

impl App {
    fn new(template: &str) -> Self {
        let home = scratch(&format!("new-{template}"));
        let base = home.display().to_string();
        let name = format!("from-{template}");
        let made = data(&home, &["-C", &base, "new", &name, "--template", template, "-o", "json"]);
        let directory = home.join(&name);
        let same = Path::new(made["path"].as_str().expect("a path")).canonicalize().expect("it is there");
        assert_eq!(same, directory.canonicalize().expect("it is there"));
        for file in made["files"].as_array().expect("a list") {
            assert!(Path::new(file.as_str().expect("a path")).is_file(), "{file}");
        }
        let next = json!([format!("cd {name}"), "cargo test", "xcloud dev", "xcloud deploy"]);
        assert_eq!(made["next"], next);
        // The versions that the other tests have built already.
        std::fs::copy(root().join("examples/Cargo.lock"), directory.join("Cargo.lock")).expect("a lock file");
        Self { home, directory }
    }

    /// A command in the app's directory that shares the build output of the examples.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>, cheap: bool) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).env("XCLOUD_HOME", &self.home).env("NO_COLOR", "1");
        command.env("XCLOUD_FIRST_PORT", crate::first_port(&self.home));
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("XCLOUD_OUTPUT");
        if std::env::var_os("CARGO_TARGET_DIR").is_none() {
            command.env("CARGO_TARGET_DIR", root().join("examples/target"));
        }
        if cheap {
            command.envs(CHEAP);
        }
        command
    }

    fn run(&self, mut command: Command) -> Vec<u8> {
        let output = command.output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {stderr}{}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    }

    /// `cargo test`, then `xcloud deploy`; the URL.
    fn deploy(&self, cheap: bool) -> String {
        let mut test = self.command(env!("CARGO"), false);
        test.args(["test", "--quiet"]);
        let said = String::from_utf8_lossy(&self.run(test)).into_owned();
        assert!(said.contains("test result: ok. ") && !said.contains("ok. 0 passed"), "{said}");
        let mut deploy = self.command(program(), cheap);
        deploy.args(["deploy", "-o", "json"]);
        let deployed: Value = serde_json::from_slice(&self.run(deploy)).expect("one object");
        deployed["data"]["deployments"][0]["url"].as_str().expect("a URL").to_owned()
    }

    fn logs(&self, function: &str) -> String {
        let mut logs = self.command(program(), false);
        logs.args(["logs", function]);
        String::from_utf8_lossy(&self.run(logs)).into_owned()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let directory = self.directory.display().to_string();
        xcloud(&self.home, &["-C", &directory, "destroy", "--yes", "--delete-data"]);
        let pid = std::fs::read_to_string(self.home.join("run/host.pid")).unwrap_or_default();
        if !pid.trim().is_empty() {
            drop(Command::new("kill").arg(pid.trim()).status());
        }
        drop(std::fs::remove_dir_all(&self.home));
    }
}

/// Status and body.
fn call(url: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let address = url.strip_prefix("http://").expect("an http URL");
    let mut stream = TcpStream::connect(address).expect("the app listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    let body = body.to_string();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[test]
fn the_template_http_builds_tests_and_deploys_as_it_is() {
    let app = App::new("http");
    let url = app.deploy(false);
    let (status, greeting) = call(&url, "POST", "/greet", &json!({ "name": "Ada" }));
    assert_eq!((status, greeting), (200, json!({ "message": "Hello, Ada!" })));
    assert_eq!(call(&url, "POST", "/greet", &json!({ "name": " " })).0, 422);
    assert_eq!(call(&url, "POST", "/greet", &json!({})).0, 400);
}

#[test]
fn the_template_queue_builds_tests_and_deploys_as_it_is() {
    let app = App::new("queue");
    let url = app.deploy(true);
    let job = json!({ "picture": "cat.png", "width": 800 });
    assert_eq!(call(&url, "POST", "/jobs", &job), (200, json!({ "picture": "cat.png" })));
    let end = Instant::now() + Duration::from_secs(20);
    while !app.logs("resize").contains("resized to 800 x 600") {
        assert!(Instant::now() < end, "the job was not done: {}", app.logs("resize"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_template_api_builds_tests_and_deploys_as_it_is() {
    let app = App::new("api");
    let url = app.deploy(true);
    let note = json!({ "text": "milk" });
    assert_eq!(call(&url, "PUT", "/notes/n-1", &note).0, 201);
    assert_eq!(call(&url, "GET", "/notes/n-1", &Value::Null), (200, note));
    assert_eq!(call(&url, "GET", "/notes/n-2", &Value::Null).0, 404);
}

#[test]
fn new_refuses_names_and_directories_that_are_taken() {
    let home = scratch("new-refused");
    let base = home.display().to_string();
    let new = |name: &str| {
        let output = xcloud(&home, &["-C", &base, "new", name]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for name in ["Shop", "1shop", "a_b", "../x", "async", "serde", ""] {
        let (code, stderr) = new(name);
        assert!(code == Some(2) && stderr.contains(&format!("`{name}` cannot be")), "{name}: {stderr}");
    }
    std::fs::create_dir(home.join("empty")).expect("it can be made");
    assert_eq!(new("empty").0, Some(0), "an empty directory is taken");
    let before = std::fs::read_to_string(home.join("empty/xcloud.toml")).expect("it was made");
    let (code, stderr) = new("empty");
    assert!(code == Some(2) && stderr.contains("is not empty"), "{stderr}");
    assert_eq!(std::fs::read_to_string(home.join("empty/xcloud.toml")).expect("it stays"), before);
    let output = xcloud(&home, &["-C", &base, "new", "x", "--path-to-xcloud", "/nowhere"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("/nowhere"), "{stderr}");
    assert!(!home.join("x").exists(), "nothing is half made");
}

/// A package that cargo made: init writes its file and nothing else, says what to add, and what was added works.
#[test]
fn init_says_what_a_package_needs_and_that_works() {
    let home = scratch("init");
    let mut cargo = Command::new(env!("CARGO"));
    let made = cargo.args(["new", "--quiet", "--vcs", "none", "My_App"]).current_dir(&home).output();
    assert!(made.expect("cargo runs").status.success());
    let directory = home.join("My_App");
    let at = directory.display().to_string();
    let before = [read(&directory, "Cargo.toml"), read(&directory, "src/main.rs")];
    let init = data(&home, &["-C", &at, "init", "-o", "json"]);
    assert_eq!(init["name"], "my-app", "{init}");
    assert_eq!([read(&directory, "Cargo.toml"), read(&directory, "src/main.rs")], before, "{init}");
    for todo in init["todo"].as_array().expect("a list") {
        let (file, add) = (todo["file"].as_str().expect("a path"), todo["add"].as_str().expect("text"));
        // A program's main is replaced, everything else is added to; cargo's file ends with an empty table.
        let text = if file.ends_with("main.rs") { String::new() } else { read(Path::new(""), file) };
        let text = if add.contains("[dependencies]") { text.replace("[dependencies]\n", "") } else { text };
        std::fs::write(file, format!("{text}\n{add}\n")).expect("it can be written");
    }
    assert_eq!(init["todo"].as_array().map(Vec::len), Some(4), "{init}");
    std::fs::copy(root().join("examples/Cargo.lock"), directory.join("Cargo.lock")).expect("a lock file");
    let app = App { home, directory };
    let mut describe = app.command(program(), true);
    describe.args(["describe", "-o", "json"]);
    let spec: Value = serde_json::from_slice(&app.run(describe)).expect("one object");
    assert_eq!(spec["data"]["functions"][0]["trigger"]["routes"][0]["path"], "/hello", "{spec}");

    let kept = read(&app.directory, "xcloud.toml");
    let again = xcloud(&app.home, &["-C", &at, "init"]);
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(2) && stderr.contains("was left as it is"), "{stderr}");
    assert_eq!(read(&app.directory, "xcloud.toml"), kept);
    std::fs::remove_file(app.directory.join("xcloud.toml")).expect("it is there");
    let complete = data(&app.home, &["-C", &at, "init", "--name", "shop", "-o", "json"]);
    assert_eq!((&complete["name"], &complete["todo"]), (&json!("shop"), &json!([])), "{complete}");
}

#[test]
fn init_refuses_what_is_no_package() {
    let home = scratch("init-refused");
    let at = home.display().to_string();
    let init = || {
        let output = xcloud(&home, &["-C", &at, "init"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = init();
    assert!(code == Some(2) && stderr.contains("xcloud new NAME"), "{stderr}");
    for (cargo, said) in [
        ("[workspace]\n", "name the package's directory with -C"),
        ("[package\n", "Cargo.toml"),
        ("[package]\nversion = \"1.0.0\"\n", "the package has no name"),
        ("[package]\nname = \"1st\"\n", "--name"),
    ] {
        std::fs::write(home.join("Cargo.toml"), cargo).expect("it can be written");
        let (code, stderr) = init();
        assert!(code == Some(2) && stderr.contains(said), "{cargo}: {stderr}");
    }
    assert!(!home.join("xcloud.toml").exists());
}

fn read(directory: &Path, file: &str) -> String {
    let path = directory.join(file);
    std::fs::read_to_string(&path).unwrap_or_default()
}
