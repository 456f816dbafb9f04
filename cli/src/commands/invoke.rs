//! `xcloud invoke`

use std::io::Read;

use xcloud_core::spec::HTTP_FUNCTION;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Invoke;

use super::Project;
use crate::args::{self, Args};
use crate::exit;
use crate::printer::Done;

/// Calls a function; on stdout is what it answered.
pub(super) async fn run(project: &Project, args: &Args, options: &args::Invoke) -> Result<Done> {
    let provider = project.provider(args)?;
    let call = Invoke {
        function: options.function.clone(),
        data: data(options.data.as_deref())?,
        method: options.method.clone(),
        path: options.path.clone(),
        headers: options.headers.iter().map(|h| header(h)).collect::<Result<_>>()?,
    };
    let answer = provider.invoke(&project.stage, call).await?;
    let message = format!("{} answered {}", options.function, answer.status);
    let mut text = answer.bytes.clone();
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    let mut done = Done::new(message, serde_json::to_value(&answer)?, text);
    // A request that got its answer is a success, whatever the answer; an event that failed is not.
    if options.function != HTTP_FUNCTION && answer.status >= 400 {
        done.code = exit::FAILED;
    }
    Ok(done)
}

fn data(data: Option<&str>) -> Result<Vec<u8>> {
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
