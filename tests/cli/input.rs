//! Wrong input: what is said, and the exit code.

use std::path::Path;

use serde_json::Value;

use crate::{scratch, xcloud};

/// Exit code, stdout and stderr.
fn run(home: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = xcloud(home, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_verb_that_is_not_there_is_absent_and_exits_2() {
    let home = scratch("verbs");
    let (code, help, _) = run(&home, &["--help"]);
    assert_eq!(code, Some(0));
    for verb in [
        "build", "describe", "plan", "deploy", "dev", "invoke", "logs", "metrics", "status", "versions",
        "rollback", "traffic", "destroy",
    ] {
        assert!(help.contains(&format!("  {verb}")), "{verb} is not in {help}");
    }
    for verb in ["bench", "emulate", "__host"] {
        assert!(!help.contains(verb), "{verb} is in {help}");
        if verb != "__host" {
            assert_eq!(run(&home, &[verb]).0, Some(2), "{verb}");
        }
    }
}

#[test]
fn a_broken_file_says_file_line_key_and_the_nearest_key() {
    let home = scratch("broken");
    std::fs::write(home.join("xcloud.toml"), "[project]\nname = \"x\"\n[functions.http]\ntimout = \"1s\"\n")
        .unwrap();
    let directory = home.display().to_string();
    let (code, _, stderr) = run(&home, &["-C", &directory, "plan"]);
    assert_eq!(code, Some(2));
    for part in ["xcloud.toml:4:", "`functions.http.timout`", "did you mean `timeout`"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
    let (_, stdout, _) = run(&home, &["-C", &directory, "plan", "-o", "json"]);
    let object: Value = serde_json::from_str(&stdout).expect("one object");
    assert_eq!((&object["success"], &object["data"]["code"]), (&Value::from(false), &Value::from("Config")));
}

#[test]
fn usage_errors_exit_2_and_are_json_when_json_is_asked_for() {
    let home = scratch("usage");
    for arguments in [&["deploy", "--nope"][..], &[], &["-p", "asw", "-C", "examples/orders", "status"]] {
        assert_eq!(run(&home, arguments).0, Some(2), "{arguments:?}");
    }
    let (_, stdout, _) = run(&home, &["deploy", "--nope", "-o", "json"]);
    let object: Value = serde_json::from_str(&stdout).expect("one object");
    assert_eq!(object["success"], false);
    let (code, _, stderr) = run(&home, &["-C", "examples/orders", "-p", "gcp", "status"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("cannot deploy to gcp yet"), "{stderr}");
    let (code, _, stderr) = run(&home, &["-C", "/nowhere/at/all", "status"]);
    assert!(code == Some(2) && stderr.contains("/nowhere/at/all"), "{stderr}");
}

#[test]
fn a_target_that_is_not_installed_says_how_to_get_it() {
    let home = scratch("target");
    let toml = "[project]\nname = \"x\"\n[build]\ntarget = \"riscv64gc-unknown-linux-gnu\"\n";
    std::fs::write(home.join("xcloud.toml"), toml).unwrap();
    let (code, _, stderr) = run(&home, &["-C", &home.display().to_string(), "build"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("rustup target add riscv64gc-unknown-linux-gnu"), "{stderr}");
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_half_started() {
    let taken = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (platform, variable) in
        [("http", "PORT"), ("azure", "FUNCTIONS_CUSTOMHANDLER_PORT"), ("alibaba", "FC_CUSTOM_LISTEN_PORT")]
    {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fixture"));
        let output = command.env("XCLOUD_PLATFORM", platform).env(variable, &port).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{platform}: {stderr}");
        assert!(stderr.contains(&format!(":{port}")) && stderr.contains("in use"), "{platform}: {stderr}");
    }
}
