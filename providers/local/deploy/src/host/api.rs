//! What goes over the control socket.

pub(crate) mod secrets;
pub(crate) mod versions;

use serde::{Deserialize, Serialize};
use xcloud_core::spec::FunctionSpec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Stage;

use self::secrets::{Digests, Vault};
use crate::config::Durability;

/// First part of every path; another number is another, incompatible language.
pub(crate) const VERSION: &str = "/v1";
/// The largest package that the host takes.
pub(crate) const MAX_PACKAGE: usize = 512 * 1024 * 1024;

/// Who the host is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostInfo {
    /// Identifies the program: a client of another build replaces the host.
    pub(crate) build: String,
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// The keys of its apps.
    #[serde(default)]
    pub(crate) apps: Vec<String>,
    /// Messages in all their queues.
    #[serde(default)]
    pub(crate) messages: u64,
    /// How memory limits are held, for people.
    #[serde(default)]
    pub(crate) memory_limits: String,
}

/// What is deployed, or is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// SHA-256 of the package, which the host has.
    pub(crate) package: String,
    /// SHA-256 of the binary inside.
    pub(crate) binary_sha256: String,
    /// Identifies the files beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files_sha256: Option<String>,
    pub(crate) functions: Vec<FunctionSpec>,
    pub(crate) queues: Vec<String>,
    #[serde(default)]
    pub(crate) tables: Vec<String>,
    #[serde(default)]
    pub(crate) buckets: Vec<String>,
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    #[serde(default)]
    pub(crate) host: HostSettings,
}

impl Manifest {
    /// What identifies the binary and the files beside it.
    pub(crate) fn code(&self) -> (&str, Option<&str>) {
        (&self.binary_sha256, self.files_sha256.as_deref())
    }
}

/// What the configuration says of an app that is the host's business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSettings {
    /// How long an instance may be idle, in seconds.
    pub idle_timeout_seconds: Option<u32>,
    /// How many versions are kept.
    pub keep_versions: Option<u32>,
}

/// A request to put a manifest into service.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Publish {
    pub(crate) stage: Stage,
    pub(crate) manifest: Manifest,
    /// The version that the plan was made against: another one means that someone else deployed meanwhile.
    pub(crate) base: u64,
    pub(crate) delete_data: bool,
    /// Of functions that are named here all secrets are replaced.
    #[serde(default)]
    pub(crate) secrets: Vault,
    /// What serves goes on serving; the new version gets traffic when it is given some.
    #[serde(default)]
    pub(crate) no_traffic: bool,
    /// What acknowledgements survive; absent: as it is.
    #[serde(default)]
    pub(crate) durability: Option<Durability>,
}

/// An app as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppView {
    /// The current version, counted per app; 0 before the first publish.
    pub(crate) version: u64,
    pub(crate) port: Option<u16>,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) functions: Vec<FunctionView>,
    pub(crate) queues: Vec<QueueView>,
    #[serde(default)]
    pub(crate) tables: Vec<TableView>,
    #[serde(default)]
    pub(crate) buckets: Vec<BucketView>,
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    /// Events that wait for their function or were put aside, by its name.
    #[serde(default)]
    pub(crate) events: Vec<QueueView>,
    /// What acknowledgements survive.
    #[serde(default)]
    pub(crate) durability: Durability,
    /// The current version's secrets, and the salt of the digests.
    #[serde(default)]
    pub(crate) secrets: Digests,
    #[serde(default)]
    pub(crate) salt: String,
    /// Why the files of queues and tables cannot be used.
    #[serde(default)]
    pub(crate) trouble: Option<String>,
}

/// A function as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FunctionView {
    pub(crate) name: String,
    /// The version that gets most of its traffic.
    pub(crate) version: u64,
    /// `running`, `running, 3 instances`, `idle`, `starting` or `failed: …`; other versions with traffic are named.
    pub(crate) state: String,
    pub(crate) healthy: bool,
}

/// A queue as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct QueueView {
    pub(crate) name: String,
    /// Messages that are not done, those being delivered counted.
    pub(crate) waiting: u64,
    /// Messages put aside.
    pub(crate) dead: u64,
}

/// A bucket as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BucketView {
    pub(crate) name: String,
    /// Where its objects are.
    pub(crate) directory: std::path::PathBuf,
    /// Whether there is an object.
    pub(crate) holds: bool,
}

/// A table as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TableView {
    pub(crate) name: String,
    pub(crate) rows: u64,
}

/// The answer to an invoke of an event function.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventAnswer {
    pub(crate) request_id: String,
    /// What went wrong, if something did.
    pub(crate) error: Option<String>,
    /// What a raw function returned.
    pub(crate) body: Option<serde_json::Value>,
}

/// The key of an app: unambiguous because neither part may hold a dot.
pub(crate) fn app_key(stage: &Stage) -> Result<String> {
    for (what, name) in [("project", &stage.project), ("stage", &stage.stage)] {
        if !is_name(name) {
            let message = format!(
                "the {what} name {name:?} must be 1 to 63 letters, digits, `-` or `_`, a letter or digit first"
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
    }
    Ok(format!("{}.{}", stage.project, stage.stage))
}

/// Whether a key came from [`app_key`]; it becomes part of a path.
pub(crate) fn is_app_key(key: &str) -> bool {
    key.split_once('.').is_some_and(|(project, stage)| is_name(project) && is_name(stage))
}

/// Whether it can be the name of a project, stage, function or queue.
pub(crate) fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether it is a SHA-256 in hex; it becomes part of a path.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_collide_or_leave_their_directory() {
        let key = |project: &str, stage: &str| {
            app_key(&Stage { project: project.to_owned(), stage: stage.to_owned() }).ok()
        };
        assert_eq!(key("shop", "dev").as_deref(), Some("shop.dev"));
        assert_ne!(key("a-b", "c"), key("a", "b-c"));
        for bad in ["", ".", "..", "a.b", "a/b", "-a", "é", "a b"] {
            assert_eq!(key(bad, "dev"), None, "{bad}");
            assert!(!is_app_key(&format!("{bad}.dev")) && !is_digest(bad), "{bad}");
        }
        assert!(is_digest(&"0a".repeat(32)) && !is_digest(&"0A".repeat(32)));
    }
}
