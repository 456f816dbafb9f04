//! The heavy half of the alibaba room. So far packages only: deployment follows.

pub mod package;
