//! The heavy half of the aws room: packages, checks, and deployment with AWS's own SDK.

mod apply;
pub mod check;
mod client;
pub mod config;
mod error;
mod label;
mod names;
mod observe;
mod operate;
pub mod package;
mod permission;
mod plan;
mod policy;
mod provider;
mod role;
mod wanted;

pub use aws_config;

pub use self::config::Config;
pub use self::provider::Aws;
