//! The keys of xcloud.toml.

use std::collections::BTreeMap;

use xcloud_core::cors::Cors;
use xcloud_core::spec::Settings;
use xcloud_core::{Error, Result};

use super::toml::{Key, Source, Table};

/// A project's file. Every key is optional but the name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The project's name.
    pub name: String,
    /// The provider where none is asked for.
    pub provider: Option<String>,
    /// How many versions a deployment keeps.
    pub keep_versions: Option<u32>,
    /// How to build.
    pub build: Build,
    /// By function: where it is written, and what is set.
    pub functions: Functions,
    /// By stage: what differs there.
    pub stages: BTreeMap<String, (String, StageTable)>,
    /// What must not be exceeded.
    pub budget: Budget,
    /// `providers.local.durability`: `process` or `fsync`.
    pub durability: Option<String>,
    /// Local: how long an instance may be idle.
    pub idle_timeout_seconds: Option<u32>,
}

/// By function: where it is written, and what is set.
pub(crate) type Functions = BTreeMap<String, (String, FunctionTable)>;

/// `[build]`
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Build {
    /// The cargo package.
    pub package: Option<String>,
    /// The binary of the package.
    pub bin: Option<String>,
    /// Cargo features.
    pub features: Vec<String>,
    /// The cargo profile; default release.
    pub profile: Option<String>,
    /// The compilation target.
    pub target: Option<String>,
    /// Patterns of the files that lie beside the binary.
    pub include: Vec<String>,
}

/// `[budget]`
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    /// The most bytes that the binary may have.
    pub binary: Option<u64>,
}

/// `[functions.<name>]`
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FunctionTable {
    /// What the function gets.
    pub settings: Settings,
    /// The most messages in one call.
    pub batch: Option<u32>,
    /// Who may read HTTP answers in a browser.
    pub cors: Option<Cors>,
}

/// `[stages.<name>]`
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StageTable {
    /// Nothing is deleted there without `--yes`.
    pub protect: bool,
    /// What differs.
    pub functions: Functions,
}

impl Manifest {
    /// Reads the file.
    ///
    /// # Errors
    /// The first thing that is wrong: file, line, key, and the nearest key that exists.
    pub(crate) fn read(source: &Source) -> Result<Self> {
        source.read(Self::of)
    }

    /// Every key that a file may have.
    ///
    /// # Errors
    /// None that a user can cause.
    pub(crate) fn keys() -> Result<Vec<Key>> {
        Source::keys(|file| Self::of(file).map(drop))
    }

    fn of(file: &Table<'_>) -> Result<Self> {
        let project = file.table("project", project)?;
        let build = file.table("build", build)?.unwrap_or_default();
        let functions = file.named("functions", |_, table| function(table))?;
        let (durability, idle_timeout_seconds) = file.table("providers", providers)?.unwrap_or_default();
        let stages = file.named("stages", |_, table| stage(table))?;
        let budget = file.table("budget", budget)?.unwrap_or_default();
        file.end()?;
        let (name, provider, keep_versions) = project.unwrap_or_default();
        Ok(Self {
            name,
            provider,
            keep_versions,
            build,
            functions,
            stages,
            budget,
            durability,
            idle_timeout_seconds,
        })
    }
}

/// What memory may be, in words.
pub(super) const MEMORY: &str = "a size like \"256MB\" or \"1GB\"";
/// What a timeout may be, in words.
pub(super) const TIME: &str = "a time like \"15s\" or \"2m\"";
/// What a short time may be, in words.
pub(super) const MILLISECONDS: &str = "a time like \"20ms\"";
/// What a file's size may be, in words.
pub(super) const FILE_SIZE: &str = "a size like \"4MB\", \"2.5MB\" or \"900KB\"";
/// What a project's name may be, in words.
pub(crate) const PROJECT_NAME: &str = "1 to 40 lower-case letters, digits and `-`, a letter first";

/// Whether a text may be a project's name.
pub(crate) fn is_project_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    first && rest && name.len() <= 40
}

fn project(table: &Table<'_>) -> Result<(String, Option<String>, Option<u32>)> {
    let name = table.parsed("name", PROJECT_NAME, |name| is_project_name(name).then(|| name.to_owned()))?;
    table.parsed("edition", "\"1\"", |edition| (edition == "1").then_some(()))?;
    Ok((name.unwrap_or_default(), table.text("provider")?, table.number("keep_versions", 1)?))
}

fn build(table: &Table<'_>) -> Result<Build> {
    Ok(Build {
        package: table.text("package")?,
        bin: table.text("bin")?,
        features: table.texts("features")?,
        profile: table.text("profile")?,
        target: table.text("target")?,
        include: table.texts("include")?,
    })
}

fn function(table: &Table<'_>) -> Result<FunctionTable> {
    let settings = Settings {
        memory_mb: table.parsed("memory", MEMORY, megabytes)?,
        timeout_seconds: table.parsed("timeout", TIME, seconds)?,
        concurrency: table.number("concurrency", 1)?,
        min_instances: table.number("min_instances", 0)?,
        max_instances: table.number("max_instances", 1)?,
        public: table.flag("public")?,
        max_attempts: table.number("max_attempts", 1)?,
        env: table.map("env")?,
    };
    Ok(FunctionTable { settings, batch: table.number("batch", 1)?, cors: table.table("cors", cors)? })
}

fn cors(table: &Table<'_>) -> Result<Cors> {
    let usual = Cors::default();
    let list = |name, usual| Ok::<_, Error>(table.list(name)?.unwrap_or(usual));
    let cors = Cors {
        origins: list("origins", usual.origins)?,
        methods: list("methods", usual.methods)?,
        headers: list("headers", usual.headers)?,
        expose: list("expose", usual.expose)?,
        credentials: table.flag("credentials")?.unwrap_or(usual.credentials),
        max_age: table.parsed("max_age", TIME, seconds)?.unwrap_or(usual.max_age),
    };
    table.sound(|| cors.check())?;
    Ok(cors)
}

fn stage(table: &Table<'_>) -> Result<StageTable> {
    let protect = table.flag("protect")?.unwrap_or(false);
    Ok(StageTable { protect, functions: table.named("functions", |_, table| function(table))? })
}

/// `providers.local`: durability, and seconds that an instance may be idle.
type Local = (Option<String>, Option<u32>);

/// What the providers' deployments will read; checked now, so that a typing error does not wait for them.
fn providers(table: &Table<'_>) -> Result<Local> {
    table.table("aws", |t| texts(t, &["region", "profile", "endpoint"]))?;
    table.table("azure", |t| texts(t, &["subscription", "resource_group", "location", "endpoint"]))?;
    table.table("gcp", |t| texts(t, &["project", "region", "endpoint"]))?;
    table.table("alibaba", |t| texts(t, &["region", "endpoint"]))?;
    Ok(table.table("local", local)?.unwrap_or_default())
}

fn local(table: &Table<'_>) -> Result<Local> {
    let known = |text: &str| ["process", "fsync"].contains(&text).then(|| text.to_owned());
    let durability = table.parsed("durability", "\"process\" or \"fsync\"", known)?;
    Ok((durability, table.parsed("idle_timeout", TIME, seconds)?))
}

fn texts(table: &Table<'_>, keys: &[&'static str]) -> Result<()> {
    keys.iter().try_for_each(|key| table.text(key).map(drop))
}

fn budget(table: &Table<'_>) -> Result<Budget> {
    let binary = table.parsed("binary", FILE_SIZE, bytes)?;
    table.parsed("init", MILLISECONDS, |text| text.strip_suffix("ms")?.parse::<u32>().ok())?;
    Ok(Budget { binary })
}

/// A file's size as disks and uploads count: 1 MB is 1,000,000 bytes. At most three digits after the point.
fn bytes(text: &str) -> Option<u64> {
    let (number, thousands) = match text.strip_suffix("MB") {
        Some(number) => (number, 1000),
        None => (text.strip_suffix("KB")?, 1),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let part = format!("{part:0<3}").parse::<u64>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part)?.checked_mul(thousands).filter(|n| *n > 0)
}

fn megabytes(text: &str) -> Option<u32> {
    let (number, factor) = match text.strip_suffix("GB") {
        Some(number) => (number, 1024),
        None => (text.strip_suffix("MB")?, 1),
    };
    number.parse::<u32>().ok()?.checked_mul(factor).filter(|mb| *mb > 0)
}

fn seconds(text: &str) -> Option<u32> {
    let (number, factor) = match text.strip_suffix('s') {
        Some(number) => (number, 1),
        None => (text.strip_suffix('m')?, 60),
    };
    number.parse::<u32>().ok()?.checked_mul(factor).filter(|s| *s > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest> {
        Manifest::read(&Source::of(text))
    }

    #[test]
    fn a_whole_file_is_read() {
        let manifest = read(
            "[project]\nname = \"shop\"\nedition = \"1\"\n[build]\nfeatures = [\"a\"]\n[functions.http]\nmemory = \"1GB\"\n\
             timeout = \"2m\"\npublic = true\nenv = { LOG = \"info\" }\n[providers.aws]\nregion = \"eu-west-1\"\n\
             [stages.prod]\nprotect = true\nfunctions.http.min_instances = 1\n[budget]\nbinary = \"4MB\"\ninit = \"20ms\"\n",
        )
        .unwrap();
        let settings = &manifest.functions["http"].1.settings;
        assert_eq!((settings.memory_mb, settings.timeout_seconds), (Some(1024), Some(120)));
        let prod = &manifest.stages["prod"].1;
        assert!(prod.protect && prod.functions["http"].1.settings.min_instances == Some(1));
    }

    #[test]
    fn sizes_of_files_are_decimal() {
        for (text, wanted) in [
            ("4MB", Some(4_000_000)),
            ("2.5MB", Some(2_500_000)),
            ("900KB", Some(900_000)),
            ("0.25KB", Some(250)),
            ("0MB", None),
            ("1.2345MB", None),
            (".5MB", None),
            ("-1MB", None),
            ("4", None),
            ("99999999999999999999MB", None),
            ("18446744073709551MB", None),
        ] {
            assert_eq!(bytes(text), wanted, "{text}");
        }
    }

    #[test]
    fn errors_say_file_line_key_and_the_nearest_key() {
        for (text, parts) in [
            ("[project]\nnmae = \"x\"\n", &["xcloud.toml:2:", "`project.nmae`", "did you mean `name`"][..]),
            (
                "[project]\nname = \"x\"\n[functions.http]\ntimout = \"1s\"\n",
                &["xcloud.toml:4:", "`functions.http.timout`", "`timeout`"],
            ),
            (
                "[functions.http]\n\ncors = { max_age = \"5m\" }\n",
                &["xcloud.toml:3:", "`functions.http.cors`", "`origins`"],
            ),
            ("[functions.http]\nmemory = 256\n", &["xcloud.toml:2:", "`functions.http.memory`", "256MB"]),
            (
                "[functions.http]\nconcurrency = 0\n",
                &["xcloud.toml:2:", "`functions.http.concurrency`", "from 1"],
            ),
            (
                "[stages.prod]\nfunctions.http.publik = true\n",
                &["`stages.prod.functions.http.publik`", "`public`"],
            ),
            ("[project\n", &["xcloud.toml:1:"]),
            ("[project]\nname = \"Shop 1\"\n", &["xcloud.toml:2:", "lower-case"]),
            ("[providers.gcp]\nprojekt = \"p\"\n", &["xcloud.toml:2:", "`project`"]),
            ("zzz = 1\n", &["unknown key `zzz` (known: project"]),
        ] {
            let error = read(text).unwrap_err();
            for part in parts {
                assert!(error.message().contains(part), "{text:?}: {error}");
            }
        }
    }
}
