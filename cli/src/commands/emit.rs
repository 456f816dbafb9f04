//! `xcloud emit`

use std::path::Path;

use serde_json::{Value, json};
use xcloud_core::text::base64_encode;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Emit;

use super::Project;
use super::invoke::data;
use crate::args::{self, Args, EmitVerb};
use crate::printer::Done;

/// Puts one event in; it is kept when this returns.
pub(super) async fn run(project: &Project, args: &Args, options: &args::Emit) -> Result<Done> {
    let emit = event(&options.verb)?;
    let operated = project.operated(args).await?;
    let emitted = operated.provider.as_events()?.emit(&project.stage, emit).await?;
    let message = format!("kept for {}", emitted.to.join(", "));
    Ok(Done::new(&message, json!({ "to": emitted.to }), format!("{message}\n")))
}

fn event(verb: &EmitVerb) -> Result<Emit> {
    let bytes = |text: &str| Ok::<_, Error>(base64_encode(&data(Some(text))?));
    Ok(match verb {
        EmitVerb::Object { bucket, file, deleted: true, .. } => {
            let key = file.to_string_lossy().into_owned();
            Emit::Object { bucket: bucket.clone(), key, body_base64: String::new(), deleted: true }
        }
        EmitVerb::Object { bucket, file, key, .. } => {
            let body =
                std::fs::read(file).map_err(|e| config(format!("cannot read {}: {e}", file.display())))?;
            let key = key
                .clone()
                .or_else(|| name(file))
                .ok_or_else(|| config("the object has no key: give --key".to_owned()))?;
            Emit::Object { bucket: bucket.clone(), key, body_base64: base64_encode(&body), deleted: false }
        }
        EmitVerb::Tick { function } => Emit::Tick { function: function.clone() },
        EmitVerb::Message { queue, data } => {
            Emit::Message { queue: queue.clone(), body_base64: bytes(data)? }
        }
        EmitVerb::Topic { topic, data, attributes } => {
            let attribute = |text: &String| {
                let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
                pair.ok_or_else(|| config(format!("--attribute {text:?} is not of the form `name=value`")))
            };
            let attributes = attributes.iter().map(attribute).collect::<Result<_>>()?;
            Emit::Topic { topic: topic.clone(), body_base64: bytes(data)?, attributes }
        }
        EmitVerb::Change { table, key, row, .. } => {
            let row = row.as_deref().map(|row| parsed("the row", row)).transpose()?;
            Emit::Change { table: table.clone(), key: key.clone(), row }
        }
        EmitVerb::Event { event } => Emit::Event { event: parsed("the event", event)? },
    })
}

fn name(file: &Path) -> Option<String> {
    file.file_name().map(|name| name.to_string_lossy().into_owned())
}

fn parsed(what: &str, text: &str) -> Result<Value> {
    serde_json::from_slice(&data(Some(text))?).map_err(|e| config(format!("{what} is not JSON: {e}")))
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}
