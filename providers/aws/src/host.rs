//! Lambda's side of the wire, a simulator of ours: the Runtime API, API Gateway (payload 2.0) and SQS before it. The
//! real emulator is driven by `tests/peers`.

mod gateway;
mod records;

use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use xcloud_core::event::{Batch, Incoming, Record};
use xcloud_core::text::base64_decode;
use xcloud_core::{Body, BoxFuture, Error, Result};
use xcloud_serve::host::{Delivery, Host, Launch, Process, Tap, Way, body_text, free_port, until};
use xcloud_serve::{Listener, Server};

use crate::binding;

/// Lambda gives init ten seconds; a slow machine some more.
const STARTUP: Duration = Duration::from_secs(20);
/// From SIGTERM to SIGKILL with an extension, and some for a slow machine.
const GRACE: Duration = Duration::from_secs(2);

type Answer = Result<Bytes, Bytes>;

struct Call {
    id: String,
    payload: Bytes,
}

struct Api {
    calls: tokio::sync::Mutex<mpsc::UnboundedReceiver<Call>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    polled: AtomicBool,
    extension: AtomicBool,
    timeout: Duration,
}

struct Lambda {
    process: Process,
    api: Arc<Api>,
    calls: mpsc::UnboundedSender<Call>,
    /// A classic instance has one call at a time.
    one: tokio::sync::Mutex<()>,
    server: tokio::task::JoinHandle<()>,
    tap: Tap,
}

/// Starts the Runtime API and the process on it, and waits until it asks for its first call.
///
/// # Errors
/// When it ends, or does not ask in time, with what it wrote.
pub async fn start(launch: Launch) -> Result<Box<dyn Host>> {
    let port = free_port()?;
    let (calls, receiver) = mpsc::unbounded_channel();
    let api = Arc::new(Api {
        calls: tokio::sync::Mutex::new(receiver),
        waiting: Mutex::default(),
        polled: AtomicBool::new(false),
        extension: AtomicBool::new(false),
        timeout: launch.timeout,
    });
    let listener = Listener::tcp("127.0.0.1", port).await?;
    let for_server = Arc::clone(&api);
    let server = tokio::spawn(async move {
        let handler = move |request| answer(Arc::clone(&for_server), request);
        let server = Server::new().max_body(64 * 1024 * 1024);
        drop(server.run(listener, handler, std::future::pending()).await);
    });
    let env = [
        (binding::RUNTIME_API, format!("127.0.0.1:{port}")),
        (binding::FUNCTION, "fixture".to_owned()),
        (binding::VERSION, "$LATEST".to_owned()),
        (binding::REGION, "eu-west-1".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
    ];
    let process = Process::spawn(&launch, &env)?;
    let polled = || async { api.polled.load(Ordering::SeqCst) };
    until(STARTUP, &process, polled).await?;
    Ok(Box::new(Lambda { process, api, calls, one: tokio::sync::Mutex::new(()), server, tap: launch.tap }))
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(api: Arc<Api>, request: Request<Bytes>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (method, body) = (request.method().clone(), request.into_body());
    if path == format!("{}/invocation/next", binding::RUNTIME_PATH) {
        return next(&api).await;
    }
    if path == format!("{}/register", binding::EXTENSION_PATH) {
        api.extension.store(true, Ordering::SeqCst);
        let mut response = Response::new(Body::from("{}"));
        let id = ::http::HeaderValue::from_static("00000000-0000-4000-8000-000000000000");
        response.headers_mut().insert("lambda-extension-identifier", id);
        return response;
    }
    if path == format!("{}/event/next", binding::EXTENSION_PATH) {
        return std::future::pending().await;
    }
    let call = path.strip_prefix(binding::RUNTIME_PATH).and_then(|p| p.strip_prefix("/invocation/"));
    let (id, what) = call.and_then(|rest| rest.split_once('/')).unwrap_or(("", ""));
    let waiting = lock(&api.waiting).remove(id);
    let status = match (method, waiting, what) {
        (Method::POST, Some(waiting), "response") => {
            drop(waiting.send(Ok(body)));
            StatusCode::ACCEPTED
        }
        (Method::POST, Some(waiting), "error") => {
            drop(waiting.send(Err(body)));
            StatusCode::ACCEPTED
        }
        _ if path == format!("{}/init/error", binding::RUNTIME_PATH) => StatusCode::ACCEPTED,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn next(api: &Api) -> Response<Body> {
    api.polled.store(true, Ordering::SeqCst);
    let Some(call) = api.calls.lock().await.recv().await else { return std::future::pending().await };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + api.timeout;
    let built = Response::builder()
        .header(binding::ID_HEADER, call.id)
        .header(binding::DEADLINE_HEADER, deadline.as_millis().to_string())
        .header("content-type", "application/json")
        .body(Body::from(call.payload));
    built.unwrap_or_default()
}

impl Lambda {
    /// The answer, or the reported error.
    async fn invoke(&self, id: &str, payload: Bytes) -> Result<Answer> {
        let _one = self.one.lock().await;
        self.tap.see(id, Way::In, || body_text(&payload));
        let answer = self.call(id, payload).await?;
        self.tap.see(id, Way::Out, || match &answer {
            Ok(answer) => body_text(answer),
            Err(error) => format!("error {}", body_text(error)),
        });
        Ok(answer)
    }

    async fn call(&self, id: &str, payload: Bytes) -> Result<Answer> {
        let (sender, answer) = oneshot::channel();
        lock(&self.api.waiting).insert(id.to_owned(), sender);
        let gone = || Error::unavailable(format!("the process is gone: {}", self.process.output()));
        self.calls.send(Call { id: id.to_owned(), payload }).map_err(|_| gone())?;
        let limit = self.api.timeout + Duration::from_secs(1);
        tokio::select! {
            answer = answer => answer.map_err(|_| gone()),
            _ = self.process.ended() => Err(gone()),
            () = tokio::time::sleep(limit) => Err(Error::unavailable("Task timed out")),
        }
    }
}

/// An event as it goes over the wire: the payload of one invocation.
///
/// # Errors
/// When AWS has no such event.
pub fn payload(id: &str, queue: &str, event: Incoming) -> Result<Bytes> {
    Ok(match event {
        Incoming::Http(request) => gateway::event(id, &request).to_string().into(),
        Incoming::Queue(batch) => records::sqs(&batch, queue).to_string().into(),
        Incoming::Record(record) => records::payload(&record)?.0.to_string().into(),
        Incoming::Raw(event) => event,
        _ => return Err(Error::handler("an event that this host does not know")),
    })
}

/// The [`payload`] with its secrets taken out: what `xcloud invoke --example` shows.
///
/// # Errors
/// When AWS has no such event.
pub fn wire_form(id: &str, _: &str, queue: &str, event: Incoming) -> Result<String> {
    Ok(body_text(&payload(id, queue, event)?))
}

impl Host for Lambda {
    fn http_as<'a>(&'a self, id: &'a str, request: Request<Bytes>) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(async move {
            // What Lambda does not take, the gateway answers itself.
            if request.body().len() > binding::MAX_ANSWER {
                return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long")?.map(Body::from));
            }
            let answer = match self.invoke(id, gateway::event(id, &request).to_string().into()).await? {
                Ok(answer) => response(&answer)?,
                Err(_) => plain(StatusCode::BAD_GATEWAY, "Internal Server Error")?,
            };
            Ok(answer.map(Body::from))
        })
    }

    fn queue_as<'a>(
        &'a self,
        id: &'a str,
        _: &'a str,
        queue: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            Ok(match self.invoke(id, records::sqs(&batch, queue).to_string().into()).await? {
                Ok(answer) => settled(&answer),
                Err(error) => Delivery::RetryAll(String::from_utf8_lossy(&error).into_owned()),
            })
        })
    }

    fn record_as<'a>(&'a self, id: &'a str, _: &'a str, record: Record) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let (payload, position) = records::payload(&record)?;
            let answer = self.invoke(id, payload.to_string().into()).await?;
            Ok(match (answer, position) {
                (Err(error), _) => Delivery::RetryAll(String::from_utf8_lossy(&error).into_owned()),
                // A stream's mapping reads which record failed; an asynchronous call has no answer.
                (Ok(answer), Some(_)) => settled(&answer),
                (Ok(_), None) => Delivery::Done,
            })
        })
    }

    fn raw_as<'a>(
        &'a self,
        id: &'a str,
        _: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<Result<Bytes, String>>> {
        Box::pin(async move {
            let answer = self.invoke(id, event).await?;
            Ok(answer.map_err(|error| String::from_utf8_lossy(&error).into_owned()))
        })
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>> {
        Box::pin(async move {
            if self.api.extension.load(Ordering::SeqCst) {
                return Ok(self.process.terminate(GRACE).await);
            }
            Ok(self.process.kill().await)
        })
    }
}

fn plain(status: StatusCode, message: &str) -> Result<Response<Bytes>> {
    let body = Bytes::from(json!({ "message": message }).to_string());
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body)
        .map_err(Error::from)
}

/// The response in a function's answer of payload version 2.0; one that was streamed, and then collected, is its
/// prelude, eight NULs and the body (<https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html>).
///
/// # Errors
/// An answer of neither form.
pub fn response(answer: &[u8]) -> Result<Response<Bytes>> {
    if let Some(at) = answer.windows(8).position(|part| part == [0; 8]) {
        let streamed = response(&answer[..at])?;
        return Ok(streamed.map(|_| Bytes::copy_from_slice(&answer[at + 8..])));
    }
    let answer: Value = serde_json::from_slice(answer)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let body = text(&answer["body"]);
    let body = if answer["isBase64Encoded"] == true {
        base64_decode(body.as_bytes()).ok_or_else(|| Error::bad_request("the answer's body is not base64"))?
    } else {
        body.into_bytes()
    };
    let status = answer["statusCode"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(0);
    let mut response = Response::builder().status(status).body(Bytes::from(body)).map_err(Error::from)?;
    let add = |name: &str, value: String, headers: &mut HeaderMap| {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), value.parse()) {
            headers.append(name, value);
        }
    };
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        add(name, text(value), response.headers_mut());
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        add("set-cookie", text(cookie), response.headers_mut());
    }
    Ok(response)
}

/// `ReportBatchItemFailures`: no list or an empty one is success, an answer that is none fails the batch.
fn settled(answer: &[u8]) -> Delivery {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return Delivery::RetryAll("the answer is not JSON".to_owned());
    };
    let failed: Vec<_> = answer["batchItemFailures"].as_array().into_iter().flatten().collect();
    let ids: Vec<_> = failed.iter().filter_map(|f| f["itemIdentifier"].as_str().map(str::to_owned)).collect();
    match (ids.is_empty(), ids.len() == failed.len() && ids.iter().all(|id| !id.is_empty())) {
        (true, true) => Delivery::Done,
        (false, true) => Delivery::Retry(ids),
        (_, false) => Delivery::RetryAll("an item identifier is missing or empty".to_owned()),
    }
}
