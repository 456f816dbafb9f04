//! Is everything there, and completions.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{data, program, root, scratch, xcloud};

#[test]
fn doctor_finds_what_the_tests_need_and_says_no_secret() {
    let home = scratch("doctor");
    let mut command = Command::new(program());
    command.env("XCLOUD_HOME", &home).env("AWS_SECRET_ACCESS_KEY", "hidden-4711").current_dir(root());
    let output = command.args(["-C", "examples/orders", "doctor", "-o", "json"]).output().expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}");
    assert!(
        !stdout.contains("hidden-4711") && !String::from_utf8_lossy(&output.stderr).contains("hidden-4711")
    );
    let object: Value = serde_json::from_str(&stdout).expect("one object");
    let checks = object["data"]["checks"].as_array().expect("a list");
    for name in ["cargo", "rustc", "static linking", "git", "disk", "local home", "local host", "port"] {
        let check =
            checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}: {stdout}"));
        assert!(check["state"] != "missing", "{check}");
    }
    // Nothing was started and nothing made.
    assert_eq!(std::fs::read_dir(&home).expect("it is there").count(), 0);
}

#[test]
fn doctor_says_how_to_get_what_is_missing_and_exits_1() {
    let home = scratch("doctor-missing");
    // Cargo and rustc by their paths, and no linker to be found.
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
    let bin = Path::new(String::from_utf8_lossy(&sysroot).trim()).join("bin");
    let run = |with_cargo: bool| {
        let mut command = Command::new(program());
        command.env("PATH", &home).env("XCLOUD_HOME", &home).env("NO_COLOR", "1");
        command.env_remove("CARGO").env_remove("RUSTC").args(["doctor"]).current_dir(root());
        if with_cargo {
            command.env("CARGO", env!("CARGO")).env("RUSTC", bin.join("rustc"));
        }
        let output = command.output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run(false);
    assert_eq!(code, Some(1), "{said}");
    for part in ["missing cargo", "missing rustc", "https://rustup.rs", "warning git"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let (code, said) = run(true);
    assert_eq!(code, Some(1), "{said}");
    for part in ["ok      cargo", "ok      rustc", "missing static linking", "linker `cc` not found", "gcc"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn doctor_looks_at_the_port_that_the_next_app_gets() {
    let home = scratch("doctor-port");
    let port = |first: &str| {
        let mut command = Command::new(program());
        command.env("XCLOUD_HOME", &home).env("XCLOUD_FIRST_PORT", first).current_dir(&home);
        let output = command.args(["doctor", "-o", "json"]).output().expect("it starts");
        let object: Value = serde_json::from_slice(&output.stdout).expect("one object");
        let checks = object["data"]["checks"].as_array().expect("a list");
        checks.iter().find(|check| check["name"] == "port").expect("the port is looked at").clone()
    };
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let first = listener.local_addr().expect("an address").port().to_string();
    let taken = port(&first);
    let found = taken["found"].as_str().expect("text");
    assert!(taken["state"] == "warning" && found.starts_with(&format!("{first} is taken by ")), "{taken}");
    drop(listener);
    assert_eq!(port(&first)["found"], format!("{first} is free"));
    let wrong = port("eighty");
    assert!(wrong["state"] == "missing" && wrong["found"].to_string().contains("eighty"), "{wrong}");
}

#[test]
fn completions_know_every_verb_and_a_shell_can_read_them() {
    let home = scratch("completions");
    let help = String::from_utf8_lossy(&xcloud(&home, &["--help"]).stdout).into_owned();
    let verbs: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    assert!(verbs.len() >= 12, "{help}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let made = data(&home, &["completions", shell, "-o", "json"]);
        let script = made["script"].as_str().expect("text");
        for verb in &verbs {
            assert!(script.contains(verb.as_str()), "{verb} is not in the script for {shell}");
        }
    }
    let script = xcloud(&home, &["completions", "bash"]).stdout;
    let mut bash = Command::new("bash");
    let mut child =
        bash.args(["-n"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash starts");
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, &script).expect("bash reads");
    drop(input);
    let output = child.wait_with_output().expect("bash ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(xcloud(&home, &["completions", "tcsh"]).status.code(), Some(2));
}
