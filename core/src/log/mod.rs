//! Structured log lines in the dialect of the platform: one JSON object a line.

#[cfg(feature = "tracing")]
pub(crate) mod tracing;

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::instance::{Instance, Platform};
use crate::text::rfc3339;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details for who debugs.
    Debug,
    /// What happened.
    Info,
    /// Not as it should be.
    Warn,
    /// It failed.
    Error,
}

impl Level {
    const fn as_str(self, platform: Platform) -> &'static str {
        match (self, platform) {
            (Self::Debug, _) => "DEBUG",
            (Self::Info, _) => "INFO",
            (Self::Warn, Platform::Gcp) => "WARNING",
            (Self::Warn, _) => "WARN",
            (Self::Error, _) => "ERROR",
        }
    }
}

/// Where log lines go: whole lines, the newline included.
#[derive(Clone)]
pub struct Sink(Arc<WriteLine>);

type WriteLine = dyn Fn(&[u8]) + Send + Sync;

impl Sink {
    /// Standard output, which every platform collects; stderr would count as errors on Azure.
    pub fn stdout() -> Self {
        // A closed stdout must not take the call down: the line is lost, as it would be anyway.
        Self::new(|line| drop(std::io::stdout().lock().write_all(line)))
    }

    /// Any function of a line.
    pub fn new(write: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Writes one line.
    pub fn write(&self, line: &[u8]) {
        (self.0)(line);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// The log of one call.
#[derive(Debug)]
pub struct Logger<'a> {
    cx: &'a Context,
    fields: Map<String, Value>,
}

impl<'a> Logger<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx, fields: Map::new() }
    }

    /// Adds a field to the next line.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.add(name, value.into());
        self
    }

    /// Not generic, as [`Logger::line`]: else each crate that logs has a map's code of its own.
    fn add(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    /// Writes an info line.
    pub fn info(self, message: impl fmt::Display) {
        self.write(Level::Info, message);
    }

    /// Writes a warning.
    pub fn warn(self, message: impl fmt::Display) {
        self.write(Level::Warn, message);
    }

    /// Writes an error line.
    pub fn error(self, message: impl fmt::Display) {
        self.write(Level::Error, message);
    }

    /// Writes a debug line.
    pub fn debug(self, message: impl fmt::Display) {
        self.write(Level::Debug, message);
    }

    fn write(self, level: Level, message: impl fmt::Display) {
        self.line(level, &message.to_string());
    }

    fn line(mut self, level: Level, message: &str) {
        self.add("handler", self.cx.handler().into());
        let call = Call { id: self.cx.id(), trace: self.cx.trace() };
        let instance = self.cx.instance();
        instance.sink.write(&line(instance, level, message, Some(call), self.fields));
    }
}

/// A line that belongs to the instance, not to a call.
pub fn instance_line(instance: &Instance, level: Level, message: &str) {
    instance.sink.write(&line(instance, level, message, None, Map::new()));
}

/// A line about a call whose handler is gone.
pub fn call_line(instance: &Instance, level: Level, message: &str, id: &str) {
    instance.sink.write(&line(instance, level, message, Some(Call { id, trace: None }), Map::new()));
}

struct Call<'a> {
    id: &'a str,
    trace: Option<&'a str>,
}

/// Spellings: Lambda's JSON log format, Cloud Logging's structured payload
/// (<https://cloud.google.com/logging/docs/structured-logging>), and plain `snake_case` elsewhere.
fn line(
    instance: &Instance,
    level: Level,
    message: &str,
    call: Option<Call<'_>>,
    mut fields: Map<String, Value>,
) -> Vec<u8> {
    let now = rfc3339(SystemTime::now());
    let (time, severity, request_id) = match instance.platform {
        Platform::Gcp => ("time", "severity", "request_id"),
        Platform::Aws => ("timestamp", "level", "requestId"),
        _ => ("timestamp", "level", "request_id"),
    };
    fields.insert(time.to_owned(), now.into());
    fields.insert(severity.to_owned(), level.as_str(instance.platform).into());
    fields.insert("message".to_owned(), message.into());
    if let Some(call) = call {
        fields.insert(request_id.to_owned(), call.id.into());
        if let Some(trace) = call.trace {
            add_trace(instance, trace, &mut fields);
        }
    }
    let mut line = Value::Object(fields).to_string().into_bytes();
    line.push(b'\n');
    line
}

fn add_trace(instance: &Instance, trace: &str, fields: &mut Map<String, Value>) {
    // `00-<trace>-<span>-<flags>` in W3C form, `<trace>/<span>;o=1` in Google's older one.
    let id = match trace.strip_prefix("00-") {
        Some(rest) => rest.split('-').next().unwrap_or(rest),
        None => trace.split('/').next().unwrap_or(trace),
    };
    match (&instance.project, instance.platform) {
        (Some(project), Platform::Gcp) => {
            let full = format!("projects/{project}/traces/{id}");
            fields.insert("logging.googleapis.com/trace".to_owned(), full.into());
        }
        _ => {
            fields.insert("trace".to_owned(), trace.into());
        }
    }
}
