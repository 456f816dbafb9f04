//! `xcloud plan`

use serde_json::{Value, json};
use xcloud_core::Result;
use xcloud_deploy::{Action, Desired, Observed, Plan};

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
    let (_, _, plan) = make(project, &*provider, (&options.from, options.delete_data), printer).await?;
    let mut done = Done::new(sentence(&plan), json!({ "plans": [data(&plan)] }), printer.plan(&plan));
    done.text.extend_from_slice(format!("{}\n", sentence(&plan)).as_bytes());
    if options.exit_code && !plan.is_empty() {
        done.code = exit::CHANGES;
    }
    Ok(done)
}

/// Builds (or takes what was built), packages, observes and compares.
pub(super) async fn make(
    project: &Project,
    provider: &dyn Deployable,
    (from, delete_data): (&args::From, bool),
    printer: &Printer,
) -> Result<(Desired, Observed, Plan)> {
    let app = project.app(from, printer).await?;
    let secrets = project.secrets(&app)?;
    for finding in provider.check(&project.stage, &app.extras.complete(&app.spec)) {
        printer.note(&format!("{} {}: {}", finding.provider, finding.function, finding.message));
    }
    let (artifact, _) = project.package(provider.id(), &app)?;
    let native = app.extras.native(provider.id());
    let existing = app.extras.existing;
    let desired = Desired {
        delete_data,
        secrets,
        native,
        existing,
        ..Desired::new(project.stage.clone(), app.spec, Some(artifact))
    };
    let observed = provider.observe(&desired).await?;
    let plan = provider.plan(&desired, &observed);
    Ok((desired, observed, plan))
}

pub(super) fn sentence(plan: &Plan) -> String {
    let count = |action| plan.count(action);
    let (create, update) = (count(Action::Create), count(Action::Update));
    let (delete, same) = (count(Action::Delete), count(Action::Unchanged));
    format!("{create} to create, {update} to update, {delete} to delete, {same} unchanged")
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
        },
    })
}
