//! `xcloud invoke`

mod example;

use std::io::Read;

#[cfg(feature = "local")]
use serde_json::json;
use xcloud_core::spec::{HTTP_FUNCTION, Spec};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Invoke;
#[cfg(feature = "local")]
use xcloud_serve::parts::request_id;

use super::{Operated, Project};
use crate::args::{self, Args};
use crate::exit;
use crate::printer::{Done, Printer};
#[cfg(feature = "local")]
use crate::registry;

/// Calls a function; on stdout is what it answered.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Invoke,
    printer: &Printer,
) -> Result<Done> {
    let mut call = Invoke {
        function: options.function.clone().unwrap_or_default(),
        data: data(options.data.as_deref())?,
        method: options.method.clone(),
        path: options.path.clone(),
        headers: options.headers.iter().map(|h| header(h)).collect::<Result<_>>()?,
    };
    let at = project.operated(args).await?;
    if let Some(kind) = options.example {
        let spec = at.spec(project)?;
        call = example::complete(kind, &spec, call)?;
        if let Some(done) = form(options, &call, &spec, &at, printer)? {
            return Ok(done);
        }
    }
    let answer = at.provider.invoke(&project.stage, call.clone()).await?;
    let message = format!("{} answered {}", call.function, answer.status);
    let mut text = answer.bytes.clone();
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    let mut done = Done::new(message, serde_json::to_value(&answer)?, text);
    // A request that got its answer is a success, whatever the answer; an event that failed is not.
    if call.function != HTTP_FUNCTION && answer.status >= 400 {
        done.code = exit::FAILED;
    }
    Ok(done)
}

/// With `--as` the event in that cloud's form. Where `dev --as` runs it is shown and then sent over that wire; elsewhere it
/// is the result: nothing speaks that wire.
#[cfg(feature = "local")]
fn form(
    options: &args::Invoke,
    call: &Invoke,
    spec: &Spec,
    at: &Operated,
    printer: &Printer,
) -> Result<Option<Done>> {
    let Some(cloud) = &options.cloud else { return Ok(None) };
    let (_, wire_form) = registry::host(cloud)?;
    let (queue, event) = example::event(call, spec)?;
    let text = wire_form(&request_id(), &call.function, &queue, event)?;
    let speaks = at.dev.as_ref().map(|dev| dev.cloud.as_deref());
    if speaks == Some(Some(cloud)) {
        printer.note(&text);
        return Ok(None);
    }
    let message = format!("not sent: only `xcloud dev --as {cloud}` speaks this wire");
    printer.note(&message);
    let data = json!({ "as": cloud, "function": call.function, "event": text });
    Ok(Some(Done::new(message, data, format!("{text}\n"))))
}

#[cfg(not(feature = "local"))]
fn form(_: &args::Invoke, _: &Invoke, _: &Spec, _: &Operated, _: &Printer) -> Result<Option<Done>> {
    Ok(None)
}

pub(super) fn data(data: Option<&str>) -> Result<Vec<u8>> {
    match data {
        None => Ok(Vec::new()),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        Some(text) => match text.strip_prefix('@') {
            Some(file) => std::fs::read(file)
                .map_err(|e| Error::new(ErrorKind::Config, format!("cannot read {file}: {e}")).caused_by(e)),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

fn header(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once(':').ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("-H {text:?} is not of the form `name: value`"))
    })?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
