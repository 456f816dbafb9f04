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
    open: Arc<Mutex<HashMap<&'static str, Arc<T>>>>,
}

impl<T: ?Sized> Clone for Names<T> {
    fn clone(&self) -> Self {
        Self { schemes: Arc::clone(&self.schemes), open: Arc::clone(&self.open) }
    }
}

impl<T: ?Sized> Default for Names<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T: ?Sized> Names<T> {
    fn new(schemes: Vec<(&'static str, Open<T>)>) -> Self {
        Self { schemes: schemes.into(), open: Arc::default() }
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
        let (scheme, rest) = value.split_once(':').unwrap_or((&value, ""));
        let Some((_, connect)) = self.schemes.iter().find(|(known, _)| *known == scheme) else {
            let known = self.known();
            return Err(unsupported(format!(
                "{what} `{name}` is bound to scheme `{scheme}`, which this build does not have (it has: {known})"
            )));
        };
        let transport = connect(rest).map_err(|e| e.with("variable", &variable))?;
        open.insert(name, Arc::clone(&transport));
        Ok(transport)
    }
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
