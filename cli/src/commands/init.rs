//! `xcloud init`

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use toml::de::{DeTable, DeValue};
use xcloud_core::{Error, ErrorKind, Result};

use crate::args::{self, Args};
use crate::config::{PROJECT_NAME, is_project_name};
use crate::printer::Done;
use crate::scaffold::{self, Origin, write_new};
use crate::{cargo, config};

/// What is left to the user: this command writes nothing but xcloud.toml.
#[derive(Debug, Serialize)]
struct Todo {
    file: PathBuf,
    add: String,
    why: &'static str,
}

/// Writes xcloud.toml beside a package's Cargo.toml, and says what else the package needs.
pub(super) fn run(args: &Args, options: &args::Init) -> Result<Done> {
    let directory = super::directory(args)?;
    let package = Package::read(&directory)?;
    let name = name(&package, options.name.as_deref())?;
    let origin = Origin::find(options.path_to_xcloud.as_deref())?;
    let file = directory.join("xcloud.toml");
    write_new(&file, &scaffold::init_toml(&name, &origin))?;
    config::Manifest::read(&config::Source::open(&file)?)?;
    let todo = todo(&directory, &package, &origin)?;
    let message = format!("wrote {}", file.display());
    let mut text = format!("{message}\n");
    if todo.is_empty() {
        text += "The package has what it needs. Next:\n  xcloud dev\n  xcloud deploy\n";
    }
    for Todo { file, add, why } in &todo {
        let indented: String = add.lines().map(|line| format!("    {line}\n")).collect();
        text += &format!("\nIn {}, {why}:\n{indented}", file.display());
    }
    let data = json!({ "name": name, "path": file, "todo": todo });
    Ok(Done::new(message, data, text))
}

/// What its Cargo.toml says of a package.
struct Package {
    name: String,
    depends: bool,
}

impl Package {
    fn read(directory: &Path) -> Result<Self> {
        let file = directory.join("Cargo.toml");
        let wrong = |what: String| Error::new(ErrorKind::Config, format!("{}: {what}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(|e| {
            wrong(format!("{e}; `xcloud init` is for a cargo package, `xcloud new NAME` makes one"))
        })?;
        let cargo = DeTable::parse(&text).map_err(|e| wrong(e.message().to_owned()))?;
        let table = |key: &str| match cargo.get_ref().get(key).map(toml::Spanned::get_ref) {
            Some(DeValue::Table(table)) => Some(table),
            _ => None,
        };
        let package = table("package").ok_or_else(|| {
            wrong("a workspace and no package: name the package's directory with -C".to_owned())
        })?;
        let name = package.get("name").and_then(|name| name.get_ref().as_str());
        let name = name.ok_or_else(|| wrong("the package has no name".to_owned()))?.to_owned();
        let depends = table("dependencies").is_some_and(|table| table.contains_key("xcloud"));
        Ok(Self { name, depends })
    }
}

/// The project's name: what was asked for, else the package's in the letters that a project may have.
fn name(package: &Package, asked: Option<&str>) -> Result<String> {
    let name = match asked {
        Some(name) => name.to_owned(),
        None => package.name.replace('_', "-").to_ascii_lowercase(),
    };
    if is_project_name(&name) {
        return Ok(name);
    }
    let message =
        format!("`{name}` cannot be the project's name, it has {PROJECT_NAME}: choose one with --name");
    Err(Error::new(ErrorKind::Config, message))
}

fn todo(directory: &Path, package: &Package, origin: &Origin) -> Result<Vec<Todo>> {
    let mut todo = Vec::new();
    let own = directory.join("Cargo.toml");
    if !package.depends {
        let add = format!("[dependencies]\n{}\n", origin.dependency());
        todo.push(Todo { file: own.clone(), add, why: "the dependency" });
    }
    // Cargo reads profiles from the workspace's root only.
    let root = cargo::workspace_root(directory).unwrap_or(own);
    let text = std::fs::read_to_string(&root).unwrap_or_default();
    let has_profile = DeTable::parse(&text).is_ok_and(|cargo| match cargo.get_ref().get("profile") {
        Some(profile) => profile.get_ref().get("release").is_some(),
        None => false,
    });
    if !has_profile {
        let add = scaffold::release_profile().to_owned();
        todo.push(Todo { file: root, add, why: "the profile that xcloud's budgets are measured with" });
    }
    let main = directory.join("src/main.rs");
    let runs = std::fs::read_to_string(&main).unwrap_or_default().contains("xcloud::run");
    if !runs {
        let add = scaffold::INIT_MAIN.to_owned();
        todo.push(Todo { file: main, add, why: "a handler, and the app in place of what main does" });
    }
    let ignore = directory.join(".gitignore");
    let ignored = std::fs::read_to_string(&ignore).unwrap_or_default();
    if !ignored.lines().any(|line| line.trim().trim_matches('/') == ".xcloud") {
        todo.push(Todo { file: ignore, add: "/.xcloud/\n".to_owned(), why: "what builds leave" });
    }
    Ok(todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packages_become_names_of_projects() {
        let package = |name: &str| Package { name: name.to_owned(), depends: false };
        assert_eq!(name(&package("my_App"), None).unwrap(), "my-app");
        assert_eq!(name(&package("my_App"), Some("shop")).unwrap(), "shop");
        assert!(name(&package("ünder"), None).unwrap_err().message().contains("--name"));
        assert!(name(&package("x"), Some("Shop")).is_err());
    }
}
