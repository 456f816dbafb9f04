//! `xcloud deploy`

use std::time::Instant;

use serde_json::{Value, json};
use xcloud_core::Result;
use xcloud_deploy::{Action, Plan, Status};

use super::{Project, plan};
use crate::args::{self, Args};
use crate::printer::{Done, Printer};

/// Builds, shows what changes, applies that, and says where the app is.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Deploy,
    printer: &Printer,
) -> Result<Done> {
    let started = Instant::now();
    let provider = project.provider(args)?;
    let wishes = plan::Wishes { delete_data: options.delete_data, no_traffic: options.no_traffic };
    let (desired, _, plan) = plan::make(project, &*provider, (&options.from, wishes), printer).await?;
    printer.note(printer.plan(&plan).trim_end());
    if options.dry_run {
        let message = format!("nothing was changed: {}", plan::sentence(&plan));
        printer.note(&message);
        return Ok(Done::new(message, json!({ "dry_run": true, "plans": [plan::data(&plan)] }), ""));
    }
    super::apply(&*provider, &plan, &desired, printer).await?;
    let status = provider.status(&project.stage).await?;
    let url = status.iter().find_map(|s| s.url.clone());
    let functions: Vec<_> = status.iter().map(|s| function(s, &plan)).collect();
    let (read, write) = provider.calls();
    let seconds = started.elapsed().as_secs_f64();
    let data = json!({ "deployments": [{
        "provider": provider.id(), "url": url, "functions": functions,
        "calls": { "read": read, "write": write }, "seconds": seconds,
    }] });
    let text = url.as_ref().map(|url| format!("{url}\n")).unwrap_or_default();
    let message =
        format!("{} is deployed to {}: {}", project.stage.project, provider.id(), plan::sentence(&plan));
    // The address first: it is what one came for.
    Ok(Done { after: message.clone(), ..Done::new(message, data, text) })
}

fn function(status: &Status, plan: &Plan) -> Value {
    let id = format!("function/{}", status.name);
    let change = plan.changes.iter().find(|c| c.resource == id);
    let action = match change.map(|c| c.action) {
        Some(Action::Create) => "created",
        Some(Action::Update) => "updated",
        _ => "unchanged",
    };
    json!({
        "name": status.name, "resource": status.resource, "action": action,
        "version": status.version, "url": status.url,
    })
}
