//! The heavy half of the gcp room. So far packages only: deployment follows.

pub mod package;
