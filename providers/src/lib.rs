#![doc = include_str!("../../README.md")]

mod detect;
mod run;

pub use xcloud_core::{
    App, BatchOutcome, Body, BoxError, Change, CloudEvent, Context, Error, ErrorKind, FromContext, Functions,
    Http, IntoOutcome, IntoResponse, Json, Message, Object, Outcome, Platform, Queue, Raw, Response, Result,
    Sender, State, Table, Tick, Topic, event, spec, table,
};
pub use xcloud_macros::handler;

pub use self::run::run;

pub use bytes::Bytes;
pub use http;

/// The list of an app's handlers: `xcloud::functions![create_order, fulfil]`; paths work too.
#[macro_export]
macro_rules! functions {
    ($($function:path),* $(,)?) => {
        $crate::Functions::new()$(.with::<$function>())*
    };
}

/// What the expansion of `#[handler]` names. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use xcloud_core::event::Event;
    pub use xcloud_core::handler::{Descriptor, Function, Trigger};
    pub use xcloud_core::spec::ObjectFilter;
}
