//! Facts that both halves of this room share.

/// The service's name; set by Cloud Run and Knative.
pub const SERVICE: &str = "K_SERVICE";
/// The revision's name.
pub const REVISION: &str = "K_REVISION";
/// The port to listen on.
pub const PORT: &str = "PORT";
/// Where `PORT` is not set.
pub const DEFAULT_PORT: u16 = 8080;
/// The project, which links log lines to traces. Not set by Cloud Run; by our deployer.
pub const PROJECT: &str = "GOOGLE_CLOUD_PROJECT";
/// The region. Not set by Cloud Run; by our deployer.
pub const REGION: &str = "GOOGLE_CLOUD_REGION";
/// The file in the package that Cloud Run starts (`--command ./bootstrap`).
pub const ENTRY: &str = "bootstrap";
/// `TRACE/SPAN;o=1`.
pub const TRACE_HEADER: &str = "x-cloud-trace-context";
/// The CloudEvents type of a Pub/Sub message through Eventarc.
pub const PUBSUB_TYPE: &str = "google.cloud.pubsub.topic.v1.messagePublished";

/// Whether this environment is Cloud Run's or Knative's.
pub fn detect(get: impl Fn(&str) -> Option<String>) -> bool {
    get(SERVICE).is_some_and(|v| !v.is_empty())
}
