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
/// The CloudEvents type of an object that was written.
pub const STORAGE_FINALIZED: &str = "google.cloud.storage.object.v1.finalized";
/// The CloudEvents type of an object that was removed.
pub const STORAGE_DELETED: &str = "google.cloud.storage.object.v1.deleted";
/// What a bucket's own notifications call an event, and its CloudEvents type.
pub const STORAGE_TYPES: [(&str, &str); 4] = [
    ("OBJECT_FINALIZE", STORAGE_FINALIZED),
    ("OBJECT_DELETE", STORAGE_DELETED),
    ("OBJECT_ARCHIVE", "google.cloud.storage.object.v1.archived"),
    ("OBJECT_METADATA_UPDATE", "google.cloud.storage.object.v1.metadataUpdated"),
];
/// What the CloudEvents types of Firestore's documents begin with.
pub const FIRESTORE_TYPE: &str = "google.cloud.firestore.document.v1.";
/// The CloudEvents type of a schedule's tick.
pub const SCHEDULER_TYPE: &str = "google.cloud.scheduler.job.v1.executed";
/// Says that Cloud Scheduler made the request.
pub const SCHEDULER_HEADER: &str = "x-cloudscheduler";
/// The job's name.
pub const SCHEDULER_JOB_HEADER: &str = "x-cloudscheduler-jobname";
/// When it was due, RFC 3339.
pub const SCHEDULER_TIME_HEADER: &str = "x-cloudscheduler-scheduletime";

/// Whether this environment is Cloud Run's or Knative's.
pub fn detect(get: impl Fn(&str) -> Option<String>) -> bool {
    get(SERVICE).is_some_and(|v| !v.is_empty())
}
