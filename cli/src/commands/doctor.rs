//! `xcloud doctor`

use std::path::Path;

use serde::Serialize;
use serde_json::json;
use xcloud_core::Result;

use crate::args::Args;
use crate::config::{Manifest, Source};
use crate::printer::{Done, Printer};
use crate::registry::CLOUDS;
use crate::{cargo, exit, probe};

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Something works less well, or not at all places.
    Warning,
    /// Building or deploying does not work.
    Missing,
}

/// One thing that was looked at. Never a secret: names, versions, paths and sizes only.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    /// How to get it.
    hint: Option<String>,
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Ok, found: found.into(), hint: None }
}

fn not(state: State, name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Check {
    Check { name, state, found: found.into(), hint: Some(hint.into()) }
}

const RUSTUP: &str = "install Rust from https://rustup.rs";
const DISK_LITTLE: u64 = 2_000_000_000;
const DISK_NONE: u64 = 200_000_000;

/// Looks at everything that building and deploying need.
pub(super) async fn run(args: &Args, printer: &Printer) -> Result<Done> {
    let directory = super::directory(args)?;
    let mut checks = vec![cargo_there(&directory), rustc(&directory)];
    let broken = checks.iter().any(|check| check.state == State::Missing);
    checks.push(if broken {
        not(State::Missing, "static linking", "not tried", RUSTUP)
    } else {
        linking(&directory)
    });
    checks.extend([architectures(), git(&directory), disk(&directory), project(args, &directory)]);
    checks.extend(local().await);
    checks.push(credentials());
    #[cfg(feature = "aws")]
    checks.push(aws(args, &directory).await);
    Ok(done(&checks, printer))
}

fn done(checks: &[Check], printer: &Printer) -> Done {
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (missing, warnings) = (count(State::Missing), count(State::Warning));
    let message = format!("{missing} missing, {warnings} warnings, {} ok", count(State::Ok));
    let mut text = String::new();
    for check in checks {
        let (mark, color) = match check.state {
            State::Ok => ("ok     ", "32"),
            State::Warning => ("warning", "33"),
            State::Missing => ("missing", "31"),
        };
        text += &format!("{} {}: {}\n", printer.paint(color, mark), check.name, check.found);
        text.extend(check.hint.iter().map(|hint| format!("          {hint}\n")));
    }
    let mut done = Done::new(&message, json!({ "checks": checks }), text + &message + "\n");
    if missing > 0 {
        done.code = exit::FAILED;
    }
    done
}

fn program(variable: &str, otherwise: &str) -> String {
    std::env::var(variable).ok().filter(|v| !v.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

fn cargo_there(directory: &Path) -> Check {
    match probe::first_line(&program("CARGO", "cargo"), &["--version"], directory) {
        Some(version) => ok("cargo", version),
        None => not(State::Missing, "cargo", "cannot be run", RUSTUP),
    }
}

/// The compiler is at least the one that xcloud is written for.
fn rustc(directory: &Path) -> Check {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let Some(found) = probe::first_line(&program("RUSTC", "rustc"), &["--version"], directory) else {
        return not(State::Missing, "rustc", "cannot be run", RUSTUP);
    };
    if probe::version(&found) >= probe::version(wanted) {
        return ok("rustc", found);
    }
    let what = format!("{found}; xcloud needs {wanted} or newer");
    not(State::Missing, "rustc", what, "run `rustup update stable`")
}

/// A program is built as `xcloud build` does it, and run.
fn linking(directory: &Path) -> Check {
    const NAME: &str = "static linking";
    match cargo::try_static(directory) {
        Ok(how) => ok(NAME, how),
        Err(error) => {
            let hint = "a C compiler and a static C library: `apt-get install gcc libc6-dev`, \
                        `dnf install gcc glibc-static`; a target: `rustup target add`";
            not(State::Missing, NAME, error.message(), hint)
        }
    }
}

/// What is said of other architectures.
fn architectures() -> Check {
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    ok("architectures", format!("this version builds for {here}, this machine's own, only"))
}

fn git(directory: &Path) -> Check {
    match probe::first_line("git", &["--version"], directory) {
        Some(version) => ok("git", version),
        None => not(
            State::Warning,
            "git",
            "cannot be run",
            "for dependencies from repositories: `apt-get install git`",
        ),
    }
}

fn disk(directory: &Path) -> Check {
    let Some(free) = probe::free_bytes(directory) else {
        return not(State::Warning, "disk", "the free space is not known", "a build wants 2 GB");
    };
    let found = format!("{} MB free at {}", free / 1_000_000, directory.display());
    match free {
        0..DISK_NONE => {
            not(State::Missing, "disk", found, "a build wants 2 GB: `cargo clean` in old projects")
        }
        DISK_NONE..DISK_LITTLE => not(State::Warning, "disk", found, "a build wants 2 GB"),
        _ => ok("disk", found),
    }
}

fn project(args: &Args, directory: &Path) -> Check {
    let file = args.global.config.clone().unwrap_or_else(|| directory.join("xcloud.toml"));
    if !file.exists() {
        return ok(
            "project",
            format!("no xcloud.toml in {}; `xcloud new` and `xcloud init` make one", directory.display()),
        );
    }
    match Source::open(&file).and_then(|source| Manifest::read(&source)) {
        Ok(manifest) => ok("project", format!("{} in {}", manifest.name, file.display())),
        Err(error) => not(State::Missing, "project", error.message(), "correct that line"),
    }
}

/// The local host's directory, socket and first port. Starts nothing.
#[cfg(feature = "local")]
async fn local() -> Vec<Check> {
    use xcloud_local_deploy::Config;
    let home = match Config::default_home(|name| std::env::var(name).ok()) {
        Ok(home) => home,
        Err(error) => return vec![not(State::Missing, "local home", error.message(), "set XCLOUD_HOME")],
    };
    let socket = Config::control_socket(&home);
    let pid = probe::listens(&socket).await;
    vec![home_check(&home), host_check(&socket, pid), port_check(pid)]
}

#[cfg(not(feature = "local"))]
async fn local() -> Vec<Check> {
    Vec::new()
}

#[cfg(feature = "local")]
fn home_check(home: &Path) -> Check {
    match probe::writable(home) {
        Ok(()) => ok("local home", home.display().to_string()),
        Err(error) => {
            not(State::Missing, "local home", error.message(), "set XCLOUD_HOME to a directory of yours")
        }
    }
}

#[cfg(feature = "local")]
fn host_check(socket: &Path, pid: Option<i32>) -> Check {
    // sun_path of unix(7), with the zero byte at its end.
    const MOST: usize = 107;
    let length = socket.as_os_str().len();
    if length > MOST {
        let what =
            format!("the path of its socket has {length} bytes, {MOST} is the most: {}", socket.display());
        return not(State::Missing, "local host", what, "set XCLOUD_HOME to a shorter path");
    }
    ok(
        "local host",
        match pid {
            Some(pid) => format!("runs as process {pid}, socket {}", socket.display()),
            None => format!("does not run; the next deployment starts it, socket {}", socket.display()),
        },
    )
}

#[cfg(feature = "local")]
fn port_check(host: Option<i32>) -> Check {
    let first = match xcloud_local_deploy::Config::first_port(|name| std::env::var(name).ok()) {
        Ok(first) => first,
        Err(error) => {
            return not(State::Missing, "port", error.message(), "set it to another, or not at all");
        }
    };
    let taken = |found| {
        not(
            State::Warning,
            "port",
            found,
            "an app gets the next free port; one that is deployed keeps its own",
        )
    };
    match probe::port(first) {
        probe::Port::Free => ok("port", format!("{first} is free")),
        probe::Port::Taken(Some((pid, _))) if i32::try_from(pid).ok() == host => {
            ok("port", format!("{first} is the local host's: an app is served there"))
        }
        probe::Port::Taken(Some((pid, name))) => taken(format!("{first} is taken by {name}, process {pid}")),
        probe::Port::Taken(None) => taken(format!("{first} is taken by a process of another user")),
    }
}

/// Only what can be deployed to needs credentials.
fn credentials() -> Check {
    let clouds: Vec<_> = CLOUDS.into_iter().filter(|cloud| *cloud != "aws").collect();
    let clouds = clouds.join(", ");
    ok(
        "credentials",
        format!("`local` needs none; this version makes packages for {clouds} and needs none for that"),
    )
}

/// Longer than a machine of AWS takes to say who it is.
#[cfg(feature = "aws")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Whom AWS takes us for, with the project's own settings where there are some.
#[cfg(feature = "aws")]
async fn aws(args: &Args, directory: &Path) -> Check {
    const NAME: &str = "aws";
    let file = args.global.config.clone().unwrap_or_else(|| directory.join("xcloud.toml"));
    let table = Source::open(&file).and_then(|source| Manifest::read(&source)).unwrap_or_default().aws;
    let crate::config::AwsTable { region, profile, endpoint, endpoints } = table;
    let config = xcloud_aws_deploy::Config { region, profile, endpoint, endpoints, keep_versions: None };
    let provider = xcloud_aws_deploy::Aws::new(config);
    match tokio::time::timeout(PATIENCE, provider.whoami()).await {
        Ok(Ok(who)) => ok(NAME, who),
        Ok(Err(mut error)) => {
            let hint = error.take("hint").unwrap_or_else(|| "only `-p aws` needs it".to_owned());
            not(State::Warning, NAME, error.message(), hint)
        }
        Err(_) => not(State::Warning, NAME, "no answer within 5 seconds", "is the network up?"),
    }
}
