//! Facts that both halves of this room share: environment, paths, headers, limits.

/// `host:port` of the Runtime API; some emulators give a URL with a base path.
pub const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// How many calls a managed instance takes at once.
pub const MAX_CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
/// The function's name.
pub const FUNCTION: &str = "AWS_LAMBDA_FUNCTION_NAME";
/// The function's published version.
pub const VERSION: &str = "AWS_LAMBDA_FUNCTION_VERSION";
/// The region.
pub const REGION: &str = "AWS_REGION";
/// The file in the package that the platform starts.
pub const ENTRY: &str = "bootstrap";

/// Before every path of the Runtime API.
pub const RUNTIME_PATH: &str = "/2018-06-01/runtime";
/// Before every path of the Extensions API.
pub const EXTENSION_PATH: &str = "/2020-01-01/extension";
/// The name of the internal extension that makes Lambda send SIGTERM.
pub const EXTENSION_NAME: &str = "xcloud-shutdown";

/// The call's id.
pub const ID_HEADER: &str = "lambda-runtime-aws-request-id";
/// The deadline in milliseconds since 1970.
pub const DEADLINE_HEADER: &str = "lambda-runtime-deadline-ms";
/// What is to be sent back as it came (since 2026): managed instances refuse an answer to another invocation.
pub const INVOCATION_HEADER: &str = "lambda-runtime-invocation-id";
/// The kind of an error: `Function.<Name>` or `Runtime.<Name>`, anything else is reported as unknown.
pub const ERROR_TYPE_HEADER: &str = "lambda-runtime-function-error-type";
/// `streaming`: no other value is taken.
pub const MODE_HEADER: &str = "lambda-runtime-function-response-mode";
/// The media type of a streamed HTTP answer: prelude, eight NULs, body.
pub const STREAM_TYPE: &str = "application/vnd.awslambda.http-integration-response";

/// The call's X-Ray trace: `Root=…;Parent=…;Sampled=…`.
pub const TRACE_HEADER: &str = "lambda-runtime-trace-id";

/// The largest buffered answer: 6 MiB and 100 bytes.
pub const MAX_ANSWER: usize = 6 * 1024 * 1024 + 100;
/// The largest answer that a load balancer passes on; a larger one is its own 502
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>).
pub const MAX_ALB_ANSWER: usize = 1024 * 1024;

/// Whether this environment is Lambda's.
pub fn detect(get: impl Fn(&str) -> Option<String>) -> bool {
    get(RUNTIME_API).is_some_and(|v| !v.is_empty())
}
