//! What a handler can know about the call beside its event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::event::TriggerKind;
use crate::instance::{Instance, Platform};
use crate::log::Logger;

/// One call: id, deadline, attempt, trace, where it runs. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    parts: Parts,
    trigger: TriggerKind,
    handler: &'static str,
    instance: Arc<Instance>,
}

/// What a room knows of a call before a handler is chosen.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// The platform's request id.
    pub id: String,
    /// When the platform gives up.
    pub deadline: Option<Instant>,
    /// Which delivery of the event this is, counted from 1.
    pub attempt: Option<u32>,
    /// W3C `traceparent`, or the platform's own trace header.
    pub trace: Option<String>,
    /// Whether this is the first event of the instance.
    pub cold_start: bool,
    /// The platform's event, untouched.
    pub raw: Option<Bytes>,
}

impl Context {
    pub(crate) fn new(
        parts: Parts,
        trigger: TriggerKind,
        handler: &'static str,
        instance: Arc<Instance>,
    ) -> Self {
        Self(Arc::new(Inner { parts, trigger, handler, instance }))
    }

    /// A context for unit tests of handlers: platform `local`, id `test`, log lines on stdout.
    pub fn for_test() -> Self {
        let parts = Parts { id: "test".to_owned(), ..Parts::default() };
        Self::new(parts, TriggerKind::Http, "test", Arc::new(Instance::new(Platform::Local)))
    }

    /// The platform's id of this call.
    pub fn id(&self) -> &str {
        &self.0.parts.id
    }

    /// When the platform gives up; `None` where it does not say.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.parts.deadline
    }

    /// The time left until the deadline, zero once it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|d| d.saturating_duration_since(Instant::now()))
    }

    /// Which delivery of the event this is, counted from 1; for batches see the messages'.
    pub fn attempt(&self) -> Option<u32> {
        self.0.parts.attempt
    }

    /// The kind of trigger.
    pub fn trigger(&self) -> TriggerKind {
        self.0.trigger
    }

    /// The trace context as the platform sent it (W3C `traceparent` where it gives one).
    pub fn trace(&self) -> Option<&str> {
        self.0.parts.trace.as_deref()
    }

    /// The platform it runs on.
    pub fn platform(&self) -> Platform {
        self.0.instance.platform
    }

    /// The region, where the platform tells.
    pub fn region(&self) -> Option<&str> {
        self.0.instance.region.as_deref()
    }

    /// The handler's name (the name of the fn).
    pub fn handler(&self) -> &'static str {
        self.0.handler
    }

    /// The cloud function's name, where the platform tells.
    pub fn function(&self) -> Option<&str> {
        self.0.instance.function.as_deref()
    }

    /// The deployed version, where the platform tells.
    pub fn version(&self) -> Option<&str> {
        self.0.instance.version.as_deref()
    }

    /// Whether this is the instance's first event.
    pub fn cold_start(&self) -> bool {
        self.0.parts.cold_start
    }

    /// The platform's event, untouched: the way out when the portable types are not enough.
    /// `None` where there is no event beside the HTTP request itself.
    pub fn raw(&self) -> Option<&Bytes> {
        self.0.parts.raw.as_ref()
    }

    /// A log whose lines carry this call's id, in the platform's dialect.
    pub fn log(&self) -> Logger<'_> {
        Logger::new(self)
    }

    pub(crate) fn instance(&self) -> &Arc<Instance> {
        &self.0.instance
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id())
            .field("handler", &self.handler())
            .finish_non_exhaustive()
    }
}
