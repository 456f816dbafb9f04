//! What the rooms share at run time: the async runtime, one call under its deadline, the HTTP server.
//!
//! A crate of its own because rooms may not depend on each other, and core has no I/O.

mod call;
pub mod client;
#[cfg(feature = "host")]
pub mod host;
pub mod parts;
pub mod records;
mod runtime;
mod server;

pub use self::call::{call_event, call_http};
pub use self::client::Client;
pub use self::runtime::{Concurrency, block_on};
pub use self::server::{Listener, Server, socket_address, terminated};
