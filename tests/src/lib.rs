//! The test kit: the rooms under test, and what the suites share.

pub mod aws;
pub mod ministack;
pub mod parity;
pub mod rooms;
pub mod runtime_api;
pub mod tools;

/// The root of the repository.
pub fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
