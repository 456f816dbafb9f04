//! The azure room: Azure Functions custom handlers
//! (<https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers>).

mod adapter;
pub mod binding;
pub mod decode;
pub mod encode;
#[cfg(feature = "host")]
pub mod host;

pub use self::adapter::run;
