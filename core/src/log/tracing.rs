//! Events of the `tracing` crate as log lines: the same JSON as [`Logger`](super::Logger) writes, with the request id
//! of the call in which they happen. Behind feature `tracing`.
//!
//! `XCLOUD_LOG` is the least level that is written: `error`, `warn`, `info` (the default), `debug` or `trace`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};

use serde_json::{Map, Value};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, LevelFilter, Metadata, Subscriber, dispatcher};

use super::{Call, Level, line};
use crate::context::Context;
use crate::env;
use crate::instance::Instance;

thread_local! {
    /// The call that is being polled on this thread.
    static CALL: RefCell<Option<Context>> = const { RefCell::new(None) };
    /// The spans that are entered on this thread, the innermost last.
    static ENTERED: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

/// Makes this instance's lines of every `tracing` event, unless the app has set a subscriber of its own.
pub(crate) fn install(instance: &Arc<Instance>) {
    let subscriber = Lines::new(Arc::clone(instance), env::var(env::LOG).as_deref());
    // Refused when there is one: then that one is what the app wants.
    drop(dispatcher::set_global_default(Dispatch::new(subscriber)));
}

/// A future whose events are of this call.
pub(crate) fn within<F: Future>(cx: &Context, call: F) -> impl Future<Output = F::Output> + use<F> {
    Within { cx: cx.clone(), call: Box::pin(call) }
}

struct Within<F> {
    cx: Context,
    call: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let _guard = Restore(CALL.replace(Some(self.cx.clone())));
        self.call.as_mut().poll(task)
    }
}

/// Puts back what was there, also after a panic.
struct Restore(Option<Context>);

impl Drop for Restore {
    fn drop(&mut self) {
        CALL.set(self.0.take());
    }
}

/// The subscriber.
struct Lines {
    instance: Arc<Instance>,
    least: LevelFilter,
    spans: Mutex<HashMap<u64, Span>>,
    next: AtomicU64,
}

struct Span {
    parent: Option<Id>,
    fields: Map<String, Value>,
    holders: usize,
}

impl Lines {
    fn new(instance: Arc<Instance>, least: Option<&str>) -> Self {
        let least = least.and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::INFO);
        Self { instance, least, spans: Mutex::default(), next: AtomicU64::new(1) }
    }

    fn spans(&self) -> MutexGuard<'_, HashMap<u64, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fields of a span and of those around it; an inner one's win.
    fn inherited(&self, span: Option<Id>) -> Map<String, Value> {
        let spans = self.spans();
        let (mut fields, mut next) = (Map::new(), span);
        while let Some(span) = next.and_then(|id| spans.get(&id.into_u64())) {
            for (name, value) in &span.fields {
                fields.entry(name.clone()).or_insert_with(|| value.clone());
            }
            next = span.parent.clone();
        }
        fields
    }
}

fn innermost() -> Option<Id> {
    ENTERED.with_borrow(|entered| entered.last().cloned())
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.least
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.least)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut fields = Fields::default();
        span.record(&mut fields);
        let parent = if span.is_contextual() { innermost() } else { span.parent().cloned() };
        let mut spans = self.spans();
        if let Some(parent) = parent.as_ref().and_then(|p| spans.get_mut(&p.into_u64())) {
            parent.holders += 1;
        }
        spans.insert(id, Span { parent, fields: fields.0, holders: 1 });
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = self.spans().get_mut(&span.into_u64()) {
            span.fields.extend(fields.0);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let parent = if event.is_contextual() { innermost() } else { event.parent().cloned() };
        let mut fields = Fields(self.inherited(parent));
        event.record(&mut fields);
        let metadata = event.metadata();
        fields.0.insert("target".to_owned(), metadata.target().into());
        let message = match fields.0.remove("message") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => metadata.name().to_owned(),
        };
        let level = level(*metadata.level());
        let line = CALL.with_borrow(|cx| {
            let call = cx.as_ref().map(|cx| {
                fields.0.insert("handler".to_owned(), cx.handler().into());
                Call { id: cx.id(), trace: cx.trace() }
            });
            line(&self.instance, level, &message, call, fields.0)
        });
        self.instance.sink.write(&line);
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.clone()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|id| id == span) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            span.holders += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans();
        let mut next = Some(id);
        let mut closed = false;
        // Its parent lives as long as it does.
        while let Some(id) = next.take() {
            let Some(span) = spans.get_mut(&id.into_u64()) else { break };
            span.holders -= 1;
            if span.holders == 0 {
                next = spans.remove(&id.into_u64()).and_then(|span| span.parent);
                closed = true;
            }
        }
        closed
    }
}

const fn level(level: tracing_core::Level) -> Level {
    match level {
        tracing_core::Level::ERROR => Level::Error,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

/// Fields as JSON values.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Platform;
    use crate::log::Sink;

    type Seen = Arc<Mutex<Vec<Value>>>;

    fn lines(platform: Platform, least: Option<&str>) -> (Seen, Dispatch) {
        let seen = Seen::default();
        let mut instance = Instance::new(platform);
        let sink = Arc::clone(&seen);
        instance.sink =
            Sink::new(move |line| sink.lock().unwrap().push(serde_json::from_slice(line).unwrap()));
        (seen, Dispatch::new(Lines::new(instance.shared(), least)))
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut task = TaskContext::from_waker(std::task::Waker::noop());
        match Box::pin(future).as_mut().poll(&mut task) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing in here waits"),
        }
    }

    #[test]
    fn an_event_is_a_line_of_its_call_with_the_fields_of_its_spans() {
        let (seen, dispatch) = lines(Platform::Aws, None);
        dispatcher::with_default(&dispatch, || {
            let cx = Context::for_test();
            now(within(&cx, async {
                let outer = tracing::info_span!("outer", order = "o-1", n = 1);
                let inner = outer.in_scope(|| tracing::info_span!("inner", n = 2));
                inner.in_scope(|| tracing::warn!(ok = true, requestId = "forged", "low on {}", "stock"));
            }));
            tracing::error!("after");
            tracing::debug!("not written");
        });
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2, "{seen:?}");
        let expected: [(&str, Value); 6] = [
            ("level", "WARN".into()),
            ("message", "low on stock".into()),
            ("requestId", "test".into()),
            ("order", "o-1".into()),
            ("n", 2.into()),
            ("ok", true.into()),
        ];
        for (name, value) in expected {
            assert_eq!(seen[0][name], value, "{name} in {}", seen[0]);
        }
        assert_eq!((&seen[1]["message"], seen[1].get("requestId")), (&"after".into(), None));
    }

    #[test]
    fn spans_are_forgotten_when_they_close() {
        let (_, dispatch) = lines(Platform::Local, Some("trace"));
        dispatcher::with_default(&dispatch, || {
            for _ in 0..3 {
                let outer = tracing::info_span!("outer");
                let inner = outer.in_scope(|| tracing::trace_span!("inner"));
                drop(outer);
                inner.in_scope(|| tracing::trace!("x"));
            }
        });
        let lines = dispatch.downcast_ref::<Lines>().unwrap();
        assert!(lines.spans().is_empty());
    }
}
