//! The heavy half of the aws room. So far packages only: deployment follows.

pub mod package;
