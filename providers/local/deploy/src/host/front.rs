//! The HTTP front of an app: a loopback port in front of the `http` function's process.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use xcloud_core::outcome::error_response;
use xcloud_core::{Error, ErrorKind, Response, Result, env};
use xcloud_local::binding::ID_HEADER;
use xcloud_local::host::{Call, guarded};
use xcloud_serve::parts::request_id;
use xcloud_serve::{Listener, Server};

use super::asked_to;
use super::metrics::Outcome;
use super::runner::Runner;

/// The first port that an app gets.
const FIRST_PORT: u16 = xcloud_local::binding::FIRST_PORT;
/// How many ports an app may get.
const PORTS: u16 = 1_000;
/// Another first port, of which two hosts on one machine are in need: an app's port is free while its host is away.
const FIRST_PORT_VARIABLE: &str = "XCLOUD_FIRST_PORT";
/// What a client waits for a process that is starting.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many instances a request may be sent to, when one after the other is gone before it takes it.
const TRIES: u32 = 3;
/// Above a call's timeout, what the host waits for its answer.
const GRACE: Duration = Duration::from_secs(1);

/// What a front serves.
#[derive(Debug)]
pub(crate) struct Serving {
    /// The `http` function.
    pub(crate) http: Option<Arc<Runner>>,
    /// The limit of request bodies that it is configured with.
    pub(crate) max_body: Option<usize>,
}

/// What is served now, and what is as soon as that changes.
pub(crate) type Current = watch::Receiver<Option<Arc<Serving>>>;

/// A front that is listening.
#[derive(Debug)]
pub(crate) struct Front {
    listener: std::net::TcpListener,
    max_body: usize,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Takes the app's port, or when it has none the first free one that no other app has.
///
/// # Errors
/// [`ErrorKind::Config`] when the port is in use by another program.
pub(crate) async fn bind(port: Option<u16>, taken: &[u16]) -> Result<(u16, TcpListener)> {
    if let Some(port) = port {
        return match listen(port).await {
            Ok(listener) => Ok((port, listener)),
            Err(e) => {
                let message = format!(
                    "cannot listen on this app's port {port}: {e}; end the program that uses it \
                     (`ss -ltnp 'sport = :{port}'` names it), or destroy the app to give it another port"
                );
                Err(Error::new(ErrorKind::Config, message).caused_by(e))
            }
        };
    }
    let ports = ports(|name| std::env::var(name).ok())?;
    for port in ports.clone().filter(|port| !taken.contains(port)) {
        if let Ok(listener) = listen(port).await {
            return Ok((port, listener));
        }
    }
    let message = format!("no port from {} to {} is free on 127.0.0.1", ports.start(), ports.end());
    Err(Error::new(ErrorKind::Config, message))
}

/// The ports that apps get.
pub(crate) fn ports(get: impl Fn(&str) -> Option<String>) -> Result<RangeInclusive<u16>> {
    let first = match get(FIRST_PORT_VARIABLE).filter(|text| !text.is_empty()) {
        None => FIRST_PORT,
        Some(text) => text.parse().ok().filter(|port| *port >= 1024).ok_or_else(|| {
            let message = format!("{FIRST_PORT_VARIABLE} is {text:?}, not a port from 1024 to 65535");
            Error::new(ErrorKind::Config, message)
        })?,
    };
    Ok(first..=first.saturating_add(PORTS - 1))
}

async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

impl Front {
    /// Serves the app's current version on the listener.
    ///
    /// # Errors
    /// When the system does not let the listener be shared.
    pub(crate) fn start(listener: TcpListener, current: Current) -> Result<Self> {
        Self::serve(listener.into_std()?, current)
    }

    fn serve(listener: std::net::TcpListener, current: Current) -> Result<Self> {
        let own = TcpListener::from_std(listener.try_clone()?)?;
        let stop = watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        let max_body = max_body(&current);
        let task = tokio::spawn(async move {
            let handler = move |request| answer(current.clone(), request);
            let stop = async move { asked_to(&mut stopped).await };
            // The listener fails for good only when the system takes its descriptor away.
            drop(Server::new().max_body(max_body).run(Listener::Tcp(own), handler, stop).await);
        });
        Ok(Self { listener, max_body, stop, task })
    }

    /// Takes over what the current version says about the front itself: the limit of bodies. The port never closes.
    ///
    /// # Errors
    /// As [`Front::start`].
    pub(crate) fn refresh(&mut self, current: &Current) -> Result<()> {
        if self.max_body != max_body(current) {
            let successor = Self::serve(self.listener.try_clone()?, current.clone())?;
            let old = std::mem::replace(self, successor);
            // Connections that it holds end within its drain time.
            tokio::spawn(old.stop());
        }
        Ok(())
    }

    /// Stops listening at once and returns when requests on their way have ended, or ten seconds have passed.
    pub(crate) async fn stop(self) {
        drop(self.listener);
        self.stop.send_replace(true);
        drop(self.task.await);
    }
}

fn max_body(current: &Current) -> usize {
    current.borrow().as_ref().and_then(|serving| serving.max_body).unwrap_or(env::MAX_BODY_DEFAULT)
}

async fn answer(current: Current, request: Request<Bytes>) -> Response {
    let id = request_id();
    let mut response = match call(current, request, &id).await {
        Ok(response) => response,
        Err(refusal) => refusal,
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(ID_HEADER, id);
    }
    response
}

async fn call(current: Current, request: Request<Bytes>, id: &str) -> Result<Response, Response> {
    let runner = current.borrow().as_ref().and_then(|serving| serving.http.clone());
    let Some(runner) = runner else {
        return Err(error_response(&Error::not_found("this app has no HTTP function")));
    };
    let mut tries = TRIES;
    loop {
        let mut lease = match runner.lease(PATIENCE.min(runner.timeout())).await {
            Ok(lease) => lease,
            Err(error) => return Err(refused(&error)),
        };
        lease.name(id);
        // The time in line is not the handler's: its deadline counts from here.
        let call = Call { id, remaining: lease.timeout() };
        let answer = tokio::time::timeout(call.remaining + GRACE, lease.wire.http(&request, call)).await;
        tries -= 1;
        match answer {
            Ok(Ok(response)) => {
                lease.end(outcome(response.status()));
                return Ok(guarded(response, lease));
            }
            // The instance was ending when it was chosen: another one takes the request.
            Ok(Err(lost)) if !lost.begun && tries > 0 => lease.broke(),
            Ok(Err(lost)) => {
                lease.broke();
                runner.note(&format!("request {id}: {}", lost.error));
                let why = "the function's process ended or broke off before it answered";
                return Err(status(StatusCode::BAD_GATEWAY, lease.killed().unwrap_or(why)));
            }
            Err(_) => {
                lease.end(Outcome::Timeout);
                lease.report_stuck();
                runner.note(&format!("request {id}: not answered by its deadline"));
                let why = "the function did not answer before its deadline";
                return Err(status(StatusCode::GATEWAY_TIMEOUT, why));
            }
        }
    }
}

/// How an answer of the function counts.
fn outcome(status: StatusCode) -> Outcome {
    match status {
        StatusCode::GATEWAY_TIMEOUT => Outcome::Timeout,
        status if status.is_server_error() => Outcome::Error,
        _ => Outcome::Ok,
    }
}

fn refused(error: &Error) -> Response {
    let mut refusal = status(StatusCode::SERVICE_UNAVAILABLE, error.message());
    refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    refusal
}

fn status(status: StatusCode, message: &str) -> Response {
    let mut response = error_response(&Error::unavailable(message));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_get_ports_from_the_first_on_and_one_that_is_none_is_named() {
        let ports =
            |text: Option<&str>| ports(|name| (name == FIRST_PORT_VARIABLE).then_some(text?.to_owned()));
        assert_eq!(ports(None).unwrap(), 8700..=9699);
        assert_eq!(ports(Some("")).unwrap(), 8700..=9699);
        assert_eq!(ports(Some("20000")).unwrap(), 20_000..=20_999);
        assert_eq!(ports(Some("65535")).unwrap(), 65_535..=65_535);
        for wrong in ["abc", "80", "65536", "-1"] {
            let error = ports(Some(wrong)).unwrap_err();
            assert!(error.message().contains(wrong), "{error}");
        }
    }
}
