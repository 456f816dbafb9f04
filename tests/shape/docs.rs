//! Docs do not rot: every path and command that they name is there.

use crate::{read, root, tracked};

const PAGES: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/events.md", "docs/performance.md"];

/// The code spans and code blocks of a page, line by line.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
        } else if block {
            found.push(line.trim().to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// Whether a word looks like a path of this repository, and not like a URL, a route or a placeholder.
fn is_path(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-*".contains(c));
    let first = word.split('/').next().unwrap_or("");
    let top = ["core", "macros", "providers", "cli", "examples", "tests", "docs", ".ci"];
    // What a build makes is not there before it.
    let made = word.split('/').any(|part| part == "target" || part == ".xcloud");
    plain
        && !made
        && !word.starts_with('/')
        && (word.ends_with(".rs") || word.ends_with(".toml") || word.ends_with(".md") || top.contains(&first))
        && word.contains('/')
}

#[test]
fn every_path_named_in_the_docs_exists() {
    let files = tracked();
    let mut checked = 0;
    for page in PAGES {
        for span in code(&read(page)) {
            for word in span
                .split_whitespace()
                .map(|w| w.trim_matches(['(', ')', ',', ';', ':', '"']))
                .filter(|w| is_path(w))
            {
                let exists = match word.split_once('*') {
                    Some((before, after)) => files
                        .iter()
                        .any(|f| f.starts_with(before) && f.contains(after.trim_start_matches('*'))),
                    // The map names a room's files once, below the room.
                    None => root().join(word).exists() || root().join("providers/aws").join(word).exists(),
                };
                assert!(exists, "{page} names {word}, which is not there");
                checked += 1;
            }
        }
    }
    assert!(checked >= 30, "only {checked} paths were found in the docs");
}

#[test]
fn every_package_and_test_named_in_a_cargo_command_exists() {
    let manifests: String = tracked().iter().filter(|f| f.ends_with("Cargo.toml")).map(|f| read(f)).collect();
    for page in PAGES {
        for span in code(&read(page)).iter().filter(|s| s.starts_with("cargo ")) {
            // What follows `--` is the program's own.
            let cargos = span.split(" -- ").next().unwrap_or(span);
            let words: Vec<_> = cargos.split_whitespace().collect();
            for pair in words.windows(2).filter(|p| ["-p", "--package", "--test", "--bin"].contains(&p[0])) {
                let name = format!("name = \"{}\"", pair[1]);
                assert!(manifests.contains(&name), "{page}: `{span}`: no {} here", pair[1]);
            }
        }
    }
}

/// Verbs are the files of cli/src/commands: what a page tells to type must be one of them.
#[test]
fn every_verb_named_in_the_docs_is_a_command() {
    let verbs: Vec<String> = tracked()
        .iter()
        .filter_map(|f| f.strip_prefix("cli/src/commands/")?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    assert!(verbs.iter().any(|v| v == "deploy"), "{verbs:?}");
    for page in ["README.md", "CONTRIBUTING.md", "docs/performance.md"] {
        for span in code(&read(page)) {
            let mut words = span
                .split_whitespace()
                .skip_while(|w| !matches!(*w, "xcloud" | "target/debug/xcloud"))
                .skip(1);
            // Global options and their values come before the verb.
            while let Some(word) = words.next() {
                if word.starts_with('-') {
                    words.next();
                    continue;
                }
                if word.chars().all(|c| c.is_ascii_lowercase()) {
                    assert!(verbs.iter().any(|v| v == word), "{page}: `{span}`: no verb {word}");
                }
                break;
            }
        }
    }
}

#[test]
fn every_environment_variable_of_ours_is_documented() {
    let env = read("core/src/env.rs");
    let mut documented = 0;
    let mut previous = "";
    for line in env.lines() {
        if line.trim_start().starts_with("pub const") {
            assert!(previous.trim_start().starts_with("///"), "{line} has no doc");
            documented += 1;
        }
        previous = line;
    }
    assert!(documented >= 8, "{documented} variables");
}
