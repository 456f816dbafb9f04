//! The command as a user runs it: `examples/orders` built, packaged, deployed to this machine, called and destroyed;
//! and what it says to wrong input.

mod aws;
mod aws_burst;
mod aws_faults;
mod aws_moto;
mod aws_rival;
mod aws_several;
mod check;
mod confirm;
mod deploy;
mod dev;
mod doctor;
mod durability;
mod emit;
mod events;
mod faults;
mod fixture;
mod include;
mod input;
mod limits;
mod load;
mod operate;
mod packages;
mod scaffold;
mod scale;
mod schema;
mod storage;
mod tenant;
mod versions;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use serde_json::Value;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// A directory of one test.
fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("xcloud-cli-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).expect("the temporary directory can be written");
    path
}

/// Ports of each home's own: what another test deploys would take those that are free while a killed host is away.
fn first_port(home: &Path) -> String {
    static HOMES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut homes = HOMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let known = homes.iter().position(|known| known == home);
    let at = known.unwrap_or_else(|| {
        homes.push(home.to_owned());
        homes.len() - 1
    });
    (20_000 + 50 * at).to_string()
}

/// The built command, in a clean configuration.
fn xcloud(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    for name in [
        "XCLOUD_PROVIDER",
        "XCLOUD_STAGE",
        "XCLOUD_CONFIG",
        "XCLOUD_OUTPUT",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    command.env("XCLOUD_HOME", home).env("XCLOUD_FIRST_PORT", first_port(home)).env("NO_COLOR", "1");
    command.current_dir(root()).args(arguments);
    command.output().expect("xcloud starts")
}

/// Cargo gives a test the path of its own package's programs only, so this one is built here: once.
fn program() -> &'static Path {
    static PROGRAM: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(root()).args(["build", "--package", "xcloud-cli", "--message-format=json"]);
        // Cargo tells a test of its package. Build scripts that look there (ring's) would run again, and all that needs
        // them: for minutes, and then once more when cargo is run by hand.
        for (name, _) in std::env::vars_os() {
            let own = |prefix: &str| name.to_str().is_some_and(|name| name.starts_with(prefix));
            if own("CARGO_PKG_") || own("CARGO_MANIFEST_") {
                command.env_remove(name);
            }
        }
        let output = command.output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let messages = String::from_utf8_lossy(&output.stdout).into_owned();
        let found =
            messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|m| {
                (m["target"]["name"] == "xcloud")
                    .then(|| m["executable"].as_str().map(PathBuf::from))
                    .flatten()
            });
        found.expect("the build made xcloud")
    })
}

/// Runs, expects exit code 0, and gives `data` of the one object on stdout.
fn data(home: &Path, arguments: &[&str]) -> Value {
    let output = xcloud(home, arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{stdout}\n{stderr}", output.status);
    let object: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {stdout}"));
    assert_eq!(object["success"], true, "{object}");
    object["data"].clone()
}
