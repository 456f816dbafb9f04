//! `cargo lambda watch` in front of the fixture. Its API address has a scheme and a path, its events have nulls, its
//! deadline is a span, and it refuses answers that do not have both cookies and lists of values.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use xcloud_serve::host::free_port;
use xcloud_tests::tools;

use crate::{Running, ask, listens, post};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const URL: &str = "/lambda-url/fixture";

pub(crate) fn watch() -> Result<(), String> {
    let program = match tools::cargo_lambda() {
        Ok(program) => program,
        Err(why) => return tools::skip(&why),
    };
    let port = free_port().map_err(|e| e.to_string())?;
    let project = project().map_err(|e| e.to_string())?;
    let spawn = |command: &mut Command| {
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Running).map_err(|e| format!("{command:?}: {e}"))
    };
    let mut emulator = Command::new(program);
    emulator.args(["lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1", "-P", &port.to_string()]);
    let _emulator = spawn(emulator.current_dir(&project))?;
    listens(port)?;
    let api = format!("http://127.0.0.1:{port}/.rt/fixture");
    let _function = spawn(Command::new(FIXTURE).env("AWS_LAMBDA_RUNTIME_API", api))?;
    let result = suite(port);
    drop(fs::remove_dir_all(project));
    result
}

/// What it wants to stand in: a project whose binary has the function's name. It builds nothing.
fn project() -> std::io::Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("xcloud-cargo-lambda-{}", std::process::id()));
    fs::create_dir_all(folder.join("src"))?;
    let manifest = "[package]\nname = \"fixture\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("src/main.rs"), "fn main() {}\n")?;
    Ok(folder)
}

fn suite(port: u16) -> Result<(), String> {
    let call = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        ask(port, method, &format!("{URL}{path}"), headers, body).map_err(|e| format!("{method} {path}: {e}"))
    };
    let is = |what: &str, holds: bool, seen: &dyn std::fmt::Debug| {
        if holds { Ok(()) } else { Err(format!("{what}: {seen:?}")) }
    };
    let hello = call("GET", "/hello", &[], b"")?;
    is("a request", hello.0.contains(" 200 ") && hello.1 == b"hello", &hello)?;

    let cookies = call("GET", "/cookies", &[], b"")?;
    let both = ["set-cookie: a=1; Path=/", "set-cookie: b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"];
    is("cookies out", both.iter().all(|cookie| cookies.0.contains(cookie)), &cookies)?;

    let json = [("content-type", "application/json"), ("cookie", "a=1; b=2")];
    let (head, body) = call("POST", "/echo/x%20y/z?q=1&q=%20", &json, br#"{"n":"\u00e9"}"#)?;
    let echo: Value = serde_json::from_slice(&body).map_err(|e| format!("{head}: {e}"))?;
    let headers = echo["headers"].as_array().into_iter().flatten();
    let sent: Vec<_> = headers.filter(|h| h[0] == "cookie").map(|h| &h[1]).collect();
    is("cookies in", sent == ["a=1; b=2"], &sent)?;
    is("path and query", echo["rest"] == "x y/z" && echo["query"][1][1] == " ", &echo)?;
    // It sends a span where Lambda sends a time.
    is("remaining time", echo["remaining_ms"].as_u64() > Some(500_000), &echo["remaining_ms"])?;

    let bytes: Vec<u8> = (0..=255).rev().collect();
    let back = call("POST", "/bytes", &[("content-type", "application/octet-stream")], &bytes)?;
    is("a binary body", back.1 == bytes, &back)?;

    let slept = call("GET", "/slow?ms=20", &[], b"")?;
    is("a handler that waits", slept.1 == b"slept", &slept)?;
    let panicked = call("GET", "/panic", &[], b"")?;
    is(
        "a panic",
        panicked.0.contains(" 500 ") && panicked.1 == br#"{"error":"the handler panicked"}"#,
        &panicked,
    )?;

    let path = "/2015-03-31/functions/fixture/invocations";
    let broken =
        post(port, path, &[], br#"{"Records":[{"eventSource":"aws:sqs"}]}"#).map_err(|e| e.to_string())?;
    is("an error", broken.1.contains("Function.BadEvent"), &broken)
}
