//! Light trees are light.

use std::collections::BTreeSet;
use std::process::Command;

use crate::{ROOMS, root, tracked};

/// Crates of a package's normal dependency tree, itself counted.
fn tree(package: &str, manifest: &str) -> BTreeSet<String> {
    tree_with(package, manifest, "")
}

/// The same with more features.
fn tree_with(package: &str, manifest: &str, features: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none", "--features", features])
        .args(["--package", package, "--manifest-path"])
        .arg(root().join(manifest))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree -p {package}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|l| l.split(' ').next()).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

const HEAVY: [&str; 9] =
    ["aws-", "azure_", "google-cloud", "reqwest", "rustls", "native-tls", "openssl", "tower-http", "h2"];

#[test]
fn a_function_has_at_most_45_crates_with_every_room_on() {
    let crates = tree("xcloud", "Cargo.toml");
    println!("xcloud: {} crates", crates.len());
    assert!(crates.len() <= 45, "{} crates: {crates:?}", crates.len());
    assert!(
        ROOMS.iter().all(|room| crates.contains(&format!("xcloud-{room}"))),
        "a room is missing: {crates:?}"
    );
}

#[test]
fn light_crates_hold_no_sdk_no_reqwest_no_tls() {
    let rooms = ROOMS.map(|room| format!("xcloud-{room}"));
    let light = ["xcloud", "xcloud-core", "xcloud-serve", "xcloud-macros"].map(str::to_owned);
    for package in light.iter().chain(&rooms) {
        let crates = tree(package, "Cargo.toml");
        let heavy: Vec<_> = crates.iter().filter(|c| HEAVY.iter().any(|h| c.starts_with(h))).collect();
        assert!(heavy.is_empty(), "{package} depends on {heavy:?}");
    }
}

#[test]
fn an_example_has_the_tree_that_users_get() {
    for example in ["orders", "social"] {
        let crates = tree(example, "examples/Cargo.toml");
        println!("{example}: {} crates", crates.len());
        assert!(crates.len() <= 46, "{example}: {} crates: {crates:?}", crates.len());
        assert!(!crates.iter().any(|c| HEAVY.iter().any(|h| c.starts_with(h))), "{example}: {crates:?}");
    }
}

/// What it takes to send to a cloud's own queue: TLS, and still no SDK.
#[test]
fn the_feature_bindings_brings_at_most_14_crates() {
    for (package, manifest, most) in [("xcloud", "Cargo.toml", 54), ("orders", "examples/Cargo.toml", 55)] {
        let (with, without) = (tree_with(package, manifest, "bindings"), tree(package, manifest));
        let more: Vec<_> = with.difference(&without).collect();
        println!("{package} with bindings: {} crates, {more:?} more", with.len());
        assert!(with.len() <= most && more.len() <= 14, "{package}: {} crates, {more:?} more", with.len());
        let heavy: Vec<_> = with.iter().filter(|c| HEAVY.iter().any(|h| c.starts_with(h))).collect();
        assert!(heavy.iter().all(|name| name.starts_with("rustls")), "{package}: {heavy:?}");
        assert!(
            !with.iter().any(|name| name.starts_with("aws-lc") || name == "cmake"),
            "{package}: {with:?}"
        );
    }
}

/// By path, so that a manifest cannot slip through: what is not under `deploy/`, `emulator/`, `cli/` or `tests/` is light.
#[test]
fn no_light_manifest_names_a_heavy_crate() {
    for file in tracked().iter().filter(|f| f.ends_with("Cargo.toml")) {
        // The facade's feature `bindings`, off unless the app asks for it.
        let may_be_heavy = file == "providers/bindings/Cargo.toml"
            || file.split('/').any(|part| ["deploy", "emulator", "cli", "tests"].contains(&part));
        if may_be_heavy {
            continue;
        }
        for line in crate::read(file).lines() {
            let name = line.split(['=', '.', ' ']).next().unwrap_or("").trim_matches('"');
            assert!(!HEAVY.iter().any(|h| name.starts_with(h)), "{file}: {line}");
        }
    }
}

/// One HTTP stack: no crate of it in two versions in what the CLI links.
#[test]
fn the_cli_has_one_http_stack() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none", "--package", "xcloud-cli", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["http", "hyper", "h2", "rustls", "tokio"] {
        let versions: BTreeSet<_> = text
            .lines()
            .filter_map(|l| l.strip_prefix(name)?.strip_prefix(" v")?.split(' ').next())
            // The types of http 0.2 stand in the public interface of AWS's `aws-smithy-types`; nothing speaks it.
            .filter(|version| name != "http" || !version.starts_with("0.2."))
            .collect();
        assert!(versions.len() <= 1, "{name} in versions {versions:?}");
    }
}
