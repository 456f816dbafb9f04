//! One call under its deadline.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until};
use xcloud_core::cors::Cors;
use xcloud_core::error::BoxError;
use xcloud_core::event::Incoming;
use xcloud_core::log::{Level, call_line};
use xcloud_core::outcome::error_response;
use xcloud_core::{Body, BoxFuture, Error, ErrorKind, Outcome, Parts, Response, Service, Target};

/// The time kept back before the platform's deadline, to answer in.
const MARGIN: Duration = Duration::from_millis(100);

/// Answers an HTTP request. At deadline − 100 ms the handler is dropped and the answer is 504; a streamed body that
/// is still going then is cut.
pub fn call_http(service: &Service, request: http::Request<Bytes>, parts: Parts) -> BoxFuture<'_, Response> {
    // Boxed, as below: compiled once and not again in every room.
    match service.cors() {
        None => Box::pin(http_before(service, request, parts)),
        Some(cors) => Box::pin(http_across(service, cors, request, parts)),
    }
}

/// With what browsers look for: preflights do not reach the app.
async fn http_across(
    service: &Service,
    cors: &Cors,
    request: http::Request<Bytes>,
    parts: Parts,
) -> Response {
    if let Some(answer) = cors.preflight(&request) {
        return answer;
    }
    let origin = cors.allowed(request.headers());
    // Boxed, so that it is compiled once.
    let mut response = Box::pin(http_before(service, request, parts)).await;
    cors.mark(response.headers_mut(), origin);
    response
}

async fn http_before(service: &Service, request: http::Request<Bytes>, parts: Parts) -> Response {
    let Some(deadline) = parts.deadline else { return service.http(request, parts).await };
    let id = parts.id.clone();
    match before(deadline, service.http(request, parts)).await {
        Some(response) if response.body().is_stream() => response.map(|body| cut_at(deadline, body)),
        Some(response) => response,
        None => error_response(&late(service, &id)),
    }
}

/// Hands an event to a function. At deadline − 100 ms the handler is dropped and the event failed.
pub fn call_event(
    service: &Service,
    target: Target,
    incoming: Incoming,
    parts: Parts,
) -> BoxFuture<'_, Outcome> {
    Box::pin(event_before(service, target, incoming, parts))
}

async fn event_before(service: &Service, target: Target, incoming: Incoming, parts: Parts) -> Outcome {
    let Some(deadline) = parts.deadline else { return service.call(target, incoming, parts).await };
    let id = parts.id.clone();
    match before(deadline, service.call(target, incoming, parts)).await {
        Some(outcome) => outcome,
        None => Outcome::Failed(late(service, &id)),
    }
}

/// The call's outcome, or nothing when its time is up. The timer is set when the call first waits: many never do.
async fn before<T>(deadline: Instant, call: impl Future<Output = T>) -> Option<T> {
    within(|| deadline.checked_sub(MARGIN).unwrap_or(deadline), call).await
}

/// What the future gives, or nothing when the time is up; the time is asked for when the future first waits.
pub(crate) async fn within<T>(end: impl Fn() -> Instant, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut timer = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        if timer.is_none() {
            // Unconstrained: a call that uses up its task's budget at every poll must not put off its own end.
            timer.set(Some(unconstrained(sleep_until(end().into()))));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

fn late(service: &Service, id: &str) -> Error {
    let error = Error::new(ErrorKind::Timeout, "the handler did not finish before its deadline");
    call_line(service.instance(), Level::Error, error.message(), id);
    error
}

fn cut_at(deadline: Instant, body: Body) -> Body {
    Body::from_http_body(Cut { body, sleep: Box::pin(sleep_until(deadline.into())) })
}

struct Cut {
    body: Body,
    sleep: Pin<Box<Sleep>>,
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the body did not end before the deadline".into())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
