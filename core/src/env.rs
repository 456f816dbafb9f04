//! Every environment variable of ours that a function reads; the platforms' own are in each room's `binding.rs`.

/// Forces the platform: `aws`, `azure`, `gcp`, `alibaba`, `local` or `http`. Set by the deployer where detection could err.
pub const PLATFORM: &str = "XCLOUD_PLATFORM";
/// The functions that this instance serves, a comma list of names; unset: all.
pub const FUNCTION: &str = "XCLOUD_FUNCTION";
/// Write the Spec as JSON to this file and exit, before init and detection.
pub const DESCRIBE: &str = "XCLOUD_DESCRIBE";
/// Seconds a call may take, where the platform sends no deadline. Set by the deployer.
pub const TIMEOUT: &str = "XCLOUD_TIMEOUT";
/// `1`: stream HTTP responses on Lambda. Set by the deployer together with `RESPONSE_STREAM`.
pub const HTTP_STREAM: &str = "XCLOUD_HTTP_STREAM";
/// The largest request body in bytes; default [`MAX_BODY_DEFAULT`].
pub const MAX_BODY: &str = "XCLOUD_MAX_BODY";
/// Which browsers' scripts may read HTTP answers: [`crate::cors::Cors`] as it is displayed. Set by the deployer from `cors`.
pub const CORS: &str = "XCLOUD_CORS";
/// What a queue's name is bound to: `XCLOUD_QUEUE_<NAME>=<scheme>:…`, the name in capitals, `-` as `_`.
pub const QUEUE_PREFIX: &str = "XCLOUD_QUEUE_";
/// What a table's name is bound to: `XCLOUD_TABLE_<NAME>=<scheme>:…`, the name as of a queue.
pub const TABLE_PREFIX: &str = "XCLOUD_TABLE_";
/// The app's version as counted by the deployer.
pub const VERSION: &str = "XCLOUD_VERSION";
/// The least level of `tracing` events that is written: `error`, `warn`, `info` (the default), `debug`, `trace`.
pub const LOG: &str = "XCLOUD_LOG";

/// 6 MiB, the smallest request limit of the clouds (Lambda's): what works on one works on all.
pub const MAX_BODY_DEFAULT: usize = 6 * 1024 * 1024;

/// A variable's value when it is set and not empty.
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// The variable that binds a queue: `order-placed` is `XCLOUD_QUEUE_ORDER_PLACED`.
pub fn queue_var(queue: &str) -> String {
    variable(QUEUE_PREFIX, queue)
}

/// The variable that binds a table: `insights` is `XCLOUD_TABLE_INSIGHTS`.
pub fn table_var(table: &str) -> String {
    variable(TABLE_PREFIX, table)
}

fn variable(prefix: &str, name: &str) -> String {
    let capital = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    prefix.chars().chain(name.chars().map(capital)).collect()
}

/// The cloud name of a handler: `_` becomes `-`.
pub fn cloud_name(handler: &str) -> String {
    handler.replace('_', "-")
}
