//! The contract between `#[handler]` and the rest: a function, its arguments, and how one call of it goes.

use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Settlement};
use crate::event::{Decoded, Event, Incoming, Payload, TriggerKind};
use crate::outcome::{BatchOutcome, IntoOutcome, Outcome, Output};
use crate::queue::{BoxFuture, Sender};
use crate::spec::ObjectFilter;
use crate::table::Table;

/// What `#[handler]` says about a function.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// The fn's name.
    pub name: &'static str,
    /// What calls it.
    pub trigger: Trigger,
    /// The queues it sends to, in the order of its `Sender` arguments.
    pub sends: &'static [&'static str],
    /// The tables it uses, in the order of its `Table` arguments.
    pub tables: &'static [&'static str],
}

/// What calls a function, with the data that the attribute gives.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Trigger {
    /// A route: `POST /orders/{id}`; no method means any.
    Http {
        /// The method in capitals.
        method: Option<&'static str>,
        /// The path, with `{name}` segments and perhaps a last `{*rest}`.
        path: &'static str,
    },
    /// A queue.
    Queue {
        /// The queue's name in the app.
        queue: &'static str,
        /// The most messages in one call.
        batch: Option<u32>,
    },
    /// Every event that no other function takes.
    Raw,
    /// Objects of a bucket.
    Object {
        /// The bucket's name in the app.
        bucket: &'static str,
        /// What must have happened to them.
        on: ObjectFilter,
    },
    /// Scheduled times.
    Schedule {
        /// A schedule that `xcloud_schedule` reads; the attribute has checked it.
        schedule: &'static str,
        /// The IANA name of its time zone; `None` is UTC.
        timezone: Option<&'static str>,
    },
    /// Changes of a table.
    Change {
        /// The table's name in the app.
        table: &'static str,
    },
    /// Messages of a topic.
    Topic {
        /// The topic's name in the app.
        topic: &'static str,
    },
    /// Every CloudEvent that no other function takes.
    Event,
}

impl Trigger {
    /// The kind of trigger.
    pub const fn kind(&self) -> TriggerKind {
        match self {
            Self::Http { .. } => TriggerKind::Http,
            Self::Queue { .. } => TriggerKind::Queue,
            Self::Raw => TriggerKind::Raw,
            Self::Object { .. } => TriggerKind::Object,
            Self::Schedule { .. } => TriggerKind::Schedule,
            Self::Change { .. } => TriggerKind::Change,
            Self::Topic { .. } => TriggerKind::Topic,
            Self::Event => TriggerKind::Event,
        }
    }

    /// The name in the app of what it watches.
    pub const fn source(&self) -> Option<&'static str> {
        match *self {
            Self::Queue { queue: name, .. }
            | Self::Object { bucket: name, .. }
            | Self::Change { table: name }
            | Self::Topic { topic: name } => Some(name),
            Self::Http { .. } | Self::Raw | Self::Schedule { .. } | Self::Event => None,
        }
    }

    /// Whether it takes this event, once its kind and source are right.
    fn takes(&self, incoming: &Incoming) -> bool {
        match (self, incoming) {
            (Self::Object { on, .. }, Incoming::Record(record)) => match record.payload {
                Payload::Object { action, .. } => on.takes(action),
                _ => true,
            },
            _ => true,
        }
    }
}

/// A handler as the attribute describes it; implemented by the braced struct beside the fn.
pub trait Function<S>: Send + Sync + 'static {
    /// Name, trigger, queues it sends to, tables it uses.
    const DESCRIPTOR: Descriptor;
    /// What a handler of this kind of event answers with. Beside the event's own, so that an event whose body cannot be
    /// read is one error and not a second one about the answer.
    type Answer: Output;
    /// The first argument.
    type Event: Event<Output = Self::Answer>;
    /// The other arguments, in order.
    type Args: FromContext<S> + Send;
    /// What it returns.
    type Return: IntoOutcome<Self::Answer>;

    /// Calls the fn.
    fn invoke(event: Self::Event, args: Self::Args) -> impl Future<Output = Self::Return> + Send;
}

/// A type that can be an argument after the event, in any order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler argument",
    label = "not a handler argument",
    note = "the first argument is the event; the others, in any order, are `State<T>`, `Sender<T>`, `Table<T>` and `Context`"
)]
pub trait FromContext<S>: Sized {
    /// How many of the attribute's `sends` names it takes.
    const SENDS: usize = 0;
    /// How many of the attribute's `tables` names it takes.
    const TABLES: usize = 0;

    /// Makes the argument for one call.
    ///
    /// # Errors
    /// Whatever keeps the handler from being called.
    fn from_context(args: &mut Args<'_, S>) -> Result<Self>;
}

/// What arguments are made from.
#[derive(Debug)]
pub struct Args<'a, S> {
    cx: &'a Context,
    state: &'a Arc<S>,
    sends: std::slice::Iter<'static, &'static str>,
    tables: std::slice::Iter<'static, &'static str>,
}

impl<S> FromContext<S> for Context {
    fn from_context(args: &mut Args<'_, S>) -> Result<Self> {
        Ok(args.cx.clone())
    }
}

impl<S, T: Send + 'static> FromContext<S> for Sender<T> {
    const SENDS: usize = 1;

    fn from_context(args: &mut Args<'_, S>) -> Result<Self> {
        // The attribute checks the count at compile time; this is for hand-written `Function`s.
        let queue = args
            .sends
            .next()
            .ok_or_else(|| Error::new(ErrorKind::Config, "more `Sender` arguments than names in `sends`"))?;
        Ok(Self::open(queue, args.cx))
    }
}

impl<S, T: Send + 'static> FromContext<S> for Table<T> {
    const TABLES: usize = 1;

    fn from_context(args: &mut Args<'_, S>) -> Result<Self> {
        // As for `Sender`.
        let table = args
            .tables
            .next()
            .ok_or_else(|| Error::new(ErrorKind::Config, "more `Table` arguments than names in `tables`"))?;
        Ok(Self::open(table, &args.cx.instance().bindings))
    }
}

/// The app's state, made once per instance by `App::init` and shared by all calls; it dereferences to the state.
#[derive(Debug)]
pub struct State<T>(Arc<T>);

impl<T> State<T> {
    /// A state for unit tests.
    pub fn new(state: T) -> Self {
        Self(Arc::new(state))
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<Arc<T>> for State<T> {
    fn from(state: Arc<T>) -> Self {
        Self(state)
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<S: Send + Sync + 'static> FromContext<S> for State<S> {
    fn from_context(args: &mut Args<'_, S>) -> Result<Self> {
        Ok(Self(Arc::clone(args.state)))
    }
}

macro_rules! tuple_args {
    ($($name:ident)*) => {
        impl<S, $($name: FromContext<S>),*> FromContext<S> for ($($name,)*) {
            const SENDS: usize = 0 $(+ $name::SENDS)*;
            const TABLES: usize = 0 $(+ $name::TABLES)*;

            #[allow(unused_variables, reason = "the empty tuple uses none")]
            fn from_context(args: &mut Args<'_, S>) -> Result<Self> {
                Ok(($($name::from_context(args)?,)*))
            }
        }
    };
}
tuple_args!();
tuple_args!(A);
tuple_args!(A B);
tuple_args!(A B C);
tuple_args!(A B C D);
tuple_args!(A B C D E);
tuple_args!(A B C D E F);
tuple_args!(A B C D E F G);
tuple_args!(A B C D E F G H);

/// A function with its types erased, as an app holds it.
pub(crate) trait DynFunction<S>: Send + Sync {
    fn descriptor(&self) -> &'static Descriptor;
    fn call(&self, incoming: Incoming, cx: Context, state: Arc<S>) -> BoxFuture<'static, Outcome>;
}

pub(crate) struct Entry<F>(pub(crate) std::marker::PhantomData<fn() -> F>);

impl<S: Send + Sync + 'static, F: Function<S>> DynFunction<S> for Entry<F> {
    fn descriptor(&self) -> &'static Descriptor {
        const { &F::DESCRIPTOR }
    }

    fn call(&self, incoming: Incoming, cx: Context, state: Arc<S>) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let call = async { Ok(attempt::<S, F>(incoming, &cx, &state).await) };
            #[cfg(feature = "tracing")]
            let call = crate::log::tracing::within(&cx, call);
            let outcome = catch(call).await.unwrap_or_else(Outcome::Failed);
            report(&cx, &outcome);
            match outcome {
                Outcome::Failed(error) => <F::Event as Event>::Output::fail(error),
                other => other,
            }
        })
    }
}

async fn attempt<S, F: Function<S>>(incoming: Incoming, cx: &Context, state: &Arc<S>) -> Outcome {
    // A bucket's notifications may be wider than what one handler asked for.
    if !F::DESCRIPTOR.trigger.takes(&incoming) {
        return Outcome::Done(bytes::Bytes::from_static(b"null"));
    }
    let ids = match &incoming {
        Incoming::Queue(batch) => batch.messages.iter().map(|m| m.id.clone()).collect(),
        _ => Vec::new(),
    };
    let Descriptor { sends, tables, .. } = F::DESCRIPTOR;
    let mut args = Args { cx, state, sends: sends.iter(), tables: tables.iter() };
    let (decoded, args) = match F::Event::from_incoming(incoming)
        .and_then(|decoded| Ok((decoded, F::Args::from_context(&mut args)?)))
    {
        Ok(both) => both,
        Err(error) => return Outcome::Failed(error),
    };
    let Decoded { event, rejected } = decoded;
    let outcome = match event {
        Some(event) => F::invoke(event, args).await.into_outcome(),
        None => Outcome::Batch(BatchOutcome::new()),
    };
    match outcome {
        Outcome::Batch(mut batch) => {
            if let Some((id, _)) = batch.failed().iter().find(|(id, _)| !ids.contains(id)) {
                let message =
                    format!("the handler reported message `{id}` as failed, which is not in the batch");
                return Outcome::Failed(Error::handler(message));
            }
            batch.extend(rejected);
            Outcome::Batch(batch)
        }
        other => other,
    }
}

/// Failures that the caller does not read in full are written to the log, once.
fn report(cx: &Context, outcome: &Outcome) {
    match outcome {
        Outcome::Failed(error) => {
            let status = error.kind().status();
            let log = cx.log().field("error_kind", error.kind().name());
            if cx.trigger() != TriggerKind::Http || status.is_server_error() {
                log.error(error);
            } else {
                log.info(error);
            }
        }
        Outcome::Batch(batch) => {
            for (id, error) in batch.failed() {
                let fate = match error.kind().settlement() {
                    Settlement::Retry => "retry",
                    Settlement::DeadLetter => "dead-letter",
                };
                cx.log().field("message_id", id.as_str()).field("settlement", fate).error(error);
            }
        }
        Outcome::Http(_) | Outcome::Done(_) => {}
    }
}

/// Turns a panic inside the future into an error, so that one bad event does not end the instance.
pub(crate) async fn catch<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        // The future is dropped after a panic and never polled again, so broken invariants inside it are not seen.
        match std::panic::catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Err(Error::new(ErrorKind::Panic, panic_message(&*panic)))),
        }
    })
    .await
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("no message"))
}
