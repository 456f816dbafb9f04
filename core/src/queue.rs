//! Sending to a queue: `Sender<T>` and the transports behind it.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;

pub use crate::bindings::Bindings;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// A boxed future, for the seams where types are erased.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One way of sending: a cloud's queue service, or the local host.
pub trait QueueTransport: Send + Sync {
    /// Stores the messages in the queue and returns their ids, in order. `Ok` means that all are stored.
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Vec<String>>>;
}

/// Messages on their way to a queue, and what the transport should know of the call that sends them.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// The bodies, JSON, in order.
    pub messages: Vec<Bytes>,
    /// When the platform ends the call: no use in trying longer.
    pub deadline: Option<Instant>,
    /// The call's trace as the platform sent it: W3C `traceparent`, or the platform's own header.
    pub trace: Option<String>,
}

impl From<Vec<Bytes>> for Outgoing {
    fn from(messages: Vec<Bytes>) -> Self {
        Self { messages, ..Self::default() }
    }
}

/// Opens the part after `<scheme>:` of a binding. Must not do I/O: connections are made on the first send.
pub type OpenQueue = fn(&str) -> Result<Arc<dyn QueueTransport>>;

/// Sends messages of type `T`, as JSON, to the queue that the attribute names: `#[handler(…, sends = "order-placed")]`.
///
/// Several senders take the names in order: `sends = ["a", "b"]` gives `a` to the first `Sender` argument.
/// Opening never fails; sending to a queue that is not bound is [`ErrorKind::Unsupported`] (HTTP 503).
pub struct Sender<T> {
    queue: &'static str,
    transport: Result<Arc<dyn QueueTransport>, String>,
    /// The call that it was made for.
    cx: Option<Context>,
    message: PhantomData<fn(T)>,
}

impl<T> Sender<T> {
    pub(crate) fn open(queue: &'static str, cx: &Context) -> Self {
        let transport = cx.instance().bindings.queue(queue).map_err(|e| e.to_string());
        Self { queue, transport, cx: Some(cx.clone()), message: PhantomData }
    }

    /// A sender for unit tests and what it was given to send.
    pub fn for_test() -> (Self, Arc<Mutex<Vec<Bytes>>>) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let transport: Arc<dyn QueueTransport> = Arc::new(Recorder(Arc::clone(&sent)));
        (Self { queue: "test", transport: Ok(transport), cx: None, message: PhantomData }, sent)
    }

    /// The queue's name in the app.
    pub fn queue(&self) -> &'static str {
        self.queue
    }

    /// Sends one message and returns its id once the queue has stored it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the queue is not bound, [`ErrorKind::Unavailable`] when it does not answer.
    pub async fn send(&self, message: &T) -> Result<String>
    where
        T: Serialize + Sync,
    {
        let ids = self.store(vec![encode(message)?]).await?;
        ids.into_iter()
            .next()
            .ok_or_else(|| Error::unavailable(format!("queue `{}` gave no message id", self.queue)))
    }

    /// Sends several messages at once and returns their ids in order.
    ///
    /// # Errors
    /// As [`Sender::send`]; some of the messages may have been stored.
    pub async fn send_all(&self, messages: &[T]) -> Result<Vec<String>>
    where
        T: Serialize + Sync,
    {
        self.store(messages.iter().map(encode).collect::<Result<_>>()?).await
    }

    async fn store(&self, messages: Vec<Bytes>) -> Result<Vec<String>> {
        match &self.transport {
            Ok(transport) => {
                let cx = self.cx.as_ref();
                let deadline = cx.and_then(Context::deadline);
                let trace = cx.and_then(Context::trace).map(str::to_owned);
                let outgoing = Outgoing { messages, deadline, trace };
                transport.send(outgoing).await.map_err(|e| e.with("queue", self.queue))
            }
            Err(why) => Err(Error::new(ErrorKind::Unsupported, why.clone())),
        }
    }
}

fn encode<T: Serialize>(message: &T) -> Result<Bytes> {
    serde_json::to_vec(message)
        .map(Bytes::from)
        .map_err(|e| Error::handler(format!("the message cannot be written as JSON: {e}")))
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({})", self.queue)
    }
}

struct Recorder(Arc<Mutex<Vec<Bytes>>>);

impl QueueTransport for Recorder {
    fn send(&self, Outgoing { messages, .. }: Outgoing) -> BoxFuture<'_, Result<Vec<String>>> {
        let mut sent = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ids = (sent.len()..sent.len() + messages.len()).map(|i| i.to_string()).collect();
        sent.extend(messages);
        Box::pin(std::future::ready(Ok(ids)))
    }
}
