//! Amazon Web Services: who sends, how a request is signed, and SQS.

pub(crate) mod credentials;
pub mod sigv4;
pub mod sqs;
