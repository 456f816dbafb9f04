//! Outcome to wire: the answers that each front understands.

use ::http::{HeaderMap, header, response};
use serde_json::{Map, Value, json};
use xcloud_core::text::base64_encode;
use xcloud_core::{BatchOutcome, Error};
use xcloud_serve::records::Failure;

use crate::decode::Origin;

/// A buffered HTTP answer. A body that is text travels as text, anything else in base64.
pub fn http(origin: Origin, parts: &response::Parts, body: &[u8]) -> Vec<u8> {
    let plain = !parts.headers.contains_key(header::CONTENT_ENCODING);
    let (text, base64) = match std::str::from_utf8(body) {
        Ok(text) if plain => (text.to_owned(), false),
        _ => (base64_encode(body), true),
    };
    let mut answer = match origin {
        Origin::V2 => v2(parts),
        Origin::V1 => json!({ "multiValueHeaders": multi(&parts.headers) }),
        Origin::Alb { multi: true } => json!({ "multiValueHeaders": multi(&parts.headers) }),
        Origin::Alb { multi: false } => json!({ "headers": single(&parts.headers, |_| true) }),
    };
    if matches!(origin, Origin::Alb { .. }) {
        answer["statusDescription"] = parts.status.to_string().into();
    }
    answer["statusCode"] = parts.status.as_u16().into();
    answer["body"] = text.into();
    answer["isBase64Encoded"] = base64.into();
    answer.to_string().into_bytes()
}

/// Before a streamed body: status, headers and cookies.
pub fn prelude(parts: &response::Parts) -> Vec<u8> {
    let mut head = v2(parts);
    head["statusCode"] = parts.status.as_u16().into();
    // The length is the stream's; one in the prelude breaks clients of emulators that pass it on.
    if let Some(headers) = head["headers"].as_object_mut() {
        headers.remove("content-length");
    }
    let mut bytes = head.to_string().into_bytes();
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

/// Cookies apart, other repeated headers joined: a map has one value a name.
fn v2(parts: &response::Parts) -> Value {
    let cookies = parts.headers.get_all(header::SET_COOKIE).iter();
    let cookies: Vec<_> = cookies.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect();
    let headers = single(&parts.headers, |name| name != header::SET_COOKIE);
    if cookies.is_empty() {
        json!({ "headers": headers })
    } else {
        json!({ "headers": headers, "cookies": cookies })
    }
}

fn single(headers: &HeaderMap, wanted: impl Fn(&header::HeaderName) -> bool) -> Map<String, Value> {
    let names = headers.keys().filter(|name| wanted(name));
    names.map(|name| (name.as_str().to_owned(), values(headers, name).join(", ").into())).collect()
}

fn multi(headers: &HeaderMap) -> Map<String, Value> {
    headers.keys().map(|name| (name.as_str().to_owned(), values(headers, name).into())).collect()
}

fn values(headers: &HeaderMap, name: &header::HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect()
}

/// Which record of a stream failed first: it and all after it come again. An answer that names none is success.
pub fn stream(failures: &[Failure]) -> Vec<u8> {
    let failed = failures.first().and_then(|failure| failure.position.as_deref());
    let failed: Vec<Value> =
        failed.map(|position| json!({ "itemIdentifier": position })).into_iter().collect();
    json!({ "batchItemFailures": failed }).to_string().into_bytes()
}

/// The partial batch response: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.
pub fn batch(outcome: &BatchOutcome) -> Vec<u8> {
    let failed = outcome.failed().iter().map(|(id, _)| json!({ "itemIdentifier": id })).collect::<Vec<_>>();
    json!({ "batchItemFailures": failed }).to_string().into_bytes()
}

/// The body of a reported error. The caller of a function is who may invoke it, not an HTTP client: it gets the
/// message where the error is one for callers, and the log has the rest.
pub fn failure(error: &Error) -> Vec<u8> {
    json!({ "errorMessage": error.public_message(), "errorType": error_type(error), "stackTrace": [] })
        .to_string()
        .into_bytes()
}

/// The error's kind as Lambda takes it: `(Runtime|Function)\.[A-Z][a-zA-Z]+`.
pub fn error_type(error: &Error) -> String {
    format!("Function.{}", error.kind().name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::Response;

    fn answer(origin: Origin, body: &[u8]) -> Value {
        let response = Response::builder()
            .status(201)
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("x-multi", "p")
            .header("x-multi", "q")
            .body(())
            .unwrap();
        serde_json::from_slice(&http(origin, &response.into_parts().0, body)).unwrap()
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
        let packed: Value =
            serde_json::from_slice(&http(Origin::V2, &packed.into_parts().0, b"text")).unwrap();
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
            json!({ "statusCode": 200, "headers": { "a": "b" } })
        );
    }

    #[test]
    fn error_types_are_those_that_lambda_takes() {
        assert_eq!(error_type(&Error::bad_request("x")), "Function.BadRequest");
    }
}
