//! The loop: listen on the host's socket, tell requests from events, call, answer.

use std::future::Future;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use xcloud_core::event::{Incoming, TriggerKind};
use xcloud_core::log::{Level, instance_line};
use xcloud_core::outcome::error_response;
use xcloud_core::queue::Bindings;
use xcloud_core::{
    Error, ErrorKind, Instance, Parts, Platform, Program, Response, Result, Service, Target, env,
};
use xcloud_serve::parts::{deadline, request_id, timeout};
use xcloud_serve::{Concurrency, Listener, Server, block_on, call_event, call_http, terminated};

use crate::{binding, decode, encode};

/// Runs the program under the local host until SIGTERM or until the host is gone.
///
/// # Errors
/// The host's environment is missing, or what the app's init returned.
pub fn run(program: Program, bindings: Bindings) -> Result<()> {
    let socket = env::var(binding::SOCKET).ok_or_else(|| {
        let message = format!("{} is not set: the local platform says where to listen", binding::SOCKET);
        Error::new(ErrorKind::Config, message)
    })?;
    let mut instance = Instance::new(Platform::Local);
    instance.bindings = bindings;
    instance.function = env::var(env::FUNCTION);
    instance.version = env::var(env::VERSION);
    block_on(Concurrency::Many, serve(program, instance, socket))
}

async fn serve(program: Program, instance: Instance, socket: String) -> Result<()> {
    let mut stop = Box::pin(stopped()?);
    // The socket appears once init is done: that is how the host knows that the instance is ready.
    let only = env::var(env::FUNCTION);
    let service = tokio::select! {
        service = program.start(instance.shared(), only.as_deref()) => service?,
        () = &mut stop => return Ok(()),
    };
    let listener = bind(Path::new(&socket))?;
    // Without an event function no request is one, whatever token it carries.
    let token = env::var(binding::TOKEN).filter(|_| !service.events().is_empty()).map(Arc::from);
    let room = Room { service: service.clone(), token, timeout: timeout() };
    let handler = move |request| answer(room.clone(), request);
    Server::new().run(Listener::Unix(listener), handler, stop).await?;
    service.shutdown().await;
    Ok(())
}

/// Listens with the directory's protection and the socket's own: mode 0600.
pub(crate) fn bind(socket: &Path) -> Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |e: std::io::Error| {
        let message = format!("{}: cannot listen on {}: {e}", binding::SOCKET, socket.display());
        Error::new(ErrorKind::Config, message).caused_by(e)
    };
    let listener = UnixListener::bind(socket).map_err(failed)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// SIGTERM, SIGINT, or the end of the host's pipe.
pub(crate) fn stopped() -> Result<impl Future<Output = ()>> {
    let signal = terminated()?;
    let lifeline = match env::var(binding::LIFELINE).as_deref() {
        Some("stdin") => Some(pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?),
        _ => None,
    };
    Ok(async move {
        let Some(mut lifeline) = lifeline else { return signal.await };
        let mut byte = [0];
        let gone = async { while lifeline.read(&mut byte).await.is_ok_and(|n| n > 0) {} };
        tokio::select! { () = signal => {}, () = gone => {} }
    })
}

#[derive(Clone)]
struct Room {
    service: Service,
    token: Option<Arc<str>>,
    timeout: Option<Duration>,
}

async fn answer(room: Room, request: Request<Bytes>) -> Response {
    let Room { service, token, timeout } = room;
    let record = |body: &[u8]| {
        if service.takes_records() { decode::record(body) } else { Err(nobody(&service)) }
    };
    let call = match decode::call_with(request, token.as_deref(), record) {
        Ok(call) => call,
        Err(error) => return refuse(&service, &error),
    };
    let decode::Call { incoming, id, remaining, trace, function } = call;
    let attempt = match &incoming {
        Incoming::Record(record) => record.attempt,
        _ => None,
    };
    let parts = Parts {
        id: id.unwrap_or_else(request_id),
        deadline: deadline(remaining.or(timeout)),
        attempt,
        trace,
        cold_start: service.take_cold_start(),
        raw: None,
    };
    match incoming {
        Incoming::Http(request) if service.serves_http() => call_http(&service, request, parts).await,
        Incoming::Http(_) => error_response(&Error::not_found("this instance serves no HTTP function")),
        event => match target(&service, function.as_deref(), event.kind()) {
            Ok(target) => encode::outcome(call_event(&service, target, event, parts).await),
            Err(error) => refuse(&service, &error),
        },
    }
}

fn refuse(service: &Service, error: &Error) -> Response {
    instance_line(service.instance(), Level::Error, &error.to_string());
    encode::failure(error)
}

fn nobody(service: &Service) -> Error {
    let names: Vec<_> = service.events().iter().map(|e| e.name.as_str()).collect();
    let message = format!("no function here takes this event; this instance serves {}", names.join(", "));
    Error::new(ErrorKind::BadEvent, message)
}

fn target(service: &Service, function: Option<&str>, kind: TriggerKind) -> Result<Target> {
    let target = match (function, kind) {
        // What takes any CloudEvent takes all but messages and bytes.
        (Some(name), _) => service
            .function_target(name)
            .filter(|(_, k)| {
                *k == kind
                    || (*k == TriggerKind::Event && !matches!(kind, TriggerKind::Queue | TriggerKind::Raw))
            })
            .map(|(target, _)| target),
        (None, TriggerKind::Queue) => return service.queue_target(""),
        (None, _) => service.raw_target(),
    };
    target.ok_or_else(|| {
        let names: Vec<_> = service.events().iter().map(|e| e.name.as_str()).collect();
        let message = format!(
            "no {} function `{}` here; this instance serves {}",
            kind.as_str(),
            function.unwrap_or_default(),
            names.join(", ")
        );
        Error::new(ErrorKind::BadEvent, message)
    })
}
