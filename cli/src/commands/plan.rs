//! `xcloud plan`

use serde_json::{Value, json};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Action, Desired, Finding, Level, Observed, Plan};

use super::Project;
use super::project::App;
use super::several::{Each, interruptible};
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
    let wishes = Wishes { delete_data: options.delete_data, no_traffic: false };
    if options.policy {
        return policy(project, args, (options, wishes), printer).await;
    }
    let each = Each::open(project, args)?;
    let several = each.are_several();
    let app = app(project, options, printer).await?;
    let each = each.then(async |_, provider| {
        either(project, &*provider, (app.as_ref(), wishes), printer).await.map(|(_, plan)| plan)
    });
    each.await.finish(|plans| {
        let text: String = plans.iter().map(|(_, plan)| printer.plan(plan)).collect();
        let message = sentences(&plans, several);
        let text = format!("{text}{}\n", message.replace("; ", "\n"));
        let changes = plans.iter().any(|(_, plan)| !plan.is_empty());
        let plans: Vec<_> = plans.iter().map(|(_, plan)| data(plan)).collect();
        let mut done = Done::new(message, json!({ "plans": plans }), text);
        if options.exit_code && changes {
            done.code = exit::CHANGES;
        }
        done
    })
}

/// A document for one provider's own tools.
async fn policy(
    project: &Project,
    args: &Args,
    (options, wishes): (&args::Plan, Wishes),
    printer: &Printer,
) -> Result<Done> {
    let provider = project.provider(args)?;
    let app = app(project, options, printer).await?;
    let (desired, plan) = either(project, &*provider, (app.as_ref(), wishes), printer).await?;
    let policy = provider.policy(&desired, &plan).ok_or_else(|| {
        let message = format!("{} has no rights to give: --policy is for clouds", provider.id());
        Error::new(ErrorKind::Config, message)
    })?;
    let text = format!("{policy:#}\n");
    Ok(Done::new("the rights that this plan needs", json!({ "policy": policy }), text))
}

/// The app that is to be; `None` where none is to be.
async fn app(project: &Project, options: &args::Plan, printer: &Printer) -> Result<Option<App>> {
    if options.destroy {
        return Ok(None);
    }
    project.app(&options.from, printer).await.map(Some)
}

/// The way to an app, or to nothing.
async fn either(
    project: &Project,
    provider: &dyn Deployable,
    (app, wishes): (Option<&App>, Wishes),
    printer: &Printer,
) -> Result<(Desired, Plan)> {
    match app {
        Some(app) => {
            make(project, provider, (app, wishes), printer).await.map(|(desired, _, plan)| (desired, plan))
        }
        None => unmake(project, provider, wishes.delete_data).await,
    }
}

/// The way to nothing.
pub(super) async fn unmake(
    project: &Project,
    provider: &dyn Deployable,
    delete_data: bool,
) -> Result<(Desired, Plan)> {
    let desired = Desired { delete_data, ..Desired::nothing(project.stage.clone()) };
    let observed = interruptible(provider.observe(&desired)).await?;
    let plan = provider.plan(&desired, &observed);
    Ok((desired, plan))
}

/// What is asked for beside the app itself.
#[derive(Clone, Copy)]
pub(super) struct Wishes {
    /// Data may be deleted.
    pub delete_data: bool,
    /// A new version gets no traffic.
    pub no_traffic: bool,
}

/// Packages, observes and compares.
pub(super) async fn make(
    project: &Project,
    provider: &dyn Deployable,
    (app, wishes): (&App, Wishes),
    printer: &Printer,
) -> Result<(Desired, Observed, Plan)> {
    let secrets = project.secrets(app)?;
    refuse(&provider.check(&project.stage, &app.extras.complete(&app.spec)), printer)?;
    let (artifact, _) = project.package(provider.id(), app)?;
    let native = app.extras.native(provider.id());
    let existing = app.extras.existing.clone();
    let desired = Desired {
        delete_data: wishes.delete_data,
        no_traffic: wishes.no_traffic,
        secrets,
        native,
        existing,
        ..Desired::new(project.stage.clone(), app.spec.clone(), Some(artifact))
    };
    let observed = interruptible(provider.observe(&desired)).await?;
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

/// A sentence for each plan; of several with whose it is.
pub(super) fn sentences(plans: &[(&'static str, Plan)], several: bool) -> String {
    let each = plans.iter().map(
        |(name, plan)| {
            if several { format!("{name}: {}", sentence(plan)) } else { sentence(plan) }
        },
    );
    each.collect::<Vec<_>>().join("; ")
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
