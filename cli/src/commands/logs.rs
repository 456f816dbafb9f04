//! `xcloud logs`

use serde_json::json;
use xcloud_core::Result;
use xcloud_deploy::LogQuery;

use super::Project;
use crate::args::{self, Args};
use crate::printer::Done;

/// What functions have logged, oldest first.
pub(super) async fn run(project: &Project, args: &Args, options: &args::Logs) -> Result<Done> {
    let provider = project.provider(args)?;
    let query = LogQuery { function: options.function.clone(), limit: options.lines, ..LogQuery::default() };
    let lines = provider.logs(&project.stage, query).await?;
    let mut text = String::new();
    for line in &lines {
        text += &format!("{} {} {}\n", line.time, line.function, line.line);
    }
    Ok(Done::new(format!("{} lines", lines.len()), json!({ "lines": lines }), text))
}
