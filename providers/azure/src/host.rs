//! The Functions host's side of the wire, a simulator of ours transcribed from azure-functions-host@89dc438
//! (`DefaultHttpWorkerService.cs`, `ScriptInvocationContextExtensions.cs`) and from the extensions' sources that
//! `host/records.rs` names: no real host can be had here.

mod records;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use serde_json::Value;
use xcloud_core::event::{Batch, Incoming, Record};
use xcloud_core::spec::Spec;
use xcloud_core::{Body, BoxFuture, Error, ErrorKind, Result};
use xcloud_serve::host::{
    Address, Delivery, Host, Launch, Process, Tap, describe, forward, free_port, request_text, until,
};
use xcloud_serve::parts::request_id;

use crate::binding;

/// `customHandler.initializationTimeout`, default 30 s.
const STARTUP: Duration = Duration::from_secs(30);
/// What a deployer would have drawn at random.
const SUFFIX: &str = "5d1f0c9ab8e74263";

struct Functions {
    process: Process,
    address: Address,
    root: PathBuf,
    tap: Tap,
}

/// Writes an app root for the program's functions, starts it there, and pings until it answers.
///
/// # Errors
/// When it ends, or does not answer in time, with what it wrote.
pub async fn start(launch: Launch) -> Result<Box<dyn Host>> {
    let spec = describe(&launch.program).await?;
    let root = std::env::temp_dir().join(format!("xcloud-azure-{}", request_id()));
    write_app(&root, &spec)?;
    let port = free_port()?;
    let env = [
        (binding::PORT, port.to_string()),
        ("FUNCTIONS_HTTPWORKER_PORT", port.to_string()),
        ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", request_id()),
        (binding::APP_ROOT, root.display().to_string()),
        (binding::REGION, "West Europe".to_owned()),
        (xcloud_core::env::TIMEOUT, launch.timeout.as_secs_f64().to_string()),
    ];
    let process = Process::spawn(&launch, &env)?;
    let host = Functions { process, address: Address::Port(port), root, tap: launch.tap };
    let ping = || async { forward(&host.address, Request::new(Bytes::new())).await.is_ok() };
    until(STARTUP, &host.process, ping).await?;
    Ok(Box::new(host))
}

fn write_app(root: &Path, spec: &Spec) -> Result<()> {
    std::fs::create_dir_all(root)?;
    std::fs::write(root.join("host.json"), binding::host_json().to_string())?;
    for function in &spec.functions {
        let Some(json) = binding::function_json(function)? else { continue };
        let folder = root.join(binding::function_folder(function, SUFFIX));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("function.json"), json.to_string())?;
    }
    Ok(())
}

impl Drop for Functions {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.root));
    }
}

/// A request with the host's own headers.
fn stamp(id: &str, mut request: Request<Bytes>) -> Result<Request<Bytes>> {
    let id = HeaderValue::from_str(id).map_err(Error::from)?;
    request.headers_mut().insert(binding::INVOCATION_HEADER, id);
    request.headers_mut().insert("x-azure-functions-hostversion", HeaderValue::from_static("4.1037.0.0"));
    Ok(request)
}

/// The request that hands one envelope to the function in this folder.
fn deliver(id: &str, folder: &str, envelope: &Value) -> Result<Request<Bytes>> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/{folder}"))
        .header("content-type", "application/json; charset=utf-8")
        .header("user-agent", "Azure-Functions-Host/4.1037.0.0")
        .body(Bytes::from(envelope.to_string()))
        .map_err(Error::from)?;
    stamp(id, request)
}

fn folder(function: &str) -> String {
    format!("{function}-{SUFFIX}")
}

fn no_raw() -> Error {
    Error::new(ErrorKind::Unsupported, "Azure Functions has no trigger for raw events")
}

/// An event as it goes over the wire: each message and each other event is a request.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a raw event, and one that Azure does not send.
pub fn requests(id: &str, function: &str, event: Incoming) -> Result<Vec<Request<Bytes>>> {
    let folder = folder(function);
    let envelopes = match event {
        Incoming::Http(request) => return Ok(vec![stamp(id, request)?]),
        Incoming::Queue(batch) => batch.messages.iter().map(|m| records::queue(&folder, m)).collect(),
        Incoming::Record(record) => vec![records::envelope(&folder, &record)?],
        _ => return Err(no_raw()),
    };
    envelopes.iter().map(|envelope| deliver(id, &folder, envelope)).collect()
}

/// The [`requests`] with their secrets taken out: what `xcloud invoke --example` shows.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a raw event, and one that Azure does not send.
pub fn wire_form(id: &str, function: &str, _: &str, event: Incoming) -> Result<String> {
    Ok(requests(id, function, event)?.iter().map(request_text).collect::<Vec<_>>().join("\n\n"))
}

impl Host for Functions {
    /// Proxied: method, path, query, headers and body as they came, the host's own headers added.
    fn http_as<'a>(&'a self, id: &'a str, request: Request<Bytes>) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(async move { self.tap.pass(id, &self.address, stamp(id, request)?).await })
    }

    fn queue_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        _: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let folder = folder(function);
            for message in &batch.messages {
                let request = deliver(id, &folder, &records::queue(&folder, message))?;
                let answer = self.tap.forward(id, &self.address, request).await?;
                if let Err(why) = result(&answer) {
                    return Ok(Delivery::RetryAll(why));
                }
            }
            Ok(Delivery::Done)
        })
    }

    fn raw_as<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Bytes,
    ) -> BoxFuture<'a, Result<Result<Bytes, String>>> {
        Box::pin(async { Err(no_raw()) })
    }

    fn record_as<'a>(
        &'a self,
        id: &'a str,
        function: &'a str,
        record: Record,
    ) -> BoxFuture<'a, Result<Delivery>> {
        Box::pin(async move {
            let folder = folder(function);
            let request = deliver(id, &folder, &records::envelope(&folder, &record)?)?;
            let answer = self.tap.forward(id, &self.address, request).await?;
            Ok(result(&answer).map_or_else(Delivery::RetryAll, |()| Delivery::Done))
        })
    }

    fn one_by_one(&self) -> bool {
        true
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn stop(&self) -> BoxFuture<'_, Result<ExitStatus>> {
        Box::pin(async move { Ok(self.process.kill().await) })
    }
}

/// `JsonConvert.SerializeObject(string)`, as the host unit test `GetHttpScriptInvocationContextValueTest_String` has it.
pub fn serialised(text: &str) -> Value {
    Value::String(Value::from(text).to_string())
}

/// What the host makes of an answer: a 2xx with a JSON body, else a failure.
///
/// # Errors
/// Why the invocation failed.
pub fn result(answer: &Response<Bytes>) -> Result<(), String> {
    if !answer.status().is_success() {
        return Err(format!("{}: {}", answer.status(), String::from_utf8_lossy(answer.body())));
    }
    let media = answer.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("");
    if !media.starts_with("application/json") {
        return Err(format!("no MediaTypeFormatter is available to read content with media type '{media}'"));
    }
    serde_json::from_slice::<Value>(answer.body()).map(drop).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// azure-functions-host@89dc438, test/WebJobs.Script.Tests/Workers/Http/ScriptInvocationContextExtensionsTests.cs.
    #[test]
    fn strings_are_serialised_as_the_host_does() {
        assert_eq!(serialised("stringTest"), json!("\"stringTest\""));
    }
}
