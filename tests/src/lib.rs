//! The test kit: the rooms under test, and what the suites share.

pub mod rooms;
pub mod runtime_api;
pub mod tools;
