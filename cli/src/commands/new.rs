//! `xcloud new`

use std::path::Path;

use serde_json::json;
use xcloud_core::{Error, ErrorKind, Result};

use crate::args::{self, Args};
use crate::printer::Done;
use crate::scaffold::{Origin, in_workspace, write_new};

/// Makes a small app in a directory of its own.
pub(super) fn run(args: &Args, options: &args::New) -> Result<Done> {
    let name = options.name.as_str();
    check_name(name)?;
    let directory = super::directory(args)?.join(name);
    check_empty(&directory)?;
    let origin = Origin::find(options.path_to_xcloud.as_deref())?;
    let files = options.template.files(name, &origin, in_workspace(&directory));
    for (path, text) in &files {
        write_new(&directory.join(path), text)?;
    }
    let next = [&format!("cd {name}"), "cargo test", "xcloud dev", "xcloud deploy"];
    let message = format!("made {name}, an app of the template {}", options.template.name());
    let text = format!(
        "{message}, in {}\nIt depends on {}.\nNext:\n  {}\nIts README.md says how to call it.\n",
        directory.display(),
        origin.describe(),
        next.join("\n  ")
    );
    let paths: Vec<_> = files.iter().map(|(path, _)| directory.join(path)).collect();
    let data = json!({
        "name": name, "template": options.template.name(), "path": directory, "files": paths,
        "dependency": origin.dependency(), "next": next,
    });
    Ok(Done::new(message, data, text))
}

/// Names that cargo or Rust keep for themselves, and those of the crates that an app begins with.
const TAKEN: [&str; 18] = [
    "alloc",
    "axum",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "self",
    "serde",
    "serde-json",
    "std",
    "super",
    "test",
    "tests",
    "tokio",
    "xcloud",
    "xcloud-core",
];
/// Keywords of Rust (reference, "Keywords") that a project may otherwise be called.
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct",
    "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
];

fn check_name(name: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::new(ErrorKind::Config, format!("`{name}` cannot be the app's name: {why}; try `my-app`")))
    };
    if !crate::config::is_project_name(name) {
        return wrong(crate::config::PROJECT_NAME);
    }
    if TAKEN.contains(&name) {
        return wrong("cargo, or a crate that the app depends on, has that name");
    }
    if KEYWORDS.contains(&name) || name == "yield" {
        return wrong("it is a keyword of Rust");
    }
    Ok(())
}

/// Not there, or empty.
fn check_empty(directory: &Path) -> Result<()> {
    let refused = |why: String| Err(Error::new(ErrorKind::Config, why));
    match std::fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => refused(format!(
                "{} is not empty: choose another name, or run `xcloud init` in it if it holds a cargo package",
                directory.display()
            )),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => refused(format!("{}: {e}", directory.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_not_build_or_deploy_are_refused() {
        for name in ["demo", "my-app", "a1"] {
            check_name(name).unwrap();
        }
        for name in
            ["", "Demo", "1a", "a_b", "a/b", "..", "test", "async", "serde", "xcloud", "ä", &"a".repeat(41)]
        {
            let error = check_name(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(&format!("`{name}`")), "{error}");
        }
    }
}
