//! `xcloud status`

use serde_json::json;
use xcloud_core::Result;
use xcloud_deploy::Status;

use super::Project;
use super::several::Each;
use crate::args::Args;
use crate::printer::Done;

/// How the deployed functions are.
pub(super) async fn run(project: &Project, args: &Args) -> Result<Done> {
    // A session of `dev` is there only when nobody is named.
    let each = match project.providers(args, &["local"])?.as_slice() {
        [_] => Each::one(project.operated(args).await?.provider),
        _ => Each::open(project, args)?,
    };
    let several = each.are_several();
    let each = each.then(async |_, provider| provider.status(&project.stage).await);
    each.await.finish(|statuses| done(statuses.into_iter().flat_map(|(_, of)| of).collect(), several))
}

fn done(functions: Vec<Status>, several: bool) -> Done {
    let mut text = String::new();
    for function in &functions {
        if several {
            text += &format!("{}\t", function.provider);
        }
        let version = function.version.as_deref().unwrap_or("-");
        let url = function.url.as_deref().unwrap_or("-");
        text += &format!("{}\t{version}\t{}\t{url}\n", function.resource, function.state);
    }
    let healthy = functions.iter().filter(|f| f.healthy).count();
    let message = format!("{healthy} of {} functions are healthy", functions.len());
    Done::new(message, json!({ "functions": functions }), text)
}
