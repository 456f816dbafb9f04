//! The alibaba room: Alibaba Cloud Function Compute 3.0, custom runtimes
//! (<https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/custom-runtimes>).

mod adapter;
pub mod binding;
pub mod decode;
pub mod encode;
#[cfg(feature = "host")]
pub mod host;

pub use self::adapter::run;
