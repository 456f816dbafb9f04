//! What goes over a wire as text, without its secrets, for whoever looks.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use xcloud_core::{Body, Result};

use super::wire::{Address, collect, forward, stream};

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

    /// [`stream`], with both ways shown.
    ///
    /// # Errors
    /// As [`stream`].
    pub async fn pass(&self, id: &str, address: &Address, request: Request<Bytes>) -> Result<Response<Body>> {
        self.see(id, Way::In, || request_text(&request));
        self.answer(id, stream(address, request).await?).await
    }

    /// Shows an answer. One whose length is known is read for it, if anybody looks; of a longer one its head is shown.
    ///
    /// # Errors
    /// When its body breaks off.
    pub async fn answer(&self, id: &str, response: Response<Body>) -> Result<Response<Body>> {
        if self.0.is_none() {
            return Ok(response);
        }
        let length = http_body::Body::size_hint(response.body()).exact();
        if length.is_some_and(|length| length <= MAX_READ) {
            let response = collect(response).await?;
            self.see(id, Way::Out, || response_text(&response));
            return Ok(response.map(Body::from));
        }
        let (parts, body) = response.into_parts();
        let head = Response::from_parts(parts, Bytes::new());
        self.see(id, Way::Out, || response_text(&head) + "\n\n<a body that is passed on as it comes>");
        Ok(Response::from_parts(head.into_parts().0, body))
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

/// The largest body that is read to be shown.
const MAX_READ: u64 = 1024 * 1024;
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
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;
    use http_body::Frame;
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

    /// Pieces as a test sends them.
    struct Pieces(tokio::sync::mpsc::UnboundedReceiver<&'static str>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
        }
    }

    #[tokio::test]
    async fn an_answer_comes_piece_by_piece_also_when_somebody_looks() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = Address::Port(listener.local_addr().unwrap().port());
        let (pieces, receiver) = tokio::sync::mpsc::unbounded_channel();
        let body = std::sync::Mutex::new(Some(Body::from_http_body(Pieces(receiver))));
        let server = tokio::spawn(async move {
            let answer =
                move |_| std::future::ready(Response::new(body.lock().unwrap().take().unwrap_or_default()));
            drop(
                crate::Server::new()
                    .run(crate::Listener::Tcp(listener), answer, std::future::pending())
                    .await,
            );
        });
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let tap = Tap::new(move |_, way, text| kept.lock().unwrap().push((way, text)));
        pieces.send("one").unwrap();
        let request = Request::get("/").body(Bytes::new()).unwrap();
        let mut body = tap.pass("id", &address, request).await.unwrap().into_body();
        let mut next = async || {
            let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await;
            frame.map(|frame| frame.unwrap().into_data().unwrap())
        };
        // The second piece is sent only after the first has come.
        assert_eq!(next().await.unwrap(), "one");
        pieces.send("two").unwrap();
        assert_eq!(next().await.unwrap(), "two");
        drop(pieces);
        assert_eq!(next().await, None);
        let seen = seen.lock().unwrap();
        assert!(seen.len() == 2 && seen[1].1.ends_with("passed on as it comes>"), "{seen:?}");
        server.abort();
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
