//! The gcp room: Google Cloud Run, and plain HTTP with CloudEvents.
