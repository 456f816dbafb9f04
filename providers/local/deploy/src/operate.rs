//! Calling a deployed app, reading its logs, asking how it is.

use std::time::{Duration, Instant};

use serde_json::Value;
use xcloud_core::spec::HTTP_FUNCTION;
use xcloud_core::text::{base64_encode, percent_encode, rfc3339};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Invoke, Invoked, LogLine, LogQuery, Metrics, MetricsQuery, Stage, Status, Take};
use xcloud_local::binding::ID_HEADER;
use xcloud_serve::Client;
use xcloud_serve::client::Address;

use crate::Local;
use crate::client::app_path;
use crate::host::api::{AppView, EventAnswer, FunctionView, app_key};
use crate::host::follow::Follower;
use crate::observe::url;

/// Above what the host itself waits: the longest timeout is the user's.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) async fn invoke(local: &Local, stage: &Stage, call: Invoke) -> Result<Invoked> {
    let view = local.view(stage).await?;
    let known: Vec<_> = view.functions.iter().map(|f| f.name.as_str()).collect();
    if !known.contains(&call.function.as_str()) {
        let message = format!("no function `{}` is deployed; there is {}", call.function, known.join(", "));
        return Err(Error::not_found(message));
    }
    if call.function == HTTP_FUNCTION {
        return request(&view, call).await;
    }
    let path = app_path(&app_key(stage)?, &format!("/functions/{}/invoke", percent_encode(&call.function)));
    let started = Instant::now();
    let reply = local.control.send("POST", &path, &call.data).await?;
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    let answer: EventAnswer = serde_json::from_slice(&reply.body)
        .map_err(|e| Error::unavailable(format!("the local host's answer is not understood: {e}")))?;
    let (status, body) = match answer.error {
        None => (200, answer.body.unwrap_or(Value::Null)),
        Some(error) => (500, serde_json::json!({ "error": error })),
    };
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request_id = Some(answer.request_id);
    Ok(Invoked { status, headers: Vec::new(), body, bytes, request_id, duration_ms })
}

async fn request(view: &AppView, call: Invoke) -> Result<Invoked> {
    let port = view.port.ok_or_else(|| Error::not_found("the app has no port"))?;
    let mut client = Client::new(Address::Tcp { host: "127.0.0.1".to_owned(), port });
    let method = call.method.unwrap_or_else(|| if call.data.is_empty() { "GET" } else { "POST" }.to_owned());
    let path = call.path.unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') {
        return Err(Error::new(ErrorKind::Config, format!("the path {path:?} does not begin with `/`")));
    }
    let has_type = call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let is_json =
        !call.data.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(&call.data).is_ok();
    let mut headers: Vec<_> = call.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    if is_json && !has_type {
        headers.push(("content-type", "application/json"));
    }
    let started = Instant::now();
    let reply = tokio::time::timeout(PATIENCE, client.request(&method, &path, &headers, &call.data))
        .await
        .map_err(|_| Error::new(ErrorKind::Timeout, "the app did not answer"))??;
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    let headers = reply.headers.iter().map(|(n, v)| (n.to_owned(), String::from_utf8_lossy(v).into_owned()));
    Ok(Invoked {
        status: reply.status,
        headers: headers.collect(),
        request_id: reply.headers.get(ID_HEADER).map(str::to_owned),
        body: value(&reply.body),
        bytes: reply.body.to_vec(),
        duration_ms,
    })
}

/// JSON if it is, else text, base64 if it is neither.
fn value(body: &[u8]) -> Value {
    if let Ok(json) = serde_json::from_slice(body) {
        return json;
    }
    match std::str::from_utf8(body) {
        Ok(text) => text.into(),
        Err(_) => base64_encode(body).into(),
    }
}

/// How long new lines may wait to be seen.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn logs(local: &Local, stage: &Stage, query: LogQuery) -> Result<Vec<LogLine>> {
    local.deployed(stage)?;
    let mut parameters = Vec::new();
    parameters.extend(query.function.map(|name| format!("function={}", percent_encode(&name))));
    parameters.extend(query.limit.map(|limit| format!("limit={limit}")));
    parameters.extend(query.since.map(|time| format!("since={}", rfc3339(time))));
    parameters.extend(query.request.map(|id| format!("request={}", percent_encode(&id))));
    let path = app_path(&app_key(stage)?, &format!("/logs?{}", parameters.join("&")));
    local.control.get(&path).await
}

/// The host is asked once, which says whether there is such a function, and starts it if it had ended. Then the files
/// are read: they outlive it.
pub(crate) async fn follow(local: &Local, stage: &Stage, query: LogQuery, take: &mut Take<'_>) -> Result<()> {
    logs(local, stage, LogQuery { limit: Some(0), ..query.clone() }).await?;
    let directory = local.control.paths.app(&app_key(stage)?).join("logs");
    let mut follower = Follower::new(directory, query);
    loop {
        follower.poll().map_err(crate::error::io("cannot read the logs"))?.into_iter().for_each(&mut *take);
        tokio::time::sleep(LOOK).await;
    }
}

pub(crate) async fn metrics(local: &Local, stage: &Stage, query: &MetricsQuery) -> Result<Metrics> {
    local.deployed(stage)?;
    let mut parameters = vec![format!("invocations={}", query.invocations)];
    parameters.extend(query.function.iter().map(|name| format!("function={}", percent_encode(name))));
    let path = app_path(&app_key(stage)?, &format!("/metrics?{}", parameters.join("&")));
    local.control.get(&path).await
}

pub(crate) async fn status(local: &Local, stage: &Stage) -> Result<Vec<Status>> {
    let view = local.view(stage).await?;
    let status = |function: &FunctionView| Status {
        provider: "local".to_owned(),
        name: function.name.clone(),
        resource: format!("{}-{}-{}", stage.project, stage.stage, function.name),
        version: Some(format!("v{}", function.version)),
        url: url(&view).filter(|_| function.name == HTTP_FUNCTION),
        state: state(&view, function),
        healthy: function.healthy && trouble(&view, &function.name).is_none(),
    };
    Ok(view.functions.iter().map(status).collect())
}

fn state(view: &AppView, function: &FunctionView) -> String {
    match trouble(view, &function.name) {
        Some(why) => format!("failed: {why}"),
        None => format!("{}{}", function.state, messages(view, &function.name)),
    }
}

/// Why a function cannot do its work, though its process may be well: it needs files that cannot be used.
fn trouble<'a>(view: &'a AppView, function: &str) -> Option<&'a str> {
    let function = view.manifest.iter().flat_map(|m| &m.functions).find(|f| f.name == function)?;
    let is_queue = matches!(function.trigger, xcloud_core::spec::TriggerSpec::Queue { .. });
    let needs = is_queue || !function.sends.is_empty() || !function.tables.is_empty();
    view.trouble.as_deref().filter(|_| needs)
}

/// `, 3 waiting, 1 dead-lettered` for a queue function, where there are any.
fn messages(view: &AppView, function: &str) -> String {
    use xcloud_core::spec::TriggerSpec;
    let functions = view.manifest.iter().flat_map(|m| &m.functions);
    let queue = functions.filter(|f| f.name == function).find_map(|f| match &f.trigger {
        TriggerSpec::Queue { queue, .. } => view.queues.iter().find(|q| q.name == *queue),
        _ => None,
    });
    let Some(queue) = queue else { return String::new() };
    let counts = [(queue.waiting, "waiting"), (queue.dead, "dead-lettered")];
    counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect()
}
