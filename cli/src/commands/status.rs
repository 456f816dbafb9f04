//! `xcloud status`

use serde_json::json;
use xcloud_core::Result;

use super::Project;
use crate::args::Args;
use crate::printer::Done;

/// How the deployed functions are.
pub(super) async fn run(project: &Project, args: &Args) -> Result<Done> {
    let provider = project.operated(args).await?.provider;
    let functions = provider.status(&project.stage).await?;
    let mut text = String::new();
    for function in &functions {
        let version = function.version.as_deref().unwrap_or("-");
        let url = function.url.as_deref().unwrap_or("-");
        text += &format!("{}\t{version}\t{}\t{url}\n", function.resource, function.state);
    }
    let healthy = functions.iter().filter(|f| f.healthy).count();
    let message = format!("{healthy} of {} functions are healthy", functions.len());
    Ok(Done::new(message, json!({ "functions": functions }), text))
}
