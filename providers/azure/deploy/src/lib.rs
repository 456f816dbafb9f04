//! The heavy half of the azure room. So far packages and checks only: deployment follows.

pub mod check;
pub mod package;
