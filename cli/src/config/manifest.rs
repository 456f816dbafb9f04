//! The keys of xcloud.toml.

mod existing;
mod functions;
mod providers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use xcloud_core::Result;

pub(crate) use self::existing::Existing;
pub(crate) use self::functions::{FunctionTable, Functions, Origin, ROLE, SECRET};
use self::providers::Providers;
pub(crate) use self::providers::{AwsTable, LocalTable};
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
    /// What the app uses and somebody else has made.
    pub existing: Existing,
    /// `[providers.aws]`
    pub aws: AwsTable,
    /// `[providers.local]`
    pub local: LocalTable,
}

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

/// `[stages.<name>]`
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StageTable {
    /// Nothing is deployed or destroyed there without `--yes`.
    pub protect: bool,
    /// What differs.
    pub functions: Functions,
    /// What else is there already.
    pub existing: Existing,
    /// What differs of the providers.
    providers: Providers,
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
        let functions = functions::read(file)?;
        let existing = existing::read(file)?;
        let Providers { aws, local } = providers::read(file)?;
        let stages = file.named("stages", |_, table| stage(table))?;
        let budget = file.table("budget", budget)?.unwrap_or_default();
        file.end()?;
        let (name, provider, keep_versions) = project.unwrap_or_default();
        Ok(Self { name, provider, keep_versions, build, functions, stages, budget, existing, aws, local })
    }

    /// With what a stage says of the providers.
    #[must_use]
    pub(crate) fn at(mut self, stage: &str) -> Self {
        if let Some((_, StageTable { providers: Providers { aws, local }, .. })) = self.stages.get(stage) {
            self.aws.over(aws);
            self.local.over(local);
        }
        self
    }

    /// Whether nothing is deleted in a stage without `--yes`.
    pub(crate) fn protects(&self, stage: &str) -> bool {
        self.stages.get(stage).is_some_and(|(_, stage)| stage.protect)
    }
}

/// What memory may be, in words.
pub(crate) const MEMORY: &str = "a size like \"256MB\" or \"1GB\"";
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

fn stage(table: &Table<'_>) -> Result<StageTable> {
    Ok(StageTable {
        protect: table.flag("protect")?.unwrap_or(false),
        functions: functions::read(table)?,
        existing: existing::read(table)?,
        providers: providers::read(table)?,
    })
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
