//! The local room: functions under the xcloud host on this machine.
//!
//! The host starts one process per function and speaks HTTP/1.1 to it over a unix socket in a directory of its own.
//! Requests pass through as they are; events are `POST`s that carry the process's secret token ([`binding`]).

mod adapter;
pub mod binding;
#[cfg(feature = "host")]
pub mod bridge;
pub mod decode;
pub mod encode;
#[cfg(feature = "host")]
pub mod host;
pub mod sender;
pub mod table;

pub use self::adapter::run;
