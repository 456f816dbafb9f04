//! The local provider: a host on this machine that owns deployed apps, runs their functions as processes, routes HTTP
//! to them and delivers queues from a store on disk.

mod apply;
pub mod check;
mod client;
mod config;
mod daemon;
mod emit;
mod error;
mod host;
mod observe;
mod operate;
pub mod package;
mod plan;
mod provider;
mod queues;
mod versions;

pub use self::config::{Config, Durability};
pub use self::daemon::Running;
pub use self::host::api::HostSettings;
pub use self::host::embedded::{Calls, Embedded, Program, Served};
pub use self::host::follow::Follower;
pub use self::host::host_main;
pub use self::provider::Local;
