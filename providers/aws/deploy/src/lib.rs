//! The heavy half of the aws room. So far packages and checks only: deployment follows.

pub mod check;
pub mod package;
