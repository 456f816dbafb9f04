//! The loop: listen where the host says, tell pings, requests and events apart, call, answer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use xcloud_core::event::{Incoming, Record, TriggerKind};
use xcloud_core::log::{Level, call_line, instance_line};
use xcloud_core::outcome::error_response;
use xcloud_core::queue::Bindings;
use xcloud_core::{
    Error, ErrorKind, Instance, Outcome, Parts, Platform, Program, Response, Result, Service, Target, env,
};
use xcloud_serve::parts::{deadline, header, request_id, timeout};
use xcloud_serve::{Concurrency, Listener, Server, block_on, call_event, call_http, terminated};

use crate::binding::{self, Binding};
use crate::{decode, encode};

/// Runs the program as a custom handler until the host ends it.
///
/// # Errors
/// No port, a port in use, or what the app's init returned; the host sees the exit status and starts it again.
pub fn run(program: Program, bindings: Bindings) -> Result<()> {
    let mut instance = Instance::new(Platform::Azure);
    instance.bindings = bindings;
    instance.region = env::var(binding::REGION);
    instance.version = env::var(env::VERSION);
    block_on(Concurrency::Many, serve(program, instance))
}

async fn serve(program: Program, instance: Instance) -> Result<()> {
    let port = env::var(binding::PORT).and_then(|p| p.parse().ok());
    let port = port.ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            format!("{} is not set to a port: the Functions host sets it", binding::PORT),
        )
    })?;
    let stop = terminated()?;
    let service = program.start(instance.shared(), env::var(env::FUNCTION).as_deref()).await?;
    let root = env::var(binding::APP_ROOT).unwrap_or_else(|| ".".to_owned());
    let room = Arc::new(Room::new(service, Path::new(&root)));
    room.warn_of_missing(&root);
    let listener = Listener::tcp("127.0.0.1", port).await?;
    let for_requests = Arc::clone(&room);
    let handler = move |request| {
        let room = Arc::clone(&for_requests);
        async move { room.answer(request).await }
    };
    Server::new().max_body(room.max_envelope()).run(listener, handler, stop).await?;
    room.service.shutdown().await;
    Ok(())
}

struct Room {
    service: Service,
    paths: HashMap<String, Function>,
    timeout: Option<Duration>,
    /// The largest body of a request.
    max_body: usize,
}

/// The function at a path, and what is known of it.
struct Function {
    target: Target,
    kind: TriggerKind,
    binding: Binding,
}

fn function(service: &Service, name: &str) -> Option<Function> {
    let (target, kind) = service.function_target(name)?;
    Some(Function { target, kind, binding: Binding { site: env::var(binding::SITE), ..Binding::new(name) } })
}

/// The exact paths at which the host posts events. With HTTP in the same site only the package's suffixed names count:
/// a name that an outsider can guess is an ordinary route.
fn event_paths(service: &Service, root: &Path) -> HashMap<String, Function> {
    let mut paths = HashMap::new();
    let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
    for folder in folders {
        let Ok(json) = std::fs::read(folder.path().join("function.json")) else { continue };
        let Ok(name) = folder.file_name().into_string() else { continue };
        let Some(mut found) = binding::function_of_folder(&name).and_then(|f| function(service, f)) else {
            continue;
        };
        match found.binding.clone().with_json(&json) {
            Ok(binding) => found.binding = binding,
            Err(error) => instance_line(service.instance(), Level::Warn, &error.to_string()),
        }
        paths.insert(format!("/{name}"), found);
    }
    if !service.serves_http() {
        for event in service.events() {
            if let Some(found) = function(service, &event.name) {
                paths.insert(format!("/{}", event.name), found);
            }
        }
    }
    paths
}

impl Room {
    fn new(service: Service, root: &Path) -> Self {
        let paths = event_paths(&service, root);
        let max_body = env::var(env::MAX_BODY).and_then(|n| n.parse().ok()).unwrap_or(env::MAX_BODY_DEFAULT);
        Self { service, paths, timeout: timeout(), max_body }
    }

    fn warn_of_missing(&self, root: &str) {
        let has_path = |name: &str| self.paths.values().any(|path| path.binding.function == name);
        for event in self.service.events().iter().filter(|event| !has_path(&event.name)) {
            let name = &event.name;
            let message =
                format!("function `{name}` has no `{name}-…/function.json` in {root} and takes no events");
            instance_line(self.service.instance(), Level::Warn, &message);
        }
    }

    /// What a delivery may hold beyond a request: the host would bring one that was refused again and again.
    fn max_envelope(&self) -> usize {
        let large = |kind| matches!(kind, TriggerKind::Change | TriggerKind::Topic);
        match self.service.events().iter().any(|event| large(event.kind)) {
            true => self.max_body.max(binding::MAX_ENVELOPE),
            false => self.max_body,
        }
    }

    async fn answer(&self, mut request: Request<Bytes>) -> Response {
        let service = &self.service;
        let Some(id) = header(request.headers(), binding::INVOCATION_HEADER).map(str::to_owned) else {
            return encode::pong();
        };
        let mut parts = Parts {
            id: if id.is_empty() { request_id() } else { id },
            deadline: deadline(self.timeout),
            attempt: None,
            trace: header(request.headers(), "traceparent").map(str::to_owned),
            cold_start: service.take_cold_start(),
            raw: None,
        };
        // Compared as received, without decoding: the host writes these paths itself.
        let function =
            self.paths.get(request.uri().path()).filter(|_| request.method() == http::Method::POST);
        if let Some(function) = function {
            parts.raw = Some(request.body().clone());
            return encode::outcome(event(service, function, request.body(), parts).await);
        }
        if !service.serves_http() {
            let error = Error::not_found(format!("no event function at {}", request.uri().path()));
            return encode::failure(&error, 1);
        }
        if request.body().len() > self.max_body {
            let message = format!("the body is larger than {} bytes", self.max_body);
            return error_response(&Error::new(ErrorKind::PayloadTooLarge, message));
        }
        let own: Vec<_> = request
            .headers()
            .keys()
            .filter(|k| k.as_str().starts_with(binding::HOST_HEADERS))
            .cloned()
            .collect();
        for name in own {
            request.headers_mut().remove(name);
        }
        call_http(service, request, parts).await
    }
}

async fn event(service: &Service, function: &Function, body: &Bytes, mut parts: Parts) -> Outcome {
    let read = match function.kind {
        TriggerKind::Raw => Ok(vec![Incoming::Raw(body.clone())]),
        TriggerKind::Queue => decode::queue(body, &function.binding).map(|batch| {
            parts.attempt = decode::attempt(&batch);
            vec![Incoming::Queue(batch)]
        }),
        kind if service.takes_records() => decode::records(kind, body, &function.binding)
            .map(|records| records.into_iter().map(|record| Incoming::Record(Box::new(record))).collect()),
        // Each of these paths is a function's of its own kind.
        kind => {
            let message = format!("this instance serves no {} function", kind.as_str());
            Err(Error::new(ErrorKind::BadEvent, message))
        }
    };
    match read {
        Ok(all) => call_all(service, function, all, body, &parts).await,
        Err(error) => refused(service, &parts, error),
    }
}

/// Calls in order up to the first failure: the host settles the delivery as a whole, and records of a stream wait for
/// those before them.
async fn call_all(
    service: &Service,
    function: &Function,
    all: Vec<Incoming>,
    body: &Bytes,
    parts: &Parts,
) -> Outcome {
    let mut last = Outcome::Done(Bytes::from_static(b"null"));
    for incoming in all {
        let mut parts = parts.clone();
        let (target, incoming) = match incoming {
            Incoming::Record(record) => {
                parts.attempt = record.attempt.or(parts.attempt);
                match choose(service, function, record, body) {
                    Ok(chosen) => chosen,
                    Err(error) => return refused(service, &parts, error),
                }
            }
            other => (function.target, other),
        };
        last = call_event(service, target, incoming, parts).await;
        if matches!(last, Outcome::Failed(_)) {
            break;
        }
    }
    last
}

/// The path's own function takes a record of its kind, an `event` function any. What else an event subscription sends
/// goes where such events go.
fn choose(
    service: &Service,
    function: &Function,
    record: Box<Record>,
    body: &Bytes,
) -> Result<(Target, Incoming)> {
    if function.kind == record.kind() || function.kind == TriggerKind::Event {
        return Ok((function.target, Incoming::Record(record)));
    }
    if let Ok(target) = service.record_target(&record) {
        return Ok((target, Incoming::Record(record)));
    }
    service.raw_target().map(|target| (target, Incoming::Raw(body.clone()))).ok_or_else(|| {
        let (name, kind) = (&function.binding.function, function.kind.as_str());
        let message = format!(
            "`{name}` takes {kind} events, not `{}`, and there is no function for events or raw ones: narrow the event \
             subscription to what `{name}` takes",
            record.event.ty
        );
        Error::new(ErrorKind::BadEvent, message)
    })
}

/// Nobody else writes it down: no handler was called.
fn refused(service: &Service, parts: &Parts, error: Error) -> Outcome {
    call_line(service.instance(), Level::Error, &error.to_string(), &parts.id);
    Outcome::Failed(error)
}

#[cfg(test)]
mod tests;
