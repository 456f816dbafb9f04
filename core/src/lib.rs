//! The portable half of xcloud: events, handlers, outcomes, errors, and the Spec of an app.
//!
//! No I/O and no runtime in here. A room (`providers/<cloud>`) reads its platform's wire into an
//! [`event::Incoming`], hands it to [`app::Service`], and writes the [`outcome::Outcome`] back.

pub mod app;
pub mod bindings;
pub mod body;
pub mod cloudevents;
pub mod context;
pub mod cors;
pub mod env;
pub mod error;
pub mod event;
pub mod handler;
pub mod instance;
mod linked;
pub mod log;
pub mod outcome;
pub mod queue;
mod route;
pub mod spec;
pub mod table;
pub mod text;

pub use self::app::{App, Functions, Program, Service, Target};
pub use self::body::Body;
pub use self::context::{Context, Parts};
pub use self::error::{BoxError, Error, ErrorKind, Result};
pub use self::event::{Change, CloudEvent, Event, Http, Message, Object, Queue, Raw, Tick, Topic};
pub use self::handler::{FromContext, Function, State};
pub use self::instance::{Instance, Platform};
pub use self::outcome::{BatchOutcome, IntoOutcome, IntoResponse, Json, Outcome, Response};
pub use self::queue::{BoxFuture, Sender};
pub use self::table::Table;
