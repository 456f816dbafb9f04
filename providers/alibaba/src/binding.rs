//! Facts that both halves of this room share (Alibaba Cloud help, "Principles of custom runtimes", 2026-04).

/// The port to listen on; the first of these that is set.
pub const PORTS: [&str; 2] = ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT"];
/// The port where neither is set (`customRuntimeConfig.port`).
pub const DEFAULT_PORT: u16 = 9000;
/// The function's name.
pub const FUNCTION: &str = "FC_FUNCTION_NAME";
/// The instance's id.
pub const INSTANCE: &str = "FC_INSTANCE_ID";
/// The alias or version that was called.
pub const QUALIFIER: &str = "FC_QUALIFIER";
/// The region.
pub const REGION: &str = "FC_REGION";
/// The file in the package that the platform starts: `/code/bootstrap`.
pub const ENTRY: &str = "bootstrap";

/// Clients may not send headers that begin so, and functions may not answer with them.
pub const HEADER_PREFIX: &str = "x-fc-";
/// What a request is: a client's, an event, or a hook.
pub const CONTROL_HEADER: &str = "x-fc-control-path";
/// [`CONTROL_HEADER`] of a client's request.
pub const HTTP_INVOKE: &str = "/http-invoke";
/// [`CONTROL_HEADER`] and path of an event.
pub const INVOKE: &str = "/invoke";
/// [`CONTROL_HEADER`] and path of the initializer hook.
pub const INITIALIZE: &str = "/initialize";
/// [`CONTROL_HEADER`] and path of the hook before an instance ends.
pub const PRE_STOP: &str = "/pre-stop";
/// The call's id.
pub const ID_HEADER: &str = "x-fc-request-id";
/// The longest call in seconds.
pub const TIMEOUT_HEADER: &str = "x-fc-function-timeout";
/// How often an asynchronous call was tried before.
pub const RETRY_HEADER: &str = "x-fc-retry-count";
/// Whether an event was handled: without it the platform takes every answer for success.
pub const STATUS_HEADER: &str = "x-fc-status";

/// The type of an SMQ (MNS) queue's message.
pub const MNS_TYPE: &str = "mns:Queue:SendMessage";
/// The type of a RocketMQ topic's message.
pub const MQ_TYPE: &str = "mq:Topic:SendMessage";

/// Whether this environment is Function Compute's.
pub fn detect(get: impl Fn(&str) -> Option<String>) -> bool {
    [FUNCTION, INSTANCE].iter().any(|name| get(name).is_some_and(|v| !v.is_empty()))
}
