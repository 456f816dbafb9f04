//! Making the files of an app: the templates, where their `xcloud` comes from, and writing without overwriting.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use xcloud_core::{Error, ErrorKind, Result};

/// The files that `xcloud new` can begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// One HTTP handler
    Http,
    /// An HTTP handler that accepts jobs, a queue handler that does them
    Queue,
    /// An axum Router
    Api,
}

const CARGO: &str = include_str!("../templates/Cargo.toml.in");
/// A whole `main.rs` for `xcloud init`.
pub(crate) const INIT_MAIN: &str = include_str!("../templates/init_main.rs");
const INIT: &str = include_str!("../templates/init.toml");
const IGNORE: &str = include_str!("../templates/gitignore");
const SERDE: &str = "serde = { version = \"1\", features = [\"derive\"] }";
const AXUM: &str = "axum = { version = \"0.8\", default-features = false, features = [\"json\", \"query\"] }";
const JSON: &str = "serde_json = \"1\"";
const TOKIO: &str = "tokio = { version = \"1\", default-features = false, features = [\"macros\", \"rt\"] }";

impl Template {
    /// As it is typed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Queue => "queue",
            Self::Api => "api",
        }
    }

    /// `src/main.rs`, `xcloud.toml` and `README.md`.
    const fn texts(self) -> [&'static str; 3] {
        match self {
            Self::Http => [
                include_str!("../templates/http/main.rs"),
                include_str!("../templates/http/xcloud.toml"),
                include_str!("../templates/http/README.md"),
            ],
            Self::Queue => [
                include_str!("../templates/queue/main.rs"),
                include_str!("../templates/queue/xcloud.toml"),
                include_str!("../templates/queue/README.md"),
            ],
            Self::Api => [
                include_str!("../templates/api/main.rs"),
                include_str!("../templates/api/xcloud.toml"),
                include_str!("../templates/api/README.md"),
            ],
        }
    }

    /// The app's files: path below its directory, and content.
    pub(crate) fn files(
        self,
        name: &str,
        origin: &Origin,
        in_workspace: bool,
    ) -> Vec<(&'static str, String)> {
        let (normal, dev): (&[&str], &[&str]) = match self {
            Self::Http => (&[SERDE], &[TOKIO]),
            Self::Queue => (&[SERDE], &[JSON, TOKIO]),
            Self::Api => (&[AXUM, SERDE], &[TOKIO]),
        };
        let xcloud = origin.dependency();
        let normal: Vec<&str> = normal.iter().copied().chain([xcloud.as_str()]).collect();
        // Cargo reads profiles from a workspace's root only, so an app inside another workspace gets one of its own.
        let workspace = if in_workspace { "\n[workspace]\n" } else { "" };
        let cargo = fill(
            CARGO,
            &[
                ("name", name),
                ("rust-version", env!("CARGO_PKG_RUST_VERSION")),
                ("dependencies", &normal.join("\n")),
                ("dev-dependencies", &dev.join("\n")),
                ("workspace", workspace),
            ],
        );
        let schema = origin.schema();
        let [main, toml, readme] =
            self.texts().map(|text| fill(text, &[("name", name), ("schema", &schema)]));
        vec![
            ("Cargo.toml", cargo.trim_end().to_owned() + "\n"),
            ("src/main.rs", main),
            ("xcloud.toml", toml),
            ("README.md", readme),
            (".gitignore", IGNORE.to_owned()),
        ]
    }
}

/// The xcloud.toml of `xcloud init`.
pub(crate) fn init_toml(name: &str, origin: &Origin) -> String {
    fill(INIT, &[("name", name), ("schema", &origin.schema())])
}

/// The release profile of the templates, with what each setting buys.
pub(crate) fn release_profile() -> &'static str {
    let from = CARGO.find("# What `xcloud build` makes").unwrap_or_default();
    let to = CARGO.find("# Dependencies without").unwrap_or(CARGO.len());
    CARGO.get(from..to).unwrap_or_default().trim_end()
}

/// Replaces `{{key}}`.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value))
}

/// Where an app's `xcloud` crate comes from. It is not on crates.io yet, so a version alone would not build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The folder of the crate in a checkout.
    Checkout(PathBuf),
    /// The repository that this command's own manifest names.
    Repository,
}

impl Origin {
    /// `asked` when it is given; else the checkout that this command was built in, as long as it is there; else the
    /// repository.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when `asked` holds no xcloud crate.
    pub(crate) fn find(asked: Option<&Path>) -> Result<Self> {
        let Some(asked) = asked else {
            let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            return Ok(crate_in(&built_in).map_or(Self::Repository, Self::Checkout));
        };
        let none = || {
            let message = format!(
                "--path-to-xcloud {}: no xcloud crate is there; name a checkout of {}",
                asked.display(),
                env!("CARGO_PKG_REPOSITORY")
            );
            Error::new(ErrorKind::Config, message)
        };
        crate_in(asked).map(Self::Checkout).ok_or_else(none)
    }

    /// The line of Cargo.toml.
    pub(crate) fn dependency(&self) -> String {
        match self {
            Self::Checkout(path) => {
                // A JSON text is a TOML text too.
                format!("xcloud = {{ path = {} }}", serde_json::Value::from(path.display().to_string()))
            }
            Self::Repository => format!("xcloud = {{ git = \"{}\" }}", env!("CARGO_PKG_REPOSITORY")),
        }
    }

    /// Where editors find the schema of xcloud.toml, for the `#:schema` comment that taplo and its editors read.
    pub(crate) fn schema(&self) -> String {
        match self {
            Self::Checkout(path) => {
                let root = path.parent().unwrap_or(path);
                format!("file://{}", root.join("docs/xcloud.schema.json").display())
            }
            Self::Repository => format!("{}/raw/main/docs/xcloud.schema.json", env!("CARGO_PKG_REPOSITORY")),
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Checkout(path) => format!("the xcloud crate in {}", path.display()),
            Self::Repository => format!("the xcloud crate in {}", env!("CARGO_PKG_REPOSITORY")),
        }
    }
}

/// The folder of the `xcloud` crate, when `directory` is it or a checkout's root.
fn crate_in(directory: &Path) -> Option<PathBuf> {
    let is_it = |folder: &Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.trim() == "name = \"xcloud\"")
    };
    let found = [directory.to_owned(), directory.join("providers")].into_iter().find(|folder| is_it(folder));
    found?.canonicalize().ok()
}

/// Whether a folder above has a Cargo.toml: cargo may then take the app for a part of that workspace.
pub(crate) fn in_workspace(directory: &Path) -> bool {
    directory.ancestors().skip(1).any(|folder| folder.join("Cargo.toml").is_file())
}

/// Writes a file that is not there yet, folders included.
///
/// # Errors
/// It is there, or cannot be written.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<()> {
    let failed = |e: std::io::Error| {
        let message = match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                format!("{} is there already, and was left as it is", path.display())
            }
            _ => format!("cannot write {}: {e}", path.display()),
        };
        Error::new(ErrorKind::Config, message).caused_by(e)
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_and_both_files_are_read() {
        for template in Template::value_variants() {
            for origin in [Origin::Checkout("/x y/\"providers\"".into()), Origin::Repository] {
                let files = template.files("demo", &origin, true);
                for (path, text) in &files {
                    assert!(!text.contains("{{") || *path == "src/main.rs", "{path}: {text}");
                    assert!(!text.contains("{{name") && !text.contains("{{schema"), "{path}: {text}");
                    assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{path}");
                }
                let cargo = toml::de::DeTable::parse(&files[0].1).unwrap().into_inner();
                let at = |keys: &[&str]| {
                    let value = keys.iter().skip(1).fold(cargo[keys[0]].get_ref(), |value, key| {
                        let toml::de::DeValue::Table(table) = value else { panic!("{key} of {value:?}") };
                        table[*key].get_ref()
                    });
                    value.as_str().map(str::to_owned)
                };
                assert_eq!(at(&["package", "name"]).unwrap(), "demo");
                assert_eq!(at(&["profile", "release", "lto"]).unwrap(), "fat");
                assert!(cargo.contains_key("workspace"));
                let (key, wanted) = match &origin {
                    Origin::Checkout(_) => ("path", "/x y/\"providers\""),
                    Origin::Repository => ("git", env!("CARGO_PKG_REPOSITORY")),
                };
                assert_eq!(at(&["dependencies", "xcloud", key]).unwrap(), wanted);
                let manifest =
                    crate::config::Manifest::read(&crate::config::Source::of(&files[2].1)).unwrap();
                assert_eq!(manifest.name, "demo");
            }
        }
    }

    #[test]
    fn the_profile_is_cut_out_whole() {
        let profile = release_profile();
        assert!(profile.starts_with("# What") && profile.ends_with("strip = true"), "{profile}");
        assert!(profile.contains("[profile.release]"));
    }

    #[test]
    fn the_checkout_that_this_was_built_in_is_found() {
        let Origin::Checkout(path) = Origin::find(None).unwrap() else { panic!("built in a checkout") };
        assert!(path.ends_with("providers"), "{path:?}");
        let error = Origin::find(Some(Path::new("/nowhere"))).unwrap_err();
        assert!(error.message().contains("/nowhere"), "{error}");
    }
}
