//! The gcp room: Google Cloud Run and Cloud Run functions
//! (<https://cloud.google.com/run/docs/container-contract>), and, because its wire is plain HTTP with CloudEvents, any
//! other container (`run_http`).

mod adapter;
pub mod binding;
pub mod decode;
pub mod encode;
#[cfg(feature = "host")]
pub mod host;

pub use self::adapter::{run, run_http};
