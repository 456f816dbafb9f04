//! The facts of a running instance that every call shares.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::env;
use crate::error::{Error, ErrorKind};
use crate::log::Sink;
use crate::queue::Bindings;

/// Where a function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// AWS Lambda.
    Aws,
    /// Azure Functions, custom handler.
    Azure,
    /// Google Cloud Run and Cloud Run functions.
    Gcp,
    /// Alibaba Function Compute, custom runtime.
    Alibaba,
    /// The xcloud host on this machine.
    Local,
    /// A plain HTTP server on `$PORT`.
    Http,
}

impl Platform {
    /// Every platform, in the order they are detected.
    pub const ALL: [Self; 6] = [Self::Aws, Self::Azure, Self::Alibaba, Self::Gcp, Self::Local, Self::Http];

    /// The word used in `XCLOUD_PLATFORM`, on the command line and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
            Self::Alibaba => "alibaba",
            Self::Local => "local",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "{}={text:?} is not a platform: one of aws, azure, gcp, alibaba, local, http",
                    env::PLATFORM
                ),
            )
        })
    }
}

/// One instance: platform, names, the log's sink, what queue names are bound to.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Where it runs.
    pub platform: Platform,
    /// The region, where the platform tells.
    pub region: Option<String>,
    /// The cloud function's name, where the platform tells.
    pub function: Option<String>,
    /// The deployed version, where the platform tells.
    pub version: Option<String>,
    /// The cloud project whose log links traces (GCP).
    pub project: Option<String>,
    /// Where log lines go.
    pub sink: Sink,
    /// What the names of queues stand for.
    pub bindings: Bindings,
}

impl Instance {
    /// An instance that knows only its platform and logs to stdout.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            region: None,
            function: None,
            version: None,
            project: None,
            sink: Sink::stdout(),
            bindings: Bindings::default(),
        }
    }

    /// Shares it.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}
