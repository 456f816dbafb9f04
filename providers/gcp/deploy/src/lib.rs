//! Packages and deployment for Google Cloud Run, and plain HTTP with CloudEvents.
