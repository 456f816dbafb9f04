//! `[build] include`: files beside the binary, in every package and on this machine.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::dev::{Dev, app, get};
use crate::{first_port, program, root};

const MAIN: &str = r#"
use xcloud::{App, Http, Result, handler};

/// The same file, found by the working directory and by the program's own place.
#[handler(http = "GET /greeting")]
async fn greeting(_request: Http<()>) -> Result<String> {
    let beside = std::env::current_exe()?.with_file_name("templates");
    let text = std::fs::read_to_string("templates/mail/hello.txt")?;
    assert_eq!(text, std::fs::read_to_string(beside.join("mail/hello.txt"))?);
    Ok(text)
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![greeting]))
}
"#;

/// What each package holds: paths and modes, sorted, read by a program that is not ours.
const LIST: &str = "import sys,zipfile,tarfile\np=sys.argv[1]\n\
    z=[(i.filename,(i.external_attr>>16)&0o777) for i in zipfile.ZipFile(p).infolist()] if p.endswith('.zip') \
    else [(i.name,i.mode) for i in tarfile.open(p)]\n\
    print(' '.join('%s:%o'%f for f in z if not f[0].endswith('.json')))";

/// Taken down whatever becomes of the test.
struct Included(std::path::PathBuf);

impl Included {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.current_dir(&self.0).env("XCLOUD_HOME", self.0.join("home")).env_remove("RUSTFLAGS");
        command.env("XCLOUD_FIRST_PORT", first_port(&self.0));
        command.env("CARGO_TARGET_DIR", root().join("examples/target"));
        command.args(arguments).args(["-o", "json"]).output().expect("xcloud starts")
    }

    fn data(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        serde_json::from_slice::<Value>(&output.stdout).expect("one object")["data"].clone()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in the app")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    }

    fn includes(&self, patterns: &str) {
        let toml =
            format!("[project]\nname = \"included\"\n[build]\nprofile = \"dev\"\ninclude = {patterns}\n");
        self.write("xcloud.toml", &toml);
    }
}

impl Drop for Included {
    fn drop(&mut self) {
        self.run(&["destroy", "--yes", "--delete-data"]);
        self.run(&["local", "stop"]);
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn included_files_are_in_every_package_and_beside_the_running_program() {
    let app = Included(app("included", MAIN));
    app.write("templates/mail/hello.txt", "hello");
    app.write("templates/a.txt", "a");
    app.includes(r#"["templates/**"]"#);
    let built = app.data(&["build", "-p", "all"]);
    let artifacts = built["artifacts"].as_array().expect("a list");
    assert_eq!(artifacts.len(), 5, "{built}");
    for artifact in artifacts {
        let held = held(Path::new(artifact["path"].as_str().expect("a path")));
        let entry = artifact["entry"].as_str().expect("a path");
        let wanted = format!("{entry}:755 templates/a.txt:644 templates/mail/hello.txt:644");
        assert_eq!(held, wanted, "{artifact}");
    }
    assert_eq!(built, app.data(&["build", "-p", "all"]), "packed again, the same hashes");

    deployed(&app);
    for (patterns, why) in
        [(r#"["nothing/*"]"#, "names no file"), (r#"["../*"]"#, "leaves the app's directory")]
    {
        app.includes(patterns);
        assert!(app.refused(&["build"]).contains(why), "{patterns}");
    }
    app.includes(r#"["templates/**"]"#);
    saved(&app);
}

fn held(package: &Path) -> String {
    let output = Command::new("python3").args(["-c", LIST]).arg(package).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What was built is deployed with its files; another file is another version; a file that was changed behind the build's
/// back is refused.
fn deployed(app: &Included) {
    let deploy = |arguments: &[&str]| {
        let deployed = app.data(&[&["deploy"], arguments].concat())["deployments"][0].clone();
        (deployed["url"].as_str().expect("a URL").to_owned(), deployed["functions"][0]["action"].clone())
    };
    let (url, _) = deploy(&["--no-build"]);
    assert_eq!(get(&url, "/greeting"), "hello");
    assert_eq!(deploy(&["--no-build"]).1, "unchanged");
    app.write("templates/mail/hello.txt", "good day");
    assert_eq!(deploy(&[]).1, "updated");
    assert_eq!(get(&url, "/greeting"), "good day");
    app.data(&["rollback", "v1"]);
    assert_eq!(get(&url, "/greeting"), "hello", "files are a part of the version");
    app.write(".xcloud/build/files/templates/a.txt", "b");
    assert!(app.refused(&["deploy", "--no-build"]).contains("templates/a.txt beside it is not the one"));
}

/// A saved file is served like saved code.
fn saved(app: &Included) {
    let mut dev = Dev::start(&app.0, &[]);
    let url = dev.event("served")["url"].as_str().expect("a URL").to_owned();
    assert_eq!(get(&url, "/greeting"), "good day");
    app.write("templates/mail/hello.txt", "good night");
    assert_eq!(dev.event("served")["version"], json!(2));
    assert_eq!(get(&url, "/greeting"), "good night");
    assert_eq!(dev.interrupt().0, Some(0));
}
