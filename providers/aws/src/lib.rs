//! The aws room: AWS Lambda's Runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).

mod adapter;
pub mod binding;
pub mod decode;
pub mod encode;
#[cfg(feature = "host")]
pub mod host;

pub use self::adapter::run;
