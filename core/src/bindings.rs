//! What the names of queues and tables stand for: `XCLOUD_QUEUE_<NAME>` or `XCLOUD_TABLE_<NAME>`, `<scheme>:…`,
//! whatever the room.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::env;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::{OpenQueue, QueueTransport};
use crate::table::{OpenTable, TableTransport};

/// What the names of queues and tables stand for.
#[derive(Clone, Default)]
pub struct Bindings {
    queues: Names<dyn QueueTransport>,
    tables: Names<dyn TableTransport>,
}

impl Bindings {
    /// The schemes that this program was built with: for queues, and for tables.
    pub fn new(queues: Vec<(&'static str, OpenQueue)>, tables: Vec<(&'static str, OpenTable)>) -> Self {
        Self { queues: Names::new(queues), tables: Names::new(tables) }
    }

    /// Queue schemes that this program could have been built with, and what to turn on for each.
    #[must_use]
    pub fn without_queues(mut self, absent: &'static [(&'static str, &'static str)]) -> Self {
        self.queues.absent = absent;
        self
    }

    pub(crate) fn queue(&self, name: &'static str) -> Result<Arc<dyn QueueTransport>> {
        self.queues.open("queue", name, env::queue_var)
    }

    pub(crate) fn table(&self, name: &'static str) -> Result<Arc<dyn TableTransport>> {
        self.tables.open("table", name, env::table_var)
    }
}

impl fmt::Debug for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bindings(queues: {:?}, tables: {:?})", self.queues.known(), self.tables.known())
    }
}

type Open<T> = fn(&str) -> Result<Arc<T>>;

struct Names<T: ?Sized> {
    schemes: Arc<[(&'static str, Open<T>)]>,
    /// What is not built in, and what to do about it.
    absent: &'static [(&'static str, &'static str)],
    open: Arc<Mutex<HashMap<&'static str, Arc<T>>>>,
}

impl<T: ?Sized> Clone for Names<T> {
    fn clone(&self) -> Self {
        Self { schemes: Arc::clone(&self.schemes), absent: self.absent, open: Arc::clone(&self.open) }
    }
}

impl<T: ?Sized> Default for Names<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T: ?Sized> Names<T> {
    fn new(schemes: Vec<(&'static str, Open<T>)>) -> Self {
        Self { schemes: schemes.into(), absent: &[], open: Arc::default() }
    }

    fn known(&self) -> String {
        let known: Vec<_> = self.schemes.iter().map(|(scheme, _)| *scheme).collect();
        known.join(", ")
    }

    /// What a name is bound to, opened once.
    fn open(&self, what: &str, name: &'static str, variable: fn(&str) -> String) -> Result<Arc<T>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = open.get(name) {
            return Ok(Arc::clone(transport));
        }
        let variable = variable(name);
        let Some(value) = env::var(&variable) else {
            return Err(unsupported(format!("{what} `{name}` is not bound: {variable} is not set")));
        };
        let transport = self.connect(what, name, &variable, &value)?;
        open.insert(name, Arc::clone(&transport));
        Ok(transport)
    }

    fn connect(&self, what: &str, name: &str, variable: &str, value: &str) -> Result<Arc<T>> {
        let (scheme, rest) = value.split_once(':').unwrap_or((value, ""));
        let Some((_, connect)) = self.schemes.iter().find(|(known, _)| *known == scheme) else {
            let missing =
                format!("{what} `{name}` is bound to scheme `{scheme}`, which this build does not have");
            let remedy = self.absent.iter().find(|(known, _)| *known == scheme);
            return Err(unsupported(match remedy {
                Some((_, remedy)) => format!("{missing}: {remedy}"),
                None => format!("{missing} (it has: {})", self.known()),
            }));
        };
        connect(rest).map_err(|e| e.with("variable", variable))
    }
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_could_be_there_is_answered_with_how() {
        let open: OpenQueue = |rest| Err(unsupported(format!("opened with {rest}")));
        let absent = &[("there", "turn the feature on")];
        let bindings = Bindings::new(vec![("here", open)], Vec::new()).without_queues(absent);
        let said = |value: &str| {
            let transport = bindings.queues.connect("queue", "jobs", "XCLOUD_QUEUE_JOBS", value);
            transport.err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(said("here:a:b"), "opened with a:b (variable: XCLOUD_QUEUE_JOBS)");
        assert!(said("there:x").ends_with("does not have: turn the feature on"), "{}", said("there:x"));
        assert!(said("nowhere:x").ends_with("does not have (it has: here)"), "{}", said("nowhere:x"));
    }
}
