//! Exit codes, as scripts rely on them.

use xcloud_core::{Error, ErrorKind};

/// It failed.
pub(crate) const FAILED: u8 = 1;
/// A wrong command line or configuration.
pub(crate) const USAGE: u8 = 2;
/// `plan --exit-code` found changes.
pub(crate) const CHANGES: u8 = 3;
/// Credentials are missing, or may not do it.
pub(crate) const CREDENTIALS: u8 = 4;
/// Some providers came to a good end, others not.
pub(crate) const PARTIAL: u8 = 5;
/// A signal ended it before it was done.
pub(crate) const INTERRUPTED: u8 = 130;

/// `check` found something that will not work.
pub(crate) const PORTABILITY: u8 = 6;
/// A `[budget]` is exceeded.
pub(crate) const BUDGET: u8 = 7;

/// The code for an error.
pub(crate) fn code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Unsupported if error.fact("code").is_some() => PORTABILITY,
        ErrorKind::Config => USAGE,
        ErrorKind::Unauthorized | ErrorKind::Forbidden => CREDENTIALS,
        ErrorKind::Cancelled => INTERRUPTED,
        _ => FAILED,
    }
}
