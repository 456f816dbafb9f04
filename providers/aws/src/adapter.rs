//! The loop: ask for the next call, decode, call, encode, answer.

mod api;
mod extension;
mod stream;

use std::time::Duration;

use bytes::Bytes;
use xcloud_core::event::{Incoming, Record};
use xcloud_core::log::{Level, call_line, instance_line};
use xcloud_core::outcome::error_response;
use xcloud_core::queue::Bindings;
use xcloud_core::{
    Body, Error, ErrorKind, Instance, Outcome, Parts, Platform, Program, Response, Result, Service, env,
};
use xcloud_serve::records::{Order, call_records, whole};
use xcloud_serve::{Concurrency, block_on, call_event, call_http, terminated};

use self::api::{Api, Call, Endpoint, Next};
use crate::decode::{self, Origin, Payload, Records, Scratch};
use crate::{binding, encode};

/// Between two tries of a managed instance to get its next call.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the program on Lambda until the platform ends it.
///
/// # Errors
/// What the app's init returned (Lambda has been told), or a Runtime API that went away.
pub fn run(program: Program, bindings: Bindings) -> Result<()> {
    let mut instance = Instance::new(Platform::Aws);
    instance.bindings = bindings;
    instance.function = env::var(binding::FUNCTION);
    instance.version = env::var(binding::VERSION);
    instance.region = env::var(binding::REGION);
    let endpoint = Endpoint::from_env()?;
    let workers = env::var(binding::MAX_CONCURRENCY).and_then(|n| n.parse().ok()).unwrap_or(1).max(1);
    let concurrency = if workers > 1 { Concurrency::Many } else { Concurrency::One };
    block_on(concurrency, serve(program, instance, endpoint, workers))
}

async fn serve(program: Program, instance: Instance, endpoint: Endpoint, workers: usize) -> Result<()> {
    // Lambda sends SIGTERM only to functions with an extension; without a hook nobody needs it.
    let stop = program.has_shutdown_hook().then(terminated).transpose()?;
    let service = match program.start(instance.shared(), env::var(env::FUNCTION).as_deref()).await {
        Ok(service) => service,
        Err(error) => {
            Api::new(&endpoint).init_error(&error).await?;
            return Err(error);
        }
    };
    let streams = env::var(env::HTTP_STREAM).as_deref() == Some("1");
    let max_body = env::var(env::MAX_BODY).and_then(|n| n.parse().ok()).unwrap_or(env::MAX_BODY_DEFAULT);
    let room = Room { service, endpoint, streams, max_body, managed: workers > 1 };
    let Some(stop) = stop else { return poll(room, workers).await };
    if let Err(error) = extension::register(&room.endpoint).await {
        let message = format!("the shutdown hook will not run: {error}");
        instance_line(room.service.instance(), Level::Warn, &message);
    }
    let service = room.service.clone();
    tokio::select! {
        result = poll(room, workers) => result,
        () = stop => {
            service.shutdown().await;
            Ok(())
        }
    }
}

#[derive(Clone)]
struct Room {
    service: Service,
    endpoint: Endpoint,
    streams: bool,
    max_body: usize,
    managed: bool,
}

/// What one loop uses again for every call.
struct Desk {
    api: Api,
    scratch: Scratch,
    answer: Vec<u8>,
}

/// One loop, or one for each call that a managed instance takes at once. The first that fails ends all.
async fn poll(room: Room, workers: usize) -> Result<()> {
    if workers == 1 {
        return room.work().await;
    }
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let room = room.clone();
        loops.spawn(async move { room.work().await });
    }
    match loops.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(Error::handler(format!("a worker ended: {error}"))),
        None => Ok(()),
    }
}

impl Room {
    async fn work(&self) -> Result<()> {
        let api = Api::new(&self.endpoint);
        let mut desk = Desk { api, scratch: Scratch::default(), answer: Vec::new() };
        loop {
            match desk.api.next().await {
                Ok(next) => self.handle(&mut desk, next).await,
                // A managed instance's other calls go on; a classic one has nothing else to do.
                Err(error) if self.managed && error.kind() == ErrorKind::Unavailable => {
                    instance_line(self.service.instance(), Level::Warn, &error.to_string());
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn handle(&self, desk: &mut Desk, next: Next) {
        let Next { call, payload } = next;
        let read = if self.service.takes_records() { decode::event } else { decode::call };
        let event = read(&payload, &mut desk.scratch);
        let mut parts = Parts {
            id: call.id.clone(),
            deadline: call.deadline,
            attempt: None,
            trace: call.trace.clone(),
            cold_start: self.service.take_cold_start(),
            // Given away: once the call is over nobody holds the buffer that the next event is read into.
            raw: Some(payload.clone()),
        };
        match event {
            Ok(Payload::Http(origin, request)) if self.service.serves_http() => {
                drop(payload);
                if let Some(trace) = request.as_ref().ok().and_then(traceparent) {
                    parts.trace = Some(trace);
                }
                let response = self.http(request, parts).await;
                self.answer(desk, &call, origin, response).await;
            }
            Ok(Payload::Queue(queue, batch)) if self.has_queue() => {
                drop(payload);
                parts.attempt = batch.messages.first().and_then(|m| m.attempt);
                match self.service.queue_target(&queue) {
                    Ok(target) => {
                        let outcome = call_event(&self.service, target, Incoming::Queue(batch), parts).await;
                        self.settle(desk, &call, outcome).await;
                    }
                    Err(error) => self.refuse(desk, &call, &error).await,
                }
            }
            Ok(Payload::Records(Records { stream, records }))
                if self.service.takes_records() && self.takes(&records) =>
            {
                let order = if stream { Order::Kept } else { Order::None };
                let failures = call_records(&self.service, records, &parts, order).await;
                if stream {
                    encode::stream(&failures, &mut desk.answer);
                    let sent = desk.api.respond(&call, &desk.answer).await;
                    return self.noted(&call, sent);
                }
                self.settle(desk, &call, whole(failures)).await;
            }
            Ok(_) => match self.service.raw_target() {
                Some(target) => {
                    let incoming = Incoming::Raw(payload);
                    let outcome = call_event(&self.service, target, incoming, parts).await;
                    self.settle(desk, &call, outcome).await;
                }
                None => self.refuse(desk, &call, &self.unknown()).await,
            },
            Err(error) => self.refuse(desk, &call, &error).await,
        }
    }

    fn has_queue(&self) -> bool {
        self.service.events().iter().any(|event| event.kind == xcloud_core::event::TriggerKind::Queue)
    }

    /// Whether a function here takes records of this kind; what none takes goes to the raw handler.
    fn takes(&self, records: &[Record]) -> bool {
        records.first().is_some_and(|record| self.service.record_target(record).is_ok())
            || self.service.raw_target().is_none()
    }

    fn unknown(&self) -> Error {
        let http = self.service.serves_http().then_some("http");
        let names = self.service.events().iter().map(|e| e.name.as_str());
        let names: Vec<_> = http.into_iter().chain(names).collect();
        let message = format!("no function here takes this event; this instance serves {}", names.join(", "));
        Error::new(ErrorKind::BadEvent, message)
    }

    async fn http(&self, request: Result<http::Request<Bytes>>, parts: Parts) -> Response {
        match request {
            Ok(request) if request.body().len() > self.max_body => {
                let (length, max) = (request.body().len(), self.max_body);
                let message = format!("the body has {length} bytes, the limit is {max}");
                error_response(&Error::new(ErrorKind::PayloadTooLarge, message))
            }
            Ok(request) => {
                // A server that writes to a socket leaves the body of HEAD out by itself; here nobody does.
                let head = request.method() == http::Method::HEAD;
                let response = call_http(&self.service, request, parts).await;
                if head { response.map(|_| Body::empty()) } else { response }
            }
            Err(error) => {
                call_line(self.service.instance(), Level::Error, &error.to_string(), &parts.id);
                error_response(&error)
            }
        }
    }

    async fn answer(&self, desk: &mut Desk, call: &Call, origin: Origin, response: Response) {
        if self.streams && origin == Origin::V2 {
            let sent = stream::send(&self.endpoint, call, response).await;
            return self.noted(call, sent);
        }
        let (parts, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => encode::http(origin, &parts, &body, &mut desk.answer),
            Err(error) => {
                let error = Error::handler(format!("the body broke off: {error}"));
                self.instead(desk, call, origin, &error).await;
            }
        }
        let (who, limit) = match origin {
            Origin::Alb { .. } => ("a load balancer", binding::MAX_ALB_ANSWER),
            Origin::V1 | Origin::V2 => ("Lambda", binding::MAX_ANSWER),
        };
        if desk.answer.len() > limit {
            let message = format!("the answer has {} bytes; {who} takes {limit}", desk.answer.len());
            self.instead(desk, call, origin, &Error::handler(message)).await;
        }
        let sent = desk.api.respond(call, &desk.answer).await;
        self.noted(call, sent);
    }

    /// An error in place of an answer that cannot be sent.
    async fn instead(&self, desk: &mut Desk, call: &Call, origin: Origin, error: &Error) {
        call_line(self.service.instance(), Level::Error, error.message(), &call.id);
        let (parts, body) = error_response(error).into_parts();
        let body = body.collect().await.unwrap_or_default();
        encode::http(origin, &parts, &body, &mut desk.answer);
    }

    async fn settle(&self, desk: &mut Desk, call: &Call, outcome: Outcome) {
        let sent = match outcome {
            Outcome::Batch(batch) => {
                encode::batch(&batch, &mut desk.answer);
                desk.api.respond(call, &desk.answer).await
            }
            Outcome::Done(json) => desk.api.respond(call, &json).await,
            Outcome::Failed(error) => desk.api.fail(call, &error).await,
            _ => {
                let error = Error::handler("an event function answered with an HTTP response");
                desk.api.fail(call, &error).await
            }
        };
        self.noted(call, sent);
    }

    async fn refuse(&self, desk: &mut Desk, call: &Call, error: &Error) {
        call_line(self.service.instance(), Level::Error, &error.to_string(), &call.id);
        let sent = desk.api.fail(call, error).await;
        self.noted(call, sent);
    }

    /// An answer that Lambda refused (too late, too large) is lost with its call; the instance goes on.
    fn noted(&self, call: &Call, sent: Result<()>) {
        if let Err(error) = sent {
            let message = format!("Lambda did not take the answer: {error}");
            call_line(self.service.instance(), Level::Error, &message, &call.id);
        }
    }
}

fn traceparent(request: &http::Request<Bytes>) -> Option<String> {
    request.headers().get("traceparent").and_then(|v| v.to_str().ok()).map(str::to_owned)
}
