//! Building the app's binary with cargo.

use std::io::BufRead;
#[cfg(feature = "local")]
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use xcloud_core::{Error, ErrorKind, Result};

use crate::config::Build;
use crate::printer::Printer;

/// Static, so that the same bytes run on every platform's image. The threshold takes 8 % off the binary for 4 % more
/// instructions a call (docs/performance.md): what is loaded at a cold start is paid for by whoever waits.
const FLAGS: [&str; 4] = ["-C", "target-feature=+crt-static", "-C", "llvm-args=--inline-threshold=40"];
/// Relative relocations packed, 3 % of the binary. A static program relocates itself, with code of the C library that
/// it is linked with: glibc can since 2.36.
const PACKED: [&str; 2] = ["-C", "link-arg=-Wl,-z,pack-relative-relocs"];
const PACKED_SINCE: (u32, u32) = (2, 36);

/// A built program and how it was built.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its package's name.
    pub package: String,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

/// The target, where the configuration names none.
pub(crate) fn default_target() -> &'static str {
    // glibc linked statically: same speed as dynamic, measured slower allocation with musl.
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" }
}

/// Builds the package in `directory`.
///
/// # Errors
/// No cargo, no such target, a build that fails, or more than one binary to choose from.
pub(crate) fn build(directory: &Path, build: &Build, printer: &Printer) -> Result<Program> {
    let target = build.target.as_deref().unwrap_or(default_target());
    let profile = build.profile.as_deref().unwrap_or("release");
    let mut command = command(directory, build, profile);
    command.args(["--target", target]);
    let flags = flags(target);
    add_flags(&mut command, target, &flags);
    printer.note(&format!("building for {target}, profile {profile}, {}", flags.join(" ")));
    let mut child = command.spawn().map_err(no_cargo)?;
    // Asked only now: it takes as long as a build that finds everything built.
    finish(&mut child).map_err(|error| check_target(directory, target).err().unwrap_or(error))
}

/// Starts to build for this machine as plain `cargo build` does, so that both share what is built. In a process group of
/// its own: a build whose sources have changed is ended with its compilers.
///
/// # Errors
/// No cargo.
#[cfg(feature = "local")]
pub(crate) fn start(directory: &Path, build: &Build, profile: &str, color: bool) -> Result<Child> {
    let mut command = command(directory, build, profile);
    command.args(["--color", if color { "always" } else { "never" }]);
    command.stdin(Stdio::null()).process_group(0).spawn().map_err(no_cargo)
}

/// Reads what a build makes, to its end.
///
/// # Errors
/// A build that fails, or more than one binary to choose from.
pub(crate) fn finish(child: &mut Child) -> Result<Program> {
    let mut programs = Vec::new();
    for line in child.stdout.take().map(std::io::BufReader::new).into_iter().flat_map(BufRead::lines) {
        let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
        if let (Some(path), Some(target)) = (message.executable, message.target)
            && message.reason == "compiler-artifact"
            && target.kind.iter().any(|kind| kind == "bin")
        {
            programs.push((target.name, Program { path, package: name_of(&message.package_id) }));
        }
    }
    if !child.wait()?.success() {
        return Err(Error::handler("cargo build failed; what it said is above"));
    }
    choose(programs)
}

fn command(directory: &Path, build: &Build, profile: &str) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(directory).args(["build", "--message-format=json-render-diagnostics"]);
    command.args(["--profile", profile]).stdout(Stdio::piped());
    for (flag, value) in [("--package", &build.package), ("--bin", &build.bin)] {
        command.args(value.iter().flat_map(|value| [flag, value.as_str()]));
    }
    if !build.features.is_empty() {
        command.args(["--features", &build.features.join(",")]);
    }
    command
}

/// The cargo that is used.
pub(crate) fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Cargo could not be started.
pub(crate) fn no_cargo(error: std::io::Error) -> Error {
    let message = format!("cannot run cargo ({error}): install Rust from https://rustup.rs");
    Error::new(ErrorKind::Config, message).caused_by(error)
}

/// The Cargo.toml of the workspace that a directory belongs to, as cargo says.
pub(crate) fn workspace_root(directory: &Path) -> Option<PathBuf> {
    let mut command = Command::new(cargo());
    command.current_dir(directory).args(["locate-project", "--workspace", "--message-format", "plain"]);
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Builds a program of one line as [`build`] would, and runs it; says how. Where cargo runs decides which of its
/// configuration files count, so it runs in the project's directory.
///
/// # Errors
/// What is not there, or does not work.
pub(crate) fn try_static(directory: &Path) -> Result<String> {
    let target = default_target();
    check_target(directory, target)?;
    let scratch = std::env::temp_dir().join(format!("xcloud-doctor-{}", std::process::id()));
    let result = try_in(&scratch, directory, target);
    drop(std::fs::remove_dir_all(&scratch));
    result
}

fn try_in(scratch: &Path, directory: &Path, target: &str) -> Result<String> {
    std::fs::create_dir_all(scratch)?;
    let manifest = scratch.join("Cargo.toml");
    let text = "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                [[bin]]\nname = \"probe\"\npath = \"probe.rs\"\n[workspace]\n";
    std::fs::write(&manifest, text)?;
    std::fs::write(scratch.join("probe.rs"), "fn main() {}\n")?;
    let mut command = Command::new(cargo());
    command.current_dir(directory).args(["build", "--quiet", "--offline", "--target", target]);
    command.arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(scratch);
    let flags = flags(target);
    add_flags(&mut command, target, &flags);
    let output = command.output().map_err(no_cargo)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let errors =
            said.lines().map(str::trim).filter(|line| line.starts_with("error") || line.contains("ld: "));
        let said = errors.take(3).collect::<Vec<_>>().join("; ");
        return Err(Error::new(ErrorKind::Config, format!("a program does not link for {target}: {said}")));
    }
    let program = scratch.join(target).join("debug/probe");
    crate::elf::arch(&std::fs::read(&program)?)?;
    let ran = Command::new(&program).status();
    if !ran.is_ok_and(|status| status.success()) {
        return Err(Error::new(
            ErrorKind::Config,
            format!("a static program for {target} does not run here"),
        ));
    }
    Ok(format!("works for {target}, {}", flags.join(" ")))
}

/// The target's standard library is there, or the error says how to get it.
fn check_target(directory: &Path, target: &str) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .current_dir(directory)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .map_err(no_cargo)?;
    let directory = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let message = format!("rustc does not know the target {target}: {}", why.trim());
        return Err(Error::new(ErrorKind::Config, message));
    }
    if Path::new(directory.trim()).is_dir() {
        return Ok(());
    }
    let message = format!("Rust's library for {target} is not installed: run `rustup target add {target}`");
    Err(Error::new(ErrorKind::Config, message))
}

/// The flags for a target.
fn flags(target: &str) -> Vec<&'static str> {
    let packs = target == default_target() && glibc().is_some_and(|version| version >= PACKED_SINCE);
    FLAGS.iter().chain(if packs { &PACKED[..] } else { &[] }).copied().collect()
}

/// The version of this machine's glibc, which is what is linked.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    version(&String::from_utf8_lossy(&output.stdout))
}

/// `glibc 2.36`
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

/// Beside the user's own flags, wherever they are: of the places that cargo knows it reads only the first.
fn add_flags(command: &mut Command, target: &str, flags: &[&str]) {
    if let Ok(own) = std::env::var("CARGO_ENCODED_RUSTFLAGS") {
        let own = if own.is_empty() { own } else { own + "\u{1f}" };
        command.env("CARGO_ENCODED_RUSTFLAGS", own + &flags.join("\u{1f}"));
    } else if let Ok(own) = std::env::var("RUSTFLAGS") {
        command.env("RUSTFLAGS", format!("{own} {}", flags.join(" ")));
    } else {
        let list = flags.iter().map(|flag| format!("'{flag}'")).collect::<Vec<_>>().join(", ");
        command.args(["--config", &format!("target.{target}.rustflags=[{list}]")]);
    }
}

/// `…#name@version`, or `…/name#version` where the folder has the package's name.
fn name_of(package_id: &str) -> String {
    let (before, after) = package_id.rsplit_once('#').unwrap_or(("", package_id));
    match after.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => before.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

fn choose(mut programs: Vec<(String, Program)>) -> Result<Program> {
    if programs.len() > 1 {
        let names: Vec<_> = programs.iter().map(|(name, _)| name.as_str()).collect();
        let message =
            format!("the build makes several binaries ({}): choose one with `[build] bin`", names.join(", "));
        return Err(Error::new(ErrorKind::Config, message));
    }
    let none =
        || Error::new(ErrorKind::Config, "the build makes no binary: `[build] package` names the app's");
    programs.pop().map(|(_, program)| program).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_glibc_are_read() {
        assert_eq!(version("glibc 2.36\n"), Some((2, 36)));
        assert!(version("glibc 2.9") < Some(PACKED_SINCE));
        assert_eq!(version("musl"), None);
    }

    #[test]
    fn package_ids_hold_a_name() {
        assert_eq!(name_of("path+file:///a/orders#0.1.0"), "orders");
        assert_eq!(name_of("path+file:///a/x#orders@0.1.0"), "orders");
    }
}
