//! Outcome to wire: the answers that each front understands.
//!
//! Written straight into the buffer that is sent: a tree of values first would cost as much as the call's JSON.

use std::borrow::Cow;

use ::http::{HeaderMap, HeaderName, HeaderValue, header, response};
use serde::Serialize;
use xcloud_core::outcome::error_json;
use xcloud_core::text::base64_encode;
use xcloud_core::{BatchOutcome, Error};
use xcloud_serve::records::Failure;

use crate::decode::Origin;

/// A buffered HTTP answer. A body that is text travels as text, anything else in base64.
pub fn http(origin: Origin, parts: &response::Parts, body: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(body.len() + ROOM);
    status(parts, out);
    match origin {
        Origin::V2 => {
            single(&parts.headers, |name| name != header::SET_COOKIE, out);
            // `cargo lambda watch` refuses an answer without one of these two, if empty; lambda_http sends both.
            out.extend_from_slice(b",\"multiValueHeaders\":{}");
            cookies(&parts.headers, out);
        }
        Origin::V1 | Origin::Alb { multi: true } => multiple(&parts.headers, out),
        Origin::Alb { multi: false } => single(&parts.headers, |_| true, out),
    }
    if matches!(origin, Origin::Alb { .. }) {
        out.extend_from_slice(b",\"statusDescription\":");
        json(&parts.status.to_string(), out);
    }
    let plain = !parts.headers.contains_key(header::CONTENT_ENCODING);
    out.extend_from_slice(b",\"body\":");
    match std::str::from_utf8(body) {
        Ok(text) if plain => {
            json(text, out);
            out.extend_from_slice(b",\"isBase64Encoded\":false}");
        }
        _ => {
            out.push(b'"');
            out.extend_from_slice(base64_encode(body).as_bytes());
            out.extend_from_slice(b"\",\"isBase64Encoded\":true}");
        }
    }
}

/// What an answer has beside its body, most times.
const ROOM: usize = 256;

/// Before a streamed body: status, headers and cookies.
pub fn prelude(parts: &response::Parts) -> Vec<u8> {
    let mut out = Vec::with_capacity(ROOM);
    status(parts, &mut out);
    // The length is the stream's; one in the prelude breaks clients of emulators that pass it on.
    single(&parts.headers, |name| name != header::CONTENT_LENGTH && name != header::SET_COOKIE, &mut out);
    cookies(&parts.headers, &mut out);
    out.push(b'}');
    out.extend_from_slice(&[0; 8]);
    out
}

/// Opens the answer.
fn status(parts: &response::Parts, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"statusCode\":");
    out.extend_from_slice(parts.status.as_str().as_bytes());
}

fn cookies(headers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"cookies\":[");
    for (at, cookie) in headers.get_all(header::SET_COOKIE).iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json(&text(cookie), out);
    }
    out.push(b']');
}

/// Repeated headers joined: a map has one value a name.
fn single(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"headers\":");
    let names = headers.keys().filter(|name| wanted(name));
    map(names, out, |name, out| {
        let mut values = headers.get_all(name).iter().map(text);
        let first = values.next().unwrap_or_default();
        let all = values.fold(first, |all, value| format!("{all}, {value}").into());
        json(&all, out);
    });
}

fn multiple(headers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"multiValueHeaders\":");
    map(headers.keys(), out, |name, out| {
        let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
        json(&values, out);
    });
}

fn map<'a>(
    names: impl Iterator<Item = &'a HeaderName>,
    out: &mut Vec<u8>,
    value: impl Fn(&HeaderName, &mut Vec<u8>),
) {
    out.push(b'{');
    for (at, name) in names.enumerate() {
        // Nothing in a name is escaped.
        out.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"\":");
        value(name, out);
    }
    out.push(b'}');
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// Texts, lists of them, and numbers: none can fail, and the buffer takes everything.
fn json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    drop(serde_json::to_writer(out, value));
}

/// Which record of a stream failed first: it and all after it come again. An answer that names none is success.
pub fn stream(failures: &[Failure], out: &mut Vec<u8>) {
    let failed = failures.first().and_then(|failure| failure.position.as_deref());
    failed_items(failed.into_iter(), out);
}

/// The partial batch response: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.
pub fn batch(outcome: &BatchOutcome, out: &mut Vec<u8>) {
    failed_items(outcome.failed().iter().map(|(id, _)| id.as_str()), out);
}

fn failed_items<'a>(ids: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(b"{\"batchItemFailures\":[");
    for (at, id) in ids.enumerate() {
        out.extend_from_slice(if at > 0 { b",{\"itemIdentifier\":" } else { b"{\"itemIdentifier\":" });
        json(id, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// The body of a reported error. The caller of a function is who may invoke it, not an HTTP client: it gets the
/// message where the error is one for callers, and the log has the rest.
pub fn failure(error: &Error) -> Vec<u8> {
    error_json(error.public_message(), &error_type(error)).into_bytes()
}

/// The error's kind as Lambda takes it: `(Runtime|Function)\.[A-Z][a-zA-Z]+`.
pub fn error_type(error: &Error) -> String {
    format!("Function.{}", error.kind().name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::Response;
    use serde_json::{Value, json};

    fn written(origin: Origin, parts: &response::Parts, body: &[u8]) -> Value {
        let mut out = b"what was sent before".to_vec();
        http(origin, parts, body, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    fn answer(origin: Origin, body: &[u8]) -> Value {
        let response = Response::builder()
            .status(201)
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("x-multi", "p")
            .header("x-multi", "q")
            .body(())
            .unwrap();
        written(origin, &response.into_parts().0, body)
    }

    #[test]
    fn repeated_headers_and_cookies_survive_every_front() {
        let v2 = answer(Origin::V2, b"hi");
        assert_eq!(v2["cookies"], json!(["a=1", "b=2"]));
        assert_eq!(v2["headers"], json!({ "x-multi": "p, q" }));
        let all = json!({ "set-cookie": ["a=1", "b=2"], "x-multi": ["p", "q"] });
        for origin in [Origin::V1, Origin::Alb { multi: true }] {
            assert_eq!(answer(origin, b"hi")["multiValueHeaders"], all);
        }
        let alb = answer(Origin::Alb { multi: false }, b"hi");
        assert_eq!((&alb["statusDescription"], &alb["statusCode"]), (&json!("201 Created"), &json!(201)));
        assert_eq!(alb["headers"]["x-multi"], "p, q");
    }

    #[test]
    fn text_is_text_and_bytes_are_base64() {
        let text = answer(Origin::V2, b"dGVzdA==");
        assert_eq!((&text["body"], &text["isBase64Encoded"]), (&json!("dGVzdA=="), &json!(false)));
        let bytes = answer(Origin::V2, &[0xff, 0]);
        assert_eq!((&bytes["body"], &bytes["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
        let mut packed = Response::new(());
        packed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        let packed = written(Origin::V2, &packed.into_parts().0, b"text");
        assert_eq!(packed["isBase64Encoded"], true);
    }

    #[test]
    fn the_prelude_ends_with_eight_nuls_and_has_no_length() {
        let response = Response::builder().header("content-length", "3").header("a", "b").body(()).unwrap();
        let bytes = prelude(&response.into_parts().0);
        let (json, nuls) = bytes.split_at(bytes.len() - 8);
        assert_eq!(nuls, [0; 8]);
        assert_eq!(
            serde_json::from_slice::<Value>(json).unwrap(),
            json!({ "statusCode": 200, "headers": { "a": "b" }, "cookies": [] })
        );
    }

    #[test]
    fn error_types_are_those_that_lambda_takes() {
        assert_eq!(error_type(&Error::bad_request("x")), "Function.BadRequest");
    }
}
