//! The loop: listen on `$PORT`, tell requests from events, call, answer.

mod events;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode};
use xcloud_core::log::{Level, instance_line};
use xcloud_core::queue::Bindings;
use xcloud_core::{Instance, Parts, Platform, Program, Response, Result, Service, env};
use xcloud_serve::parts::{deadline, header, request_id, timeout};
use xcloud_serve::{Concurrency, Listener, Server, block_on, call_http, terminated};

use self::events::event;
use crate::{binding, decode, encode};

/// Cloud Run kills ten seconds after SIGTERM; what is left over is for the shutdown hook.
const DRAIN: Duration = Duration::from_secs(8);

static TRACE: HeaderName = HeaderName::from_static(binding::TRACE_HEADER);
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs the program on Cloud Run or Knative until SIGTERM.
///
/// # Errors
/// A port in use, or what the app's init returned.
pub fn run(program: Program, bindings: Bindings) -> Result<()> {
    listen(Platform::Gcp, program, bindings)
}

/// Runs the program as a plain HTTP server on `$PORT` until SIGTERM.
///
/// # Errors
/// A port in use, or what the app's init returned.
pub fn run_http(program: Program, bindings: Bindings) -> Result<()> {
    listen(Platform::Http, program, bindings)
}

fn listen(platform: Platform, program: Program, bindings: Bindings) -> Result<()> {
    let mut instance = Instance::new(platform);
    instance.bindings = bindings;
    instance.function = env::var(binding::SERVICE);
    instance.version = env::var(binding::REVISION).or_else(|| env::var(env::VERSION));
    instance.project = env::var(binding::PROJECT);
    instance.region = env::var(binding::REGION);
    block_on(Concurrency::Many, serve(program, instance))
}

async fn serve(program: Program, instance: Instance) -> Result<()> {
    let port = env::var(binding::PORT).and_then(|p| p.parse().ok()).unwrap_or(binding::DEFAULT_PORT);
    let stop = terminated()?;
    let service = program.start(instance.shared(), env::var(env::FUNCTION).as_deref()).await?;
    if service.serves_http() && !service.events().is_empty() {
        let message = "this instance serves HTTP and events, so it trusts its callers: anyone who can reach it can send \
             it an event. A deployment sets XCLOUD_FUNCTION, one function a service";
        instance_line(service.instance(), Level::Warn, message);
    }
    let listener = Listener::tcp("0.0.0.0", port).await?;
    let (room, timeout) = (service.clone(), timeout());
    let handler = move |request| answer(room.clone(), request, timeout);
    Server::new().drain(DRAIN).run(listener, handler, stop).await?;
    service.shutdown().await;
    Ok(())
}

async fn answer(service: Service, request: Request<Bytes>, timeout: Option<Duration>) -> Response {
    let path = request.uri().path();
    match (service.serves_http(), service.events().is_empty()) {
        (true, true) => {}
        // An event function is posted to; what else arrives is a probe or somebody lost.
        (false, _) => {
            return match (request.method(), path) {
                (&Method::POST, _) => event(&service, request, None, timeout).await,
                (_, "/robots.txt" | "/favicon.ico") => encode::status(StatusCode::NOT_FOUND),
                (&Method::GET | &Method::HEAD, _) => encode::status(StatusCode::OK),
                _ => encode::status(StatusCode::METHOD_NOT_ALLOWED),
            };
        }
        (true, false) if request.method() == Method::POST => {
            if let Some((target, _)) = service.function_target(&path[1..]) {
                return event(&service, request, Some(target), timeout).await;
            }
            if path == "/" && decode::claims_event(request.headers(), request.body()) {
                return event(&service, request, None, timeout).await;
            }
        }
        (true, false) => {}
    }
    let parts = parts(&service, &request, timeout);
    call_http(&service, request, parts).await
}

fn parts(service: &Service, request: &Request<Bytes>, timeout: Option<Duration>) -> Parts {
    let headers = request.headers();
    let google = header(headers, &TRACE);
    let trace = header(headers, &TRACEPARENT).or(google);
    // Cloud Run has no request id of its own; its trace id is what its logs are found by.
    let id = google.and_then(|t| t.split('/').next()).or_else(|| header(headers, &REQUEST_ID));
    Parts {
        id: id.map_or_else(request_id, str::to_owned),
        deadline: deadline(timeout),
        attempt: None,
        trace: trace.map(str::to_owned),
        cold_start: service.take_cold_start(),
        raw: None,
    }
}
