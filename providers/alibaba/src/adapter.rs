//! The loop: listen, tell requests, events and hooks apart by the control path, call, answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use xcloud_core::event::Incoming;
use xcloud_core::log::{Level, instance_line};
use xcloud_core::outcome::error_response;
use xcloud_core::queue::Bindings;
use xcloud_core::{
    Error, ErrorKind, Instance, Parts, Platform, Program, Response, Result, Service, Target, env,
};
use xcloud_serve::parts::{deadline, header, request_id, timeout};
use xcloud_serve::{Concurrency, Listener, Server, block_on, call_event, call_http, terminated};

use crate::{binding, decode, encode};

/// Runs the program as a custom runtime until the platform ends it.
///
/// # Errors
/// A port in use, or what the app's init returned; the platform reports that the function did not start.
pub fn run(program: Program, bindings: Bindings) -> Result<()> {
    let mut instance = Instance::new(Platform::Alibaba);
    instance.bindings = bindings;
    instance.function = env::var(binding::FUNCTION);
    instance.region = env::var(binding::REGION);
    instance.version = env::var(binding::QUALIFIER).or_else(|| env::var(env::VERSION));
    block_on(Concurrency::Many, serve(program, instance))
}

async fn serve(program: Program, instance: Instance) -> Result<()> {
    let port = binding::PORTS.iter().find_map(|name| env::var(name)?.parse().ok());
    let stop = terminated()?;
    let service = program.start(instance.shared(), env::var(env::FUNCTION).as_deref()).await?;
    // All addresses: the platform does not call over loopback ("FunctionNotStarted" otherwise).
    let listener = Listener::tcp("0.0.0.0", port.unwrap_or(binding::DEFAULT_PORT)).await?;
    let (room, timeout) = (service.clone(), timeout());
    let handler = move |request| answer(room.clone(), request, timeout);
    Server::new().run(listener, handler, stop).await?;
    service.shutdown().await;
    Ok(())
}

async fn answer(service: Service, request: Request<Bytes>, timeout: Option<Duration>) -> Response {
    let call = decode::call(request.method(), request.uri().path(), request.headers());
    match call {
        Ok(decode::Call::Http) if service.serves_http() => {
            let parts = parts(&service, request.headers(), timeout);
            encode::http(call_http(&service, decode::http(request), parts).await)
        }
        Ok(decode::Call::Http) => error_response(&Error::not_found("this instance serves no HTTP function")),
        Ok(decode::Call::Event) => event(&service, request, timeout).await,
        // Init is done before the port is open: there is nothing left to do.
        Ok(decode::Call::Initialize) => encode::hook(),
        Ok(decode::Call::PreStop) => {
            service.shutdown().await;
            encode::hook()
        }
        Err(error) => refuse(&service, &error),
    }
}

fn parts(service: &Service, headers: &HeaderMap, timeout: Option<Duration>) -> Parts {
    let told = header(headers, binding::TIMEOUT_HEADER).and_then(|s| s.parse().ok());
    let told = told.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|d| !d.is_zero());
    Parts {
        id: header(headers, binding::ID_HEADER).map_or_else(request_id, str::to_owned),
        deadline: deadline(told.or(timeout)),
        attempt: None,
        trace: header(headers, "traceparent").map(str::to_owned),
        cold_start: service.take_cold_start(),
        raw: None,
    }
}

async fn event(service: &Service, request: Request<Bytes>, timeout: Option<Duration>) -> Response {
    let mut parts = parts(service, request.headers(), timeout);
    let retries = header(request.headers(), binding::RETRY_HEADER).and_then(|n| n.parse::<u32>().ok());
    parts.attempt = retries.map(|n| n.saturating_add(1));
    parts.raw = Some(request.body().clone());
    let delivery = decode::event(request.body())
        .and_then(|delivery| choose(service, &delivery).map(|target| (target, delivery.incoming)));
    let (target, mut incoming) = match delivery {
        Ok(found) => found,
        Err(error) => return refuse(service, &error),
    };
    if let Incoming::Queue(batch) = &mut incoming {
        batch.messages.iter_mut().for_each(|message| message.attempt = parts.attempt);
    }
    // The platform's log service groups lines by these two.
    let id = parts.id.clone();
    mark(service, "Start", &id);
    let outcome = call_event(service, target, incoming, parts).await;
    mark(service, "End", &id);
    encode::outcome(outcome)
}

fn mark(service: &Service, what: &str, id: &str) {
    service.instance().sink.write(format!("FC Invoke {what} RequestId: {id}\n").as_bytes());
}

fn refuse(service: &Service, error: &Error) -> Response {
    instance_line(service.instance(), Level::Error, &error.to_string());
    encode::failure(error)
}

fn choose(service: &Service, delivery: &decode::Delivery) -> Result<Target> {
    match &delivery.queue {
        Some(queue) => service.queue_target(queue),
        None => service.raw_target().ok_or_else(|| {
            let names: Vec<_> = service.events().iter().map(|e| e.name.as_str()).collect();
            let message = format!("no handler takes this event; this instance serves {}", names.join(", "));
            Error::new(ErrorKind::BadEvent, message)
        }),
    }
}
