//! What `#[handler]` says to mistakes: each case of `fail/` must not compile, with the words in the file beside it.
//!
//! The files are compared byte for byte with the compiler that wrote them (`RUSTC`). Another compiler words its own
//! part differently, so there each case must fail with a message that its file holds, and that is printed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/fail");
    let entries =
        std::fs::read_dir(folder).expect("the cases are there").map(|e| e.expect("readable").path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn mistakes_are_explained() {
    assert!(cases().len() >= 12, "only {} cases", cases().len());
    let recorded = include_str!("RUSTC").trim();
    let running = rustc();
    let t = trybuild::TestCases::new();
    t.pass("goldens/pass/*.rs");
    if running == recorded {
        t.compile_fail("goldens/fail/*.rs");
    } else {
        eprintln!("goldens are of {recorded}, this is {running}: only their first messages are compared");
    }
}

/// A second error about the same mistake hides the first.
#[test]
fn one_mistake_is_one_error() {
    for case in cases() {
        let golden =
            std::fs::read_to_string(case.with_extension("stderr")).expect("a golden beside the case");
        let errors: Vec<_> = golden.lines().filter(|line| line.starts_with("error")).collect();
        assert!(errors.len() == 1, "{}: {errors:?}", case.display());
    }
}

/// Holds with every compiler: a case fails, with an error whose words its file holds.
#[test]
fn mistakes_fail_with_our_message_on_any_compiler() {
    let cases = cases();
    let said = messages(&package(&cases));
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let golden =
            std::fs::read_to_string(case.with_extension("stderr")).expect("a golden beside the case");
        let errors = golden.lines().filter(|line| line.starts_with("error"));
        let words: Vec<&str> = errors.filter_map(|line| Some(line.split_once(": ")?.1)).collect();
        let found: Vec<&str> = said.iter().filter(|(n, _)| *n == name).map(|(_, m)| m.as_str()).collect();
        if !found.iter().any(|message| words.contains(message)) {
            wrong.push(format!("{name}: wanted one of {words:?}, the compiler says {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A package with each case as a program of its own, beside the other build output.
fn package(cases: &[PathBuf]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("goldens");
    let facade = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a root").join("providers");
    let mut manifest = format!(
        "[package]\nname = \"goldens\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n[workspace]\n\
         [dependencies]\nxcloud = {{ path = {facade:?} }}\n"
    );
    for case in cases {
        let name = case.file_stem().unwrap_or_default().to_string_lossy();
        write!(manifest, "[[bin]]\nname = \"{name}\"\npath = {case:?}\n").expect("writing to a string");
    }
    std::fs::create_dir_all(&folder).expect("the build directory can be written");
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("the build directory can be written");
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a root").join("Cargo.lock");
    std::fs::copy(lock, folder.join("Cargo.lock")).expect("the lock file is there");
    folder
}

/// Every error of the compiler with the program that it is about.
fn messages(package: &Path) -> Vec<(String, String)> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(package).args([
        "check",
        "--bins",
        "--keep-going",
        "--quiet",
        "--message-format=json",
    ]);
    let output = command.env("CARGO_TARGET_DIR", package.join("target")).output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<_> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|m| m["reason"] == "compiler-message" && m["message"]["level"] == "error")
        .filter_map(|m| {
            Some((m["target"]["name"].as_str()?.to_owned(), m["message"]["message"].as_str()?.to_owned()))
        })
        .collect();
    assert!(!found.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    found
}
