//! `xcloud rollback`

use serde_json::json;
use xcloud_core::Result;

use super::{Project, plan};
use crate::args::{self, Args};
use crate::printer::{Done, Printer};

/// Shows the way back, and goes it.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Rollback,
    printer: &Printer,
) -> Result<Done> {
    let provider = project.provider(args)?;
    let rollback = provider.plan_rollback(&project.stage, options.to.as_deref()).await?;
    printer.note(printer.plan(&rollback.plan).trim_end());
    for line in &rollback.stays {
        printer.note(&format!("= {line}"));
    }
    provider.rollback(&project.stage, &rollback).await?;
    let message = format!("{}: {} is current, it was {}", project.resource("*"), rollback.to, rollback.from);
    printer.note(&message);
    let data = json!({
        "from": rollback.from, "to": rollback.to, "stays": rollback.stays,
        "plans": [plan::data(&rollback.plan)],
    });
    Ok(Done::new(message, data, ""))
}
