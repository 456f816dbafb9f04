//! `Tick`: a scheduled time came.

use std::time::{Duration, SystemTime};

/// One firing of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The schedule's name, where the platform tells.
    pub name: Option<String>,
    /// The time it was due.
    pub scheduled: SystemTime,
}

impl Tick {
    /// How long after the due time this is; zero if the clock says it is not due yet.
    pub fn lateness(&self) -> Duration {
        SystemTime::now().duration_since(self.scheduled).unwrap_or_default()
    }
}
