//! What the functions of this program take, so that a program is linked without what reads the rest.
//!
//! The decoders of records are an eighth of a binary with every room on, and most apps take none. A function's needs are
//! known while `Functions::with` of it is compiled: only those that have one raise its flag. In a program of functions
//! without it nothing raises the flag, link-time optimisation makes it a constant, and what is called under it and
//! nowhere else is left out. That this holds is seen in the binary's budget (`tests/cli/packages.rs`).
//!
//! A flag says what is linked and not what an app takes: a process, a test's, may have several apps.

use std::sync::atomic::{AtomicBool, Ordering};

/// Objects, ticks, changes, messages of topics, other events.
pub(crate) static RECORDS: Flag = Flag::new();
/// Senders to queues.
pub(crate) static SENDERS: Flag = Flag::new();
/// Tables.
pub(crate) static TABLES: Flag = Flag::new();

pub(crate) struct Flag(AtomicBool);

impl Flag {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
