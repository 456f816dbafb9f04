//! `xcloud plan`

use serde_json::{Value, json};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Action, Desired, Finding, Level, Observed, Plan};

use super::Project;
use crate::args::{self, Args};
use crate::exit;
use crate::printer::{Done, Printer};
use crate::registry::Deployable;

/// What a deployment would change.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Plan,
    printer: &Printer,
) -> Result<Done> {
    let provider = project.provider(args)?;
    let wishes = Wishes { delete_data: options.delete_data, no_traffic: false };
    let (desired, _, plan) = make(project, &*provider, (&options.from, wishes), printer).await?;
    if options.policy {
        let policy = provider.policy(&desired, &plan).ok_or_else(|| {
            let message = format!("{} has no rights to give: --policy is for clouds", provider.id());
            Error::new(ErrorKind::Config, message)
        })?;
        let text = format!("{policy:#}\n");
        return Ok(Done::new("the rights that this plan needs", json!({ "policy": policy }), text));
    }
    let mut done = Done::new(sentence(&plan), json!({ "plans": [data(&plan)] }), printer.plan(&plan));
    done.text.extend_from_slice(format!("{}\n", sentence(&plan)).as_bytes());
    if options.exit_code && !plan.is_empty() {
        done.code = exit::CHANGES;
    }
    Ok(done)
}

/// What is asked for beside the app itself.
#[derive(Clone, Copy)]
pub(super) struct Wishes {
    /// Data may be deleted.
    pub delete_data: bool,
    /// A new version gets no traffic.
    pub no_traffic: bool,
}

/// Builds (or takes what was built), packages, observes and compares.
pub(super) async fn make(
    project: &Project,
    provider: &dyn Deployable,
    (from, wishes): (&args::From, Wishes),
    printer: &Printer,
) -> Result<(Desired, Observed, Plan)> {
    let app = project.app(from, printer).await?;
    let secrets = project.secrets(&app)?;
    refuse(&provider.check(&project.stage, &app.extras.complete(&app.spec)), printer)?;
    let (artifact, _) = project.package(provider.id(), &app)?;
    let native = app.extras.native(provider.id());
    let existing = app.extras.existing;
    let desired = Desired {
        delete_data: wishes.delete_data,
        no_traffic: wishes.no_traffic,
        secrets,
        native,
        existing,
        ..Desired::new(project.stage.clone(), app.spec, Some(artifact))
    };
    let observed = provider.observe(&desired).await?;
    let plan = provider.plan(&desired, &observed);
    Ok((desired, observed, plan))
}

/// Tells what will be different; ends where something will not work, before anything is packaged or called.
fn refuse(findings: &[Finding], printer: &Printer) -> Result<()> {
    for finding in findings {
        printer.note(&format!("{} {}: {}", finding.provider, finding.function, finding.message));
    }
    let Some(first) = findings.iter().find(|finding| finding.level == Level::Error) else { return Ok(()) };
    let message = format!("{} {}: {}", first.provider, first.function, first.message);
    Err(Error::new(ErrorKind::Unsupported, message).with("code", &first.code))
}

pub(super) fn sentence(plan: &Plan) -> String {
    let count = |action| plan.count(action);
    let (create, update) = (count(Action::Create), count(Action::Update));
    let (delete, same) = (count(Action::Delete), count(Action::Unchanged));
    let kept = match count(Action::Kept) {
        0 => String::new(),
        kept => format!(", {kept} kept"),
    };
    format!("{create} to create, {update} to update, {delete} to delete, {same} unchanged{kept}")
}

/// The plan as scripts read it.
pub(super) fn data(plan: &Plan) -> Value {
    json!({
        "provider": plan.provider,
        "changes": plan.changes,
        "summary": {
            "create": plan.count(Action::Create),
            "update": plan.count(Action::Update),
            "delete": plan.count(Action::Delete),
            "unchanged": plan.count(Action::Unchanged),
            "kept": plan.count(Action::Kept),
        },
    })
}
