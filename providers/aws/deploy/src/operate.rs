//! Calling a deployed app, asking how it is.

pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod versions;

use std::time::Instant;

use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types as lambda;
use bytes::Bytes;
use serde_json::Value;
use xcloud_core::event::{Batch, Incoming, RawMessage};
use xcloud_core::spec::HTTP_FUNCTION;
use xcloud_core::text::base64_encode;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Invoke, Invoked, Stage, Status};

use self::live::{Live, live, one};
use crate::Aws;
use crate::error::failed;
use crate::names::ALIAS;
use crate::observe::triggers::mapping_of;

/// Calls the alias with the caller's own credentials: a private function needs no open URL for that.
pub(crate) async fn invoke(aws: &Aws, stage: &Stage, call: Invoke) -> Result<Invoked> {
    let (session, names) = aws.session(stage).await?;
    let function = one(session, &names, &call.function).await?.resource;
    let is_http = call.function == HTTP_FUNCTION;
    let payload = if is_http { request(&call)? } else { event(session, &function, &call).await? };
    let started = Instant::now();
    let invoke = session.write.lambda().invoke().function_name(&function).qualifier(ALIAS);
    let answer = invoke.payload(Blob::new(payload)).send().await;
    let answer = answer.map_err(failed("lambda:InvokeFunction", &function))?;
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    let request_id = answer.request_id().map(str::to_owned);
    let failed = answer.function_error().is_some();
    let bytes = answer.payload.map(Blob::into_inner).unwrap_or_default();
    if is_http && !failed {
        let response = xcloud_aws::host::response(&bytes)?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
        return Ok(Invoked {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: value(response.body()),
            bytes: response.body().to_vec(),
            request_id,
            duration_ms,
        });
    }
    let body = value(&bytes);
    let partial = body["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty());
    let status = if failed || partial { 500 } else { 200 };
    Ok(Invoked { status, headers: Vec::new(), body, bytes, request_id, duration_ms })
}

/// JSON if it is, else text, base64 if it is neither.
fn value(body: &[u8]) -> Value {
    let text = || match std::str::from_utf8(body) {
        Ok(text) => text.into(),
        Err(_) => base64_encode(body).into(),
    };
    serde_json::from_slice(body).unwrap_or_else(|_| text())
}

/// A request as the function's URL writes it.
fn request(call: &Invoke) -> Result<Bytes> {
    let method = call.method.as_deref().unwrap_or(if call.data.is_empty() { "GET" } else { "POST" });
    let path = call.path.as_deref().unwrap_or("/");
    let mut request = http::Request::builder().method(method).uri(path);
    let has_type = call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    if !call.data.is_empty() && !has_type && serde_json::from_slice::<Value>(&call.data).is_ok() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Bytes::from(call.data.clone()));
    let request = request.map_err(|e| Error::new(ErrorKind::Config, format!("not a request: {e}")))?;
    xcloud_aws::host::payload("xcloud-invoke", "", Incoming::Http(request))
}

/// What an event function is called with: of a queue's, the data is a message; of another's, the event as AWS writes it.
async fn event(session: &crate::client::Session, function: &str, call: &Invoke) -> Result<Bytes> {
    let mappings = mapping_of(&session.read, function).await?;
    let queue = mappings.iter().filter_map(|m| m.event_source_arn()).find(|arn| arn.contains(":sqs:"));
    let Some(queue) = queue.and_then(|arn| arn.rsplit(':').next()) else {
        let data = if call.data.is_empty() { b"{}".as_slice() } else { &call.data };
        return Ok(Bytes::copy_from_slice(data));
    };
    let body = Bytes::from(call.data.clone());
    let message =
        RawMessage { id: "xcloud-invoke".to_owned(), body, attempt: Some(1), ..RawMessage::default() };
    xcloud_aws::host::payload("xcloud-invoke", queue, Incoming::Queue(Batch { messages: vec![message] }))
}

/// How every function is.
pub(crate) async fn status(aws: &Aws, stage: &Stage) -> Result<Vec<Status>> {
    let (session, names) = aws.session(stage).await?;
    let mut all = Vec::new();
    for function in live(session, &names).await? {
        all.push(one_status(session, function).await?);
    }
    Ok(all)
}

async fn one_status(session: &crate::client::Session, function: Live) -> Result<Status> {
    let mut url = None;
    if function.name == HTTP_FUNCTION {
        let asked = session.read.lambda().get_function_url_config();
        let asked = asked.function_name(&function.resource).qualifier(ALIAS).send().await;
        let asked =
            crate::error::optional(asked.map_err(failed("lambda:GetFunctionUrlConfig", &function.resource)))?;
        url = asked.map(|url| url.function_url.trim_end_matches('/').to_owned());
    }
    let serving = function.serving().map(|published| published.label.version());
    let config = function.config_serving();
    let state = config.and_then(|config| config.state()).map_or("Inactive", lambda::State::as_str);
    let state = if function.alias.is_none() { "not published".to_owned() } else { state.to_lowercase() };
    Ok(Status {
        provider: "aws".to_owned(),
        name: function.name,
        resource: function.resource,
        version: serving,
        url,
        healthy: function.alias.is_some() && state != "failed" && state != "pending",
        state,
    })
}
