//! The shape of the house: what ARCHITECTURE.md promises about the tree, held by tests.

mod budgets;
mod docs;
mod parity;
mod trees;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// Files that git knows, relative to the root.
fn tracked() -> Vec<String> {
    let output = Command::new("git").arg("-C").arg(root()).arg("ls-files").output().expect("git runs");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<_> =
        String::from_utf8(output.stdout).expect("names are UTF-8").lines().map(str::to_owned).collect();
    assert!(files.len() > 50, "git knows only {} files", files.len());
    files
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

const ROOMS: [&str; 5] = ["aws", "azure", "gcp", "alibaba", "local"];

/// Files that one room has and the others do not need, each with its reason.
const EXTRA: &[(&str, &str)] = &[
    (
        "local/src/sender.rs",
        "the queue transport of the local host; clouds get theirs with the bindings feature",
    ),
    ("local/src/table.rs", "the table transport of the local host, as sender.rs is for queues"),
    (
        "local/src/table.rs",
        "the table transport of the local host; clouds get theirs with the bindings feature",
    ),
    (
        "local/src/bridge.rs",
        "another cloud's host behind the local host's wire, for `xcloud dev --as`; never in a function",
    ),
];

#[test]
fn rooms_have_equal_file_names() {
    let files = tracked();
    let names = |room: &str| -> BTreeSet<String> {
        let prefix = format!("providers/{room}/src/");
        let own = files.iter().filter_map(|f| f.strip_prefix(&prefix));
        // A file that grew may become a folder of the same name: decode.rs beside decode/http.rs.
        own.filter(|f| !f.contains('/'))
            .filter(|f| !EXTRA.iter().any(|(path, _)| *path == format!("{room}/src/{f}")))
            .map(str::to_owned)
            .collect()
    };
    let expected: BTreeSet<String> =
        ["adapter.rs", "binding.rs", "decode.rs", "encode.rs", "host.rs", "lib.rs"].map(str::to_owned).into();
    for room in ROOMS {
        assert_eq!(names(room), expected, "providers/{room}/src");
    }
    for (path, _) in EXTRA {
        assert!(
            root().join("providers").join(path).exists(),
            "{path} is listed as an extra file and is gone"
        );
    }
}

#[test]
fn folders_in_rooms_belong_to_a_file() {
    for file in tracked() {
        let Some(rest) =
            file.strip_prefix("providers/").filter(|r| r.contains("/src/") && !r.contains("/deploy/"))
        else {
            continue;
        };
        let Some((room, inside)) = rest.split_once("/src/") else { continue };
        if let Some((folder, _)) = inside.split_once('/') {
            let parent = format!("providers/{room}/src/{folder}.rs");
            assert!(root().join(&parent).exists(), "{file} is in a folder without {parent}");
        }
    }
}

#[test]
fn deploy_halves_have_a_package_and_list_what_is_missing() {
    let wanted = [
        "lib.rs",
        "config.rs",
        "package.rs",
        "plan.rs",
        "observe.rs",
        "apply.rs",
        "operate.rs",
        "client.rs",
        "error.rs",
    ];
    for room in ROOMS {
        let src = root().join(format!("providers/{room}/deploy/src"));
        assert!(src.join("package.rs").exists(), "{room} cannot package");
        assert!(src.join("check.rs").exists(), "{room} does not say what it cannot do");
        let missing: Vec<_> = wanted.iter().filter(|f| !src.join(f).exists()).collect();
        println!("providers/{room}/deploy/src: missing {missing:?}");
    }
}

#[test]
fn files_stop_at_600_lines_and_lib_rs_at_60() {
    for file in tracked().iter().filter(|f| f.ends_with(".rs")) {
        let lines = read(file).lines().count();
        assert!(lines <= 600, "{file} has {lines} lines");
        let front = file.ends_with("/src/lib.rs") && file.starts_with("providers/");
        assert!(
            !front || lines <= 60 || file == "providers/src/lib.rs",
            "{file} has {lines} lines; a lib.rs is a front door"
        );
    }
}

#[test]
fn wire_fixtures_name_their_source() {
    let mut cases = BTreeSet::new();
    for file in tracked() {
        let parts: Vec<_> = file.split('/').collect();
        if let ["providers", _, "fixtures", "wire", trigger, case, _, ..] = parts[..] {
            cases.insert(format!("{}/fixtures/wire/{trigger}/{case}", parts[..2].join("/")));
        }
    }
    assert!(cases.len() >= 10, "only {} wire fixtures", cases.len());
    for case in &cases {
        let source = root().join(case).join("SOURCE");
        let text = std::fs::read_to_string(&source).unwrap_or_default();
        assert!(text.trim().len() > 10, "{case} has no SOURCE saying where it is from");
    }
}

#[test]
fn no_path_of_a_machine_is_committed() {
    let home = std::env::var("HOME").unwrap_or_default();
    let above = root().parent().map(|p| format!("{}/", p.display())).unwrap_or_default();
    for file in tracked() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        for path in [&home, &above] {
            assert!(path.len() < 5 || !text.contains(path.as_str()), "{file} names {path}");
        }
    }
}
