//! Requests on their way to a process that listens, and what of them may be shown.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use tokio::io::AsyncRead;
use xcloud_core::{Error, Result};

/// Where a function's process listens.
#[derive(Debug, Clone)]
pub enum Address {
    /// A loopback port.
    Port(u16),
    /// A unix socket.
    Socket(std::path::PathBuf),
}

/// Headers of one hop (RFC 9110 §7.6.1): a front takes them off on both sides.
const HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Takes the headers of one hop off.
pub fn strip_hop(headers: &mut HeaderMap) {
    for name in HOP {
        headers.remove(name);
    }
}

/// Sends one request to the process as a front does, with `content-length`, and reads the whole answer.
///
/// # Errors
/// When the process cannot be reached, or breaks off before its answer ended.
pub async fn forward(address: &Address, request: Request<Bytes>) -> Result<Response<Bytes>> {
    match address {
        Address::Port(port) => {
            exchange(tokio::net::TcpStream::connect(("127.0.0.1", *port)).await, request).await
        }
        Address::Socket(path) => exchange(tokio::net::UnixStream::connect(path).await, request).await,
    }
}

async fn exchange<S>(stream: std::io::Result<S>, request: Request<Bytes>) -> Result<Response<Bytes>>
where
    S: AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let away =
        |e: &dyn fmt::Display| Error::unavailable(format!("the function's process did not answer: {e}"));
    let stream = stream.map_err(|e| away(&e))?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|e| away(&e))?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    strip_hop(&mut parts.headers);
    if !parts.headers.contains_key(http::header::HOST) {
        parts.headers.insert(http::header::HOST, http::HeaderValue::from_static("app.example"));
    }
    // Origin form, as on the wire: fronts send the path and query alone.
    if let Some(target) = parts.uri.path_and_query().and_then(|p| p.as_str().parse().ok()) {
        parts.uri = target;
    }
    let request = Request::from_parts(parts, xcloud_core::Body::from(body));
    let response = sender.send_request(request).await.map_err(|e| away(&e))?;
    let (mut parts, body) = response.into_parts();
    let body = xcloud_core::Body::from_http_body(body).collect().await.map_err(|e| away(&e))?;
    connection.abort();
    strip_hop(&mut parts.headers);
    Ok(Response::from_parts(parts, body))
}

/// Which way something goes over a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the function.
    In,
    /// From the function.
    Out,
}

type See = dyn Fn(&str, Way, String) + Send + Sync;

/// Sees what a host sends and gets: call id, way, and text with its secrets taken out. Sees nothing by default.
#[derive(Clone, Default)]
pub struct Tap(Option<Arc<See>>);

impl Tap {
    /// A tap that hands everything to a function.
    pub fn new(see: impl Fn(&str, Way, String) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(see)))
    }

    /// Shows something; the text is made only if anybody looks.
    pub fn see(&self, id: &str, way: Way, text: impl FnOnce() -> String) {
        if let Some(see) = &self.0 {
            see(id, way, shortened(text()));
        }
    }

    /// [`forward`], with both ways shown.
    ///
    /// # Errors
    /// As [`forward`].
    pub async fn forward(
        &self,
        id: &str,
        address: &Address,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>> {
        self.see(id, Way::In, || request_text(&request));
        let response = forward(address, request).await?;
        self.see(id, Way::Out, || response_text(&response));
        Ok(response)
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Tap(..)" } else { "Tap" })
    }
}

/// Of a request or an answer, what a tap sees.
const MAX_SHOWN: usize = 8 * 1024;
/// In the place of a secret.
const REDACTED: &str = "***";
/// Headers, and keys of JSON, whose values are secrets. With and without `-`, as fields of JSON are written.
const SECRETS: [&str; 10] = [
    "authorization",
    "proxyauthorization",
    "cookie",
    "cookies",
    "setcookie",
    "xapikey",
    "xfunctionskey",
    "xfcaccesskeyid",
    "xfcaccesskeysecret",
    "xfcsecuritytoken",
];

fn is_secret(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// A request as it looks on the wire, secrets taken out.
pub fn request_text(request: &Request<Bytes>) -> String {
    let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let head = format!("{} {target} HTTP/1.1\n{}", request.method(), headers_text(request.headers()));
    with_body(head, request.body())
}

/// An answer as it looks on the wire, secrets taken out.
pub fn response_text(response: &Response<Bytes>) -> String {
    let head = format!("HTTP/1.1 {}\n{}", response.status(), headers_text(response.headers()));
    with_body(head, response.body())
}

fn headers_text(headers: &HeaderMap) -> String {
    let value = |name: &str, value: &http::HeaderValue| match is_secret(name) {
        true => REDACTED.to_owned(),
        false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    headers.iter().map(|(name, v)| format!("{name}: {}\n", value(name.as_str(), v))).collect()
}

fn with_body(head: String, body: &[u8]) -> String {
    if body.is_empty() { head.trim_end().to_owned() } else { format!("{head}\n{}", body_text(body)) }
}

/// A body as it can be shown: JSON without its secrets, other text as it is, of other bytes how many.
pub fn body_text(body: &[u8]) -> String {
    match (serde_json::from_slice(body), std::str::from_utf8(body)) {
        (Ok(json), _) => redact(json).to_string(),
        (Err(_), Ok(text)) => text.to_owned(),
        _ => format!("<{} bytes>", body.len()),
    }
}

/// The beginning of a text that is too long to be looked at.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_SHOWN {
        let (end, all) = ((0..=MAX_SHOWN).rev().find(|at| text.is_char_boundary(*at)), text.len());
        text.truncate(end.unwrap_or(0));
        text += &format!("… <{all} bytes in all>");
    }
    text
}

/// Takes secrets out of JSON, wherever they are.
fn redact(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let hide = |(name, value): (String, Value)| match is_secret(&name) && !value.is_null() {
                true => (name, REDACTED.into()),
                false => (name, redact(value)),
            };
            Value::Object(fields.into_iter().map(hide).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(redact).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_not_shown() {
        let request = Request::post("/orders?x=1")
            .header("authorization", "Bearer s3cret")
            .header("cookie", "session=s3cret")
            .header("x-other", "shown")
            .body(Bytes::from(
                r#"{"headers":{"Authorization":"s3cret","multi":["a"]},"cookies":["s3cret"],"n":1}"#,
            ))
            .unwrap();
        let text = request_text(&request);
        assert!(text.starts_with("POST /orders?x=1 HTTP/1.1\nauthorization: ***\ncookie: ***\n"), "{text}");
        assert!(text.contains("x-other: shown\n\n{") && !text.contains("s3cret"), "{text}");
        let answer = Response::builder().header("set-cookie", "a=s3cret").body(Bytes::new()).unwrap();
        assert_eq!(response_text(&answer), "HTTP/1.1 200 OK\nset-cookie: ***");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_and_no_secret_gets_through(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            name in "[a-z]{1,9}",
        ) {
            drop(shortened(body_text(&body)));
            let json = serde_json::json!({ name.clone(): [{ "Set-Cookie": "s3cret", "x": body }], "n": { name: 1 } });
            prop_assert!(!body_text(json.to_string().as_bytes()).contains("s3cret"));
        }
    }

    #[test]
    fn bodies_that_cannot_be_shown_are_counted() {
        assert_eq!(body_text(&[0xff, 0xfe]), "<2 bytes>");
        let long = shortened("é".repeat(MAX_SHOWN));
        assert!(long.len() < MAX_SHOWN + 60 && long.ends_with("<16384 bytes in all>"), "{long}");
    }
}
