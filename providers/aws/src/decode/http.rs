//! HTTP requests of API Gateway, function URLs and load balancers.

use std::fmt::Write;

use ::http::{HeaderName, HeaderValue, Request, header};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use xcloud_core::Result;
use xcloud_core::text::percent_encode;

use super::text::{Pairs, Text};
use super::{Origin, bad, body};

/// What any payload may hold of a request; `null` and absent are the same.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire<'a> {
    #[serde(borrow, default)]
    version: Option<Text<'a>>,
    #[serde(borrow, default)]
    raw_path: Option<Text<'a>>,
    #[serde(borrow, default)]
    raw_query_string: Option<Text<'a>>,
    #[serde(borrow, default)]
    cookies: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    headers: Option<Pairs<'a>>,
    #[serde(borrow, default)]
    multi_value_headers: Option<Pairs<'a>>,
    #[serde(borrow, default)]
    query_string_parameters: Option<Pairs<'a>>,
    #[serde(borrow, default)]
    multi_value_query_string_parameters: Option<Pairs<'a>>,
    #[serde(borrow, default)]
    path: Option<Text<'a>>,
    #[serde(borrow, default)]
    http_method: Option<Text<'a>>,
    #[serde(default)]
    resource: Option<IgnoredAny>,
    /// Only questions to an authorizer have one of these two.
    #[serde(default)]
    route_arn: Option<IgnoredAny>,
    #[serde(default)]
    method_arn: Option<IgnoredAny>,
    #[serde(borrow, default)]
    request_context: Option<Context<'a>>,
    #[serde(borrow, default)]
    body: Option<Text<'a>>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
    #[serde(rename = "Records", borrow, default)]
    records: Option<Vec<Source<'a>>>,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow, default)]
    http: Option<Http<'a>>,
    #[serde(default)]
    elb: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Http<'a> {
    #[serde(borrow)]
    method: Text<'a>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(rename = "eventSource", borrow, default)]
    source: Option<Text<'a>>,
}

impl Wire<'_> {
    /// Where it came from, if it is a request.
    pub(super) fn origin(&self) -> Option<Origin> {
        // It looks like the request that it asks about; answering it as one would let everybody in or nobody.
        if self.route_arn.is_some() || self.method_arn.is_some() {
            return None;
        }
        let context = self.request_context.as_ref()?;
        if context.http.is_some() && self.version.as_deref() == Some("2.0") && self.raw_path.is_some() {
            return Some(Origin::V2);
        }
        self.http_method.as_ref()?;
        self.path.as_ref()?;
        if context.elb.is_some() {
            return Some(Origin::Alb { multi: self.multi_value_headers.is_some() });
        }
        self.resource.is_some().then_some(Origin::V1)
    }

    pub(super) fn is_sqs(&self) -> bool {
        let first = self.records.as_ref().and_then(|records| records.first());
        first.is_some_and(|record| record.source.as_deref() == Some("aws:sqs"))
    }

    /// The request.
    pub(super) fn request(self, origin: Origin) -> Result<Request<Bytes>> {
        let context = self.request_context.and_then(|c| c.http);
        let method = context.map(|http| http.method).or(self.http_method).unwrap_or_default();
        let path = self.raw_path.or(self.path).unwrap_or_default();
        let mut target = allowed(if path.is_empty() { "/" } else { &path }, b"?#");
        let pairs = self.multi_value_query_string_parameters.or(self.query_string_parameters);
        let query = match origin {
            Origin::V2 => allowed(self.raw_query_string.as_deref().unwrap_or(""), b"#"),
            // These are decoded by the gateway, those of a load balancer are not.
            Origin::V1 => query(pairs, percent_encode),
            Origin::Alb { .. } => query(pairs, |text| allowed(text, b"#&")),
        };
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        let mut request = Request::builder()
            .method(method.as_bytes())
            .uri(target)
            .body(body(self.body.map(|text| text.0), self.is_base64_encoded.unwrap_or(false))?)
            .map_err(|e| bad(format!("the payload is no request: {e}")))?;
        let headers = request.headers_mut();
        let mut add = |name: &str, value: &str| {
            // A front lets nothing else through; what cannot be a header is none.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        };
        let pairs = self.multi_value_headers.or(self.headers).unwrap_or_default();
        pairs.0.iter().for_each(|(name, value)| add(name, value));
        if let Some(cookies) = self.cookies.filter(|c| !c.is_empty()) {
            let cookies: Vec<&str> = cookies.iter().map(|cookie| &**cookie).collect();
            add(header::COOKIE.as_str(), &cookies.join("; "));
        }
        Ok(request)
    }
}

fn query(pairs: Option<Pairs<'_>>, write: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for (name, value) in pairs.unwrap_or_default().0 {
        let and = if text.is_empty() { "" } else { "&" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{and}{}={}", write(&name), write(&value));
    }
    text
}

/// Text as part of a request target: what a URI may not hold is percent-encoded, escapes stay as they are. Gateways
/// decode some paths and leave others.
fn allowed(text: &str, forbidden: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let fine = byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) && !forbidden.contains(&byte);
        if fine {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
