//! Building the app's binary with cargo.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use xcloud_core::{Error, ErrorKind, Result};

use crate::config::Build;
use crate::printer::Printer;

const STATIC: &str = "target-feature=+crt-static";

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
    check_target(directory, target)?;
    let mut command = Command::new(cargo());
    command.current_dir(directory).args(["build", "--message-format=json-render-diagnostics"]);
    command.args(["--target", target, "--profile", profile]);
    for (flag, value) in [("--package", &build.package), ("--bin", &build.bin)] {
        command.args(value.iter().flat_map(|value| [flag, value.as_str()]));
    }
    if !build.features.is_empty() {
        command.args(["--features", &build.features.join(",")]);
    }
    link_statically(&mut command, target);
    printer.note(&format!("building for {target}, profile {profile}, {STATIC}"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(no_cargo)?;
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

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn no_cargo(error: std::io::Error) -> Error {
    let message = format!("cannot run cargo ({error}): install Rust from https://rustup.rs");
    Error::new(ErrorKind::Config, message).caused_by(error)
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

/// Beside the user's own flags, wherever they are: of the places that cargo knows it reads only the first.
fn link_statically(command: &mut Command, target: &str) {
    if let Ok(flags) = std::env::var("CARGO_ENCODED_RUSTFLAGS") {
        let flags = if flags.is_empty() { flags } else { flags + "\u{1f}" };
        command.env("CARGO_ENCODED_RUSTFLAGS", format!("{flags}-C\u{1f}{STATIC}"));
    } else if let Ok(flags) = std::env::var("RUSTFLAGS") {
        command.env("RUSTFLAGS", format!("{flags} -C {STATIC}"));
    } else {
        command.args(["--config", &format!("target.{target}.rustflags=['-C', '{STATIC}']")]);
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
    fn package_ids_hold_a_name() {
        assert_eq!(name_of("path+file:///a/orders#0.1.0"), "orders");
        assert_eq!(name_of("path+file:///a/x#orders@0.1.0"), "orders");
    }
}
