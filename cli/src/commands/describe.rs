//! `xcloud describe`

use xcloud_core::Result;

use super::Project;
use crate::printer::{Done, Printer};

/// The Spec of the stage.
pub(super) async fn run(project: &Project, printer: &Printer) -> Result<Done> {
    let app = project.build(printer).await?;
    let message = format!("{} functions", app.spec.functions.len());
    let text = serde_json::to_string_pretty(&app.spec)? + "\n";
    Ok(Done::new(message, serde_json::to_value(&app.spec)?, text))
}
