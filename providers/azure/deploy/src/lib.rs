//! The heavy half of the azure room. So far packages only: deployment follows.

pub mod package;
