//! Requests and answers in the four protocols: REST with JSON, REST with XML, JSON by target, XML by query.

mod answer;
mod route;
pub(super) mod xml;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value};
use xcloud_core::text::{form_decode, percent_decode};

pub(super) use self::answer::respond;
pub use self::answer::{internal, throttled};

/// A request, read.
#[derive(Debug, Clone)]
pub struct Call {
    /// The service, by the name that requests are signed for.
    pub service: String,
    /// What is asked of it.
    pub operation: String,
    /// The path's parts, decoded; of S3 the bucket comes first wherever it stood.
    pub path: Vec<String>,
    /// The query.
    pub query: BTreeMap<String, String>,
    /// The body: its JSON, or the fields of its form.
    pub body: Value,
    /// The body's bytes.
    pub raw: Bytes,
}

/// What a service says no with.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

/// What a service answers.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// JSON.
    Json(u16, Value),
    /// The whole document.
    Xml(String),
    /// What stands in the result of a query's answer.
    Result(String),
    /// Nothing.
    Empty(u16),
}

pub(super) type Outcome = Result<Reply, Failure>;

impl Failure {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// An operation that the simulator does not know: the test that needs it fails by this.
    pub(super) fn unknown(call: &Call) -> Self {
        let message = format!("the simulator does not know {}: {:?}", call.name(), call.path);
        Self::new(501, "NotImplemented", message)
    }
}

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    /// The answer to one that nothing can be made of.
    pub fn read(request: &Request<Bytes>) -> Result<Self, Box<Response<Bytes>>> {
        let service = service(request).ok_or_else(|| refused(StatusCode::FORBIDDEN, "it is not signed"))?;
        let path = request.uri().path().split('/').filter(|part| !part.is_empty());
        let mut path: Vec<String> = path.map(decoded).collect();
        if service == "s3" {
            path.splice(0..0, bucket(request));
        }
        let query = form(request.uri().query().unwrap_or_default());
        let raw = request.body().clone();
        let mut call = Self { service, operation: String::new(), path, query, body: Value::Null, raw };
        call.body = body(&call);
        call.operation = route::operation(request, &call);
        Ok(call)
    }

    /// `lambda:CreateFunction`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }

    /// Whether it changes nothing.
    pub fn reads(&self) -> bool {
        let name = self.operation.as_str();
        ["Get", "List", "Describe", "Head", "Scan"].iter().any(|verb| name.starts_with(verb))
    }

    /// A text in the body; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// A text in the body that has to be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, Failure> {
        self.body[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
    }

    /// A part of the path, from 0.
    pub(super) fn part(&self, at: usize) -> &str {
        self.path.get(at).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn qualifier(&self) -> Option<&str> {
        self.query.get("Qualifier").map(String::as_str)
    }
}

/// A member that the model requires and that is not there.
pub(super) fn missing(name: &str) -> Failure {
    Failure::new(400, "ValidationException", format!("1 validation error detected: {name} must not be null"))
}

/// `AWS4-HMAC-SHA256 Credential=<key>/<day>/<region>/<service>/aws4_request, …`
fn service(request: &Request<Bytes>) -> Option<String> {
    let header = request.headers().get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (_, scope) = header.split_once("Credential=")?;
    scope.split(',').next()?.split('/').nth(3).map(str::to_owned)
}

/// The bucket that stands before S3's own name.
fn bucket(request: &Request<Bytes>) -> Option<String> {
    let host = request.uri().host().or_else(|| request.headers().get("host")?.to_str().ok())?;
    let (bucket, _) = host.split_once(".s3.")?;
    Some(bucket.to_owned())
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decode(text)).into_owned()
}

fn form(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (form_decode(key).into_owned(), form_decode(value).into_owned())).collect()
}

fn body(call: &Call) -> Value {
    match call.service.as_str() {
        "s3" => Value::Null,
        "iam" | "sns" | "sts" => {
            let fields = form(&String::from_utf8_lossy(&call.raw));
            Value::Object(fields.into_iter().map(|(k, v)| (k, Value::from(v))).collect::<Map<_, _>>())
        }
        _ => serde_json::from_slice(&call.raw).unwrap_or_default(),
    }
}

fn refused(status: StatusCode, why: &str) -> Box<Response<Bytes>> {
    let mut response = Response::new(Bytes::from(format!("the simulator of AWS refuses this: {why}\n")));
    *response.status_mut() = status;
    Box::new(response)
}
