//! A request as API Gateway writes it to Lambda: payload 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ::http::{HeaderMap, HeaderValue, Request, header};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use xcloud_core::text::{base64_encode, form_decode, rfc3339};

use super::records::{ACCOUNT, REGION};

const API: &str = "api-id";
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) fn event(id: &str, request: &Request<Bytes>) -> Value {
    let (uri, headers) = (request.uri(), request.headers());
    let cookies = headers.get_all(header::COOKIE).iter().map(text);
    let cookies: Vec<_> =
        cookies.flat_map(|c| c.split("; ").map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or(""),
        "cookies": cookies,
        "headers": joined(headers),
        "requestContext": context(id, request, SystemTime::now()),
        "isBase64Encoded": false,
    });
    // What the client did not send is left out.
    if let Some(parameters) = uri.query().and_then(parameters) {
        event["queryStringParameters"] = parameters;
    }
    match std::str::from_utf8(request.body()) {
        Ok("") => {}
        Ok(text) => event["body"] = text.into(),
        Err(_) => {
            event["body"] = base64_encode(request.body()).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Repeated headers become one, with commas.
fn joined(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != header::COOKIE) {
        append(all.entry(name.as_str()).or_default(), &text(value));
    }
    all
}

fn append(all: &mut String, next: &str) {
    *all = if all.is_empty() { next.to_owned() } else { format!("{all},{next}") };
}

/// The query decoded, repeated keys with commas: the function reads `rawQueryString`, which keeps them apart.
fn parameters(query: &str) -> Option<Value> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        append(all.entry(form_decode(name).into_owned()).or_default(), &form_decode(value));
    }
    let all: Map<String, Value> = all.into_iter().map(|(name, value)| (name, value.into())).collect();
    (!all.is_empty()).then_some(Value::Object(all))
}

fn context(id: &str, request: &Request<Bytes>, now: SystemTime) -> Value {
    let agent = request.headers().get(header::USER_AGENT).map(text).unwrap_or_default();
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    json!({
        "accountId": ACCOUNT, "apiId": API, "stage": "$default", "routeKey": "$default", "requestId": id,
        "domainName": format!("{API}.execute-api.{REGION}.amazonaws.com"), "domainPrefix": API,
        "time": common_log(now), "timeEpoch": u64::try_from(millis).unwrap_or(0),
        "http": {
            "method": request.method().as_str(), "path": request.uri().path(), "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1", "userAgent": agent
        },
    })
}

/// A time as in access logs: `12/Mar/2020:19:03:58 +0000`.
fn common_log(time: SystemTime) -> String {
    let text = rfc3339(time);
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month.and_then(|m| m.parse().ok()).and_then(|m: usize| MONTHS.get(m.checked_sub(1)?));
    let clock = clock.split(['.', 'Z']).next().unwrap_or_default();
    let (day, month, year) =
        (day.unwrap_or_default(), month.copied().unwrap_or_default(), year.unwrap_or_default());
    format!("{day}/{month}/{year}:{clock} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_access_logs() {
        let time = UNIX_EPOCH + Duration::from_millis(1_584_039_838_390);
        assert_eq!(common_log(time), "12/Mar/2020:19:03:58 +0000");
    }
}
