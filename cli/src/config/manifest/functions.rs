//! `[functions.<name>]`

use std::collections::BTreeMap;
use std::path::PathBuf;

use xcloud_core::cors::Cors;
use xcloud_core::spec::Settings;
use xcloud_core::{Error, Result};

use super::{MEMORY, TIME, megabytes, seconds};
use crate::config::toml::{Placed, Table};

/// By function: where it is written, and what is set.
pub(crate) type Functions = BTreeMap<String, (String, FunctionTable)>;

/// `[functions.<name>]`
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FunctionTable {
    /// What the function gets.
    pub settings: Settings,
    /// The most messages in one call.
    pub batch: Option<u32>,
    /// Who may read HTTP answers in a browser.
    pub cors: Option<Cors>,
    /// By variable: where its value is, which nobody may see.
    pub secrets: Option<BTreeMap<String, Placed<Origin>>>,
    /// By provider: what only that one understands.
    pub native: BTreeMap<&'static str, BTreeMap<String, String>>,
}

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a variable of the command's environment.
    Env(String),
    /// In a file; a relative path begins where xcloud.toml is.
    File(PathBuf),
}

/// What a secret may be, in words.
pub(crate) const SECRET: &str = "\"env:NAME\" or \"file:PATH\", where its value is found when it is deployed (a \
                                 reference to a provider's own store is not supported yet)";
/// What a role may be, in words.
pub(crate) const ROLE: &str = "a role's ARN like \"arn:aws:iam::123456789012:role/shop\"";

/// The functions of a file or of a stage.
pub(super) fn read(table: &Table<'_>) -> Result<Functions> {
    table.named("functions", |_, table| function(table))
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
    let secrets = table.forms("secrets", SECRET, origin)?;
    let batch = table.number("batch", 1)?;
    let cors = table.table("cors", cors)?;
    let native = table.table("aws", aws)?.map(|aws| ("aws", aws)).into_iter().collect();
    Ok(FunctionTable { settings, batch, cors, secrets, native })
}

fn origin(text: &str) -> Option<Origin> {
    let (kind, rest) = text.split_once(':').filter(|(_, rest)| !rest.is_empty())?;
    match kind {
        "env" => Some(Origin::Env(rest.to_owned())),
        "file" => Some(Origin::File(rest.into())),
        _ => None,
    }
}

fn aws(table: &Table<'_>) -> Result<BTreeMap<String, String>> {
    let arn = |text: &str| (text.starts_with("arn:") && text.contains(":role/")).then(|| text.to_owned());
    let role = table.parsed("role", ROLE, arn)?;
    Ok(role.map(|role| ("role".to_owned(), role)).into_iter().collect())
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
