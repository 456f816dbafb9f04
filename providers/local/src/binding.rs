//! Facts that both halves of this room share: environment, headers, the bodies of events.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use xcloud_core::error::Settlement;

/// Where the process listens: the path of a unix socket that it makes, in a directory that only its owner can enter.
pub const SOCKET: &str = "XCLOUD_LOCAL_SOCKET";
/// The secret that events carry in [`TOKEN_HEADER`]. Without it the process takes requests only.
pub const TOKEN: &str = "XCLOUD_LOCAL_TOKEN";
/// `stdin`: standard input is a pipe whose other end the host holds; when it closes, the host is gone and the process
/// ends too.
pub const LIFELINE: &str = "XCLOUD_LOCAL_LIFELINE";
/// The scheme of [`crate::sender::open_queue`] in `XCLOUD_QUEUE_<NAME>=local:<app>/<queue>@<socket>`.
pub const SCHEME: &str = "local";
/// The file in the package that the host starts.
pub const ENTRY: &str = "bootstrap";

/// Headers that begin so are the host's: it takes them off what clients send, and the process off what handlers see.
pub const HEADER_PREFIX: &str = "x-xcloud-";
/// The call's id; on answers of the host's front too.
pub const ID_HEADER: &str = "x-xcloud-request-id";
/// Milliseconds until the host gives up.
pub const REMAINING_HEADER: &str = "x-xcloud-remaining-ms";
/// What makes a `POST` an event: the value of [`TOKEN`].
pub const TOKEN_HEADER: &str = "x-xcloud-token";
/// The kind of event: `queue`, `raw`, or `record` for one in the neutral form (a structured CloudEvent).
pub const EVENT_HEADER: &str = "x-xcloud-event";
/// The cloud name of the function that the event is for.
pub const FUNCTION_HEADER: &str = "x-xcloud-function";

/// The port of the first app, if it is free; the next app gets the next.
pub const FIRST_PORT: u16 = 8700;
/// The most messages in one call, where the function does not say.
pub const DEFAULT_BATCH: u32 = 10;
/// How often a message is delivered before it is put aside, where the configuration does not say.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 5;
/// The longest call in seconds, where the configuration does not say.
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 30;
/// The largest message in bytes: 256 KiB, the smallest limit of the clouds' queues (SQS before 2025).
pub const MAX_MESSAGE: usize = 256 * 1024;

/// Whether this environment is the local host's.
pub fn detect(get: impl Fn(&str) -> Option<String>) -> bool {
    get(SOCKET).is_some_and(|v| !v.is_empty())
}

/// The body of a queue event.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireBatch<'a> {
    /// The messages in the order of the queue.
    #[serde(borrow)]
    pub messages: Vec<WireMessage<'a>>,
}

/// One message of a queue event.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireMessage<'a> {
    /// The message's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Which delivery this is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When it was sent, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<u64>,
    /// Names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// The message in base64.
    #[serde(borrow)]
    pub body: Cow<'a, str>,
}

/// The answer (200) to a queue event: the messages that are not done.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFailures {
    /// Failed messages; all others are done.
    pub failed: Vec<WireFailure>,
}

/// One message that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFailure {
    /// The message's id.
    pub id: String,
    /// What is to become of it.
    pub settlement: WireSettlement,
    /// Why it failed.
    pub error: String,
}

/// The answer (any status but 200) to an event that failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireError {
    /// Why it failed.
    pub error: String,
    /// What is to become of it.
    #[serde(default)]
    pub settlement: WireSettlement,
}

/// [`Settlement`] as written on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireSettlement {
    /// Deliver it again later.
    #[default]
    Retry,
    /// Put it aside.
    DeadLetter,
}

impl From<Settlement> for WireSettlement {
    fn from(settlement: Settlement) -> Self {
        match settlement {
            Settlement::Retry => Self::Retry,
            Settlement::DeadLetter => Self::DeadLetter,
        }
    }
}
