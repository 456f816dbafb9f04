//! The SDK's HTTP client, with the simulator behind it and one disturbance on the way.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Notify;
use tokio::time::Instant;
use xcloud_tests::aws::{Aws, Call, State, internal, throttled};

/// How long a request takes to AWS, and its answer back: 50 ms a call.
const LATENCY: Duration = Duration::from_millis(25);

/// What may happen to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is refused: too many.
    Throttled,
    /// The service fails before it has done anything.
    Failed,
    /// The service fails once it has done it.
    FailedAfter,
    /// The connection breaks before the service has done anything.
    ResetBefore,
    /// The connection breaks once it has.
    ResetAfter,
    /// It is done, and no answer ever comes.
    Timeout,
    /// It is done, and the deployment is no more.
    Killed,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::Throttled,
        Self::Failed,
        Self::FailedAfter,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Timeout,
        Self::Killed,
    ];

    /// Whether the connection breaks, and not the service; none for neither.
    pub(crate) const fn is_reset(self) -> Option<bool> {
        match self {
            Self::ResetBefore | Self::ResetAfter => Some(true),
            Self::Failed | Self::FailedAfter => Some(false),
            _ => None,
        }
    }

    /// Whether it differs from another only in what has been done.
    pub(crate) const fn is_after(self) -> bool {
        matches!(self, Self::FailedAfter | Self::ResetAfter)
    }
}

/// A call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// `lambda:CreateFunction /2015-03-31/functions`.
    pub(crate) name: String,
    /// Whether it changes nothing.
    pub(crate) reads: bool,
    /// The status that it was answered with; none: it got no answer.
    pub(crate) status: Option<u16>,
    /// When it was answered, by the paused clock.
    pub(crate) at: Option<Instant>,
}

impl Made {
    /// Whether it has changed something.
    pub(crate) fn changed(&self) -> bool {
        !self.reads && self.status.is_some_and(|status| status < 300)
    }
}

/// Looks at the account after every call.
type Watch = Box<dyn Fn(&State) -> Result<(), String> + Send>;

#[derive(Default)]
struct Script {
    made: Vec<Made>,
    fault: Option<(usize, Fault)>,
    gate: Option<(usize, Arc<Gate>)>,
    watch: Option<Watch>,
    seen: Vec<String>,
}

/// Where a deployment is held.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// It has come there.
    pub(crate) reached: Notify,
    /// It may go on.
    pub(crate) go: Notify,
}

struct Inner {
    aws: Arc<Aws>,
    script: Mutex<Script>,
    killed: Notify,
}

/// A wire to an account.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Inner>);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub(crate) fn new(aws: Arc<Aws>) -> Self {
        Self(Arc::new(Inner { aws, script: Mutex::default(), killed: Notify::new() }))
    }

    /// Lets a fault happen to the call of this number, from 1, and forgets what was.
    pub(crate) fn disturb(&self, fault: Option<(usize, Fault)>) {
        let mut script = self.script();
        script.made.clear();
        script.fault = fault;
    }

    /// Holds the call of this number, from 1, until it may go on.
    pub(crate) fn hold(&self, k: usize) -> Arc<Gate> {
        let gate = Arc::default();
        self.script().gate = Some((k, Arc::clone(&gate)));
        gate
    }

    /// Looks at the account after each call from now on.
    pub(crate) fn watch(&self, watch: impl Fn(&State) -> Result<(), String> + Send + 'static) {
        self.script().watch = Some(Box::new(watch));
    }

    /// What the watch has found.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.script().seen.clone()
    }

    /// The calls since the last [`Wire::disturb`].
    pub(crate) fn made(&self) -> Vec<Made> {
        self.script().made.clone()
    }

    /// Returns when the deployment is to be killed.
    pub(crate) async fn killed(&self) {
        self.0.killed.notified().await;
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(self, request: Request<Bytes>) -> Result<Response<Bytes>, ConnectorError> {
        let call = Call::read(&request).map_err(|refused| broken(&format!("{refused:?}")))?;
        let (at, fault, gate) = self.begin(&call);
        if let Some(gate) = gate {
            gate.reached.notify_one();
            gate.go.notified().await;
        }
        tokio::time::sleep(LATENCY).await;
        match fault {
            Some(Fault::Throttled) => return Ok(throttled(&call)),
            Some(Fault::Failed) => return Ok(internal(&call)),
            Some(Fault::ResetBefore) => return Err(broken("connection reset by peer")),
            _ => {}
        }
        let answer = self.0.aws.answer(&request);
        self.end(at, &call, answer.status().as_u16());
        tokio::time::sleep(LATENCY).await;
        match fault {
            None => Ok(answer),
            Some(Fault::FailedAfter) => Ok(internal(&call)),
            Some(Fault::ResetAfter) => Err(broken("connection reset by peer")),
            Some(fault) => {
                if fault == Fault::Killed {
                    self.0.killed.notify_one();
                }
                std::future::pending().await
            }
        }
    }

    fn begin(&self, call: &Call) -> (usize, Option<Fault>, Option<Arc<Gate>>) {
        let mut script = self.script();
        let name = format!("{} {}", call.name(), subject(call));
        script.made.push(Made { name, reads: call.reads(), status: None, at: None });
        let at = script.made.len();
        let fault = script.fault.filter(|(k, _)| *k == at).map(|(_, fault)| fault);
        let gate = script.gate.as_ref().filter(|(k, _)| *k == at).map(|(_, gate)| Arc::clone(gate));
        (at, fault, gate)
    }

    fn end(&self, at: usize, call: &Call, status: u16) {
        let mut script = self.script();
        let made = &mut script.made[at - 1];
        (made.status, made.at) = (Some(status), Some(Instant::now()));
        if status == 501 {
            let unknown = format!("the simulator does not know {}", call.name());
            script.seen.push(unknown);
        }
        if let Some(watch) = script.watch.as_ref().filter(|_| !call.reads())
            && let Err(found) = self.0.aws.look(watch)
        {
            script.seen.push(found);
            script.seen.dedup();
        }
    }
}

/// What a call is about, for people.
fn subject(call: &Call) -> String {
    let names = [
        "FunctionName",
        "RoleName",
        "QueueName",
        "QueueUrl",
        "TableName",
        "Name",
        "TopicArn",
        "logGroupName",
    ];
    let named = names.iter().find_map(|name| call.body[*name].as_str());
    named.map_or_else(|| call.path.join("/"), str::to_owned)
}

fn broken(why: &str) -> ConnectorError {
    ConnectorError::io(std::io::Error::new(std::io::ErrorKind::ConnectionReset, why.to_owned()).into())
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()))?;
            let body = request.body().bytes().map(Bytes::copy_from_slice);
            let body = body.ok_or_else(|| broken("the simulator takes no streams"))?;
            let response = Self::call(wire, request.map(|_| body)).await?;
            let response = response.map(|body| SdkBody::from(body.to_vec()));
            HttpResponse::try_from(response).map_err(|e| ConnectorError::other(e.into(), None))
        })
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
