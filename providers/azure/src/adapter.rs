//! The loop: listen where the host says, tell pings, requests and events apart, call, answer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use xcloud_core::event::{Incoming, TriggerKind};
use xcloud_core::log::{Level, instance_line};
use xcloud_core::queue::Bindings;
use xcloud_core::{
    Error, ErrorKind, Instance, Parts, Platform, Program, Response, Result, Service, Target, env,
};
use xcloud_serve::parts::{deadline, header, request_id, timeout};
use xcloud_serve::{Concurrency, Listener, Server, block_on, call_event, call_http, terminated};

use crate::{binding, decode, encode};

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
    let paths = Arc::new(event_paths(&service, Path::new(&root)));
    for event in
        service.events().iter().filter(|e| !paths.values().any(|t| Some(*t) == target(&service, &e.name)))
    {
        let message = format!(
            "function `{}` has no `{}-…/function.json` in {root} and takes no events",
            event.name, event.name
        );
        instance_line(service.instance(), Level::Warn, &message);
    }
    let listener = Listener::tcp("127.0.0.1", port).await?;
    let (room, timeout) = (service.clone(), timeout());
    let handler = move |request| answer(room.clone(), Arc::clone(&paths), request, timeout);
    Server::new().run(listener, handler, stop).await?;
    service.shutdown().await;
    Ok(())
}

fn target(service: &Service, name: &str) -> Option<Target> {
    service.function_target(name).map(|(target, _)| target)
}

/// The exact paths at which the host posts events. With HTTP in the same site only the package's suffixed names count:
/// a name that an outsider can guess is an ordinary route.
fn event_paths(service: &Service, root: &Path) -> HashMap<String, Target> {
    let mut paths = HashMap::new();
    let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
    for folder in folders.filter(|f| f.path().join("function.json").is_file()) {
        let Ok(name) = folder.file_name().into_string() else { continue };
        let found = binding::function_of_folder(&name).and_then(|function| target(service, function));
        if let Some(found) = found {
            paths.insert(format!("/{name}"), found);
        }
    }
    if !service.serves_http() {
        for event in service.events() {
            if let Some(found) = target(service, &event.name) {
                paths.insert(format!("/{}", event.name), found);
            }
        }
    }
    paths
}

async fn answer(
    service: Service,
    paths: Arc<HashMap<String, Target>>,
    mut request: Request<Bytes>,
    timeout: Option<Duration>,
) -> Response {
    let Some(id) = header(request.headers(), binding::INVOCATION_HEADER).map(str::to_owned) else {
        return encode::pong();
    };
    let mut parts = Parts {
        id: if id.is_empty() { request_id() } else { id },
        deadline: deadline(timeout),
        attempt: None,
        trace: header(request.headers(), "traceparent").map(str::to_owned),
        cold_start: service.take_cold_start(),
        raw: None,
    };
    // Compared as received, without decoding: the host writes these paths itself.
    if let Some(target) = paths.get(request.uri().path()).filter(|_| request.method() == http::Method::POST) {
        parts.raw = Some(request.body().clone());
        return event(&service, *target, request.body(), parts).await;
    }
    if !service.serves_http() {
        let error = Error::not_found(format!("no event function at {}", request.uri().path()));
        return encode::failure(&error, 1);
    }
    let own: Vec<_> =
        request.headers().keys().filter(|k| k.as_str().starts_with(binding::HOST_HEADERS)).cloned().collect();
    for name in own {
        request.headers_mut().remove(name);
    }
    call_http(&service, request, parts).await
}

async fn event(service: &Service, target: Target, body: &Bytes, mut parts: Parts) -> Response {
    let kind = service.target_kind(target);
    let incoming = match kind {
        Some(TriggerKind::Queue) => match decode::queue(body) {
            Ok(batch) => {
                parts.attempt = decode::attempt(&batch);
                Incoming::Queue(batch)
            }
            Err(error) => {
                instance_line(service.instance(), Level::Error, &error.to_string());
                return encode::failure(&error, 1);
            }
        },
        _ => Incoming::Raw(body.clone()),
    };
    encode::outcome(call_event(service, target, incoming, parts).await)
}
