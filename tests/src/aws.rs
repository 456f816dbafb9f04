//! A simulator of AWS's control plane, ours: a state, and an answer to each request that a deployment sends.
//!
//! It is written from AWS's own models of its services (botocore 1.44.8, `data/<service>/*/service-2.json.gz`: operations,
//! paths, required members, errors with their status), and from what their pages say of the order of things where a model
//! is silent. It knows the operations that xcloud's deployments use and no others: an unknown one is answered with 501.
//! Nothing is executed, no message goes anywhere, and nobody's signature is looked at.

mod dynamodb;
mod iam;
mod lambda;
mod logs;
mod s3;
mod scheduler;
mod serve;
mod sns;
mod sqs;
mod state;
mod tags;
mod view;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};

pub use self::serve::serve;
pub use self::state::{ACCOUNT, REGION, Settings, State};
pub use self::wire::{Call, internal, throttled};
use self::wire::{Failure, Outcome};

/// An account in a region.
#[derive(Debug)]
pub struct Aws(Mutex<State>);

impl Aws {
    /// One in which things are so already.
    pub const fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    /// How things are now.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Looks at how things are now.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Time passes: nothing is on its way any more.
    pub fn settle(&self) {
        self.lock().settle();
    }

    /// Does what a request asks for, at once, and answers it.
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let call = match Call::read(request) {
            Ok(call) => call,
            Err(response) => return *response,
        };
        let outcome = self.lock().answer(&call);
        wire::respond(&call, outcome)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answer(&mut self, call: &Call) -> Outcome {
        match call.service.as_str() {
            "sts" => iam::identity(self, call),
            "iam" => iam::answer(self, call),
            "lambda" => lambda::answer(self, call),
            "sqs" => sqs::answer(self, call),
            "s3" => s3::answer(self, call),
            "sns" => sns::answer(self, call),
            "logs" => logs::answer(self, call),
            "scheduler" => scheduler::answer(self, call),
            "dynamodb" => dynamodb::answer(self, call),
            "tagging" => tags::answer(self, call),
            _ => Err(Failure::unknown(call)),
        }
    }
}
