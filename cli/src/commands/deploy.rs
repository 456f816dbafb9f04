//! `xcloud deploy`

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xcloud_core::Result;
use xcloud_deploy::{Action, Plan, Serving};

use super::project::App;
use super::several::{Each, interruptible};
use super::{Project, confirm, plan};
use crate::args::{self, Args};
use crate::printer::{Done, Printer};
use crate::registry::Deployable;

/// Builds, shows what changes, applies that, and says where the app is.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Deploy,
    printer: &Printer,
) -> Result<Done> {
    let started = Instant::now();
    let each = Each::open(project, args)?;
    let several = each.are_several();
    let app = project.app(&options.from, printer).await?;
    let built = started.elapsed();
    let wishes = plan::Wishes { delete_data: options.delete_data, no_traffic: options.no_traffic };
    let deployment = Deployment { project, app: &app, args, wishes, built, printer };
    if options.dry_run {
        let each = each.then(async |_, provider| deployment.dry_run(&*provider).await).await;
        return each.finish(|plans| dry(&plans, several));
    }
    let each = each.then(async |name, provider| {
        if several {
            printer.note(&format!("deploying to {name}"));
        }
        deployment.run(&*provider).await
    });
    each.await.finish(|deployed| done(deployed, several))
}

/// What is the same for every provider.
struct Deployment<'a> {
    project: &'a Project,
    app: &'a App,
    args: &'a Args,
    wishes: plan::Wishes,
    /// What building took.
    built: Duration,
    printer: &'a Printer,
}

/// What a provider has now.
struct Deployed {
    url: Option<String>,
    message: String,
    data: Value,
}

impl Deployment<'_> {
    async fn dry_run(&self, provider: &dyn Deployable) -> Result<Plan> {
        let (_, _, plan) = plan::make(self.project, provider, (self.app, self.wishes), self.printer).await?;
        self.printer.note(self.printer.plan(&plan).trim_end());
        Ok(plan)
    }

    async fn run(&self, provider: &dyn Deployable) -> Result<Deployed> {
        let Self { project, printer, .. } = self;
        let began = Instant::now();
        let (desired, observed, plan) =
            plan::make(project, provider, (self.app, self.wishes), printer).await?;
        printer.note(printer.plan(&plan).trim_end());
        confirm::deploy(project, self.args, &plan)?;
        super::apply(provider, &plan, &desired, printer).await?;
        // Where nothing has changed, what was seen is what serves.
        let seen = plan.is_empty().then(|| provider.serving(&desired, &observed)).flatten();
        let serving = match seen {
            Some(serving) => serving,
            None => {
                interruptible(provider.status(&project.stage)).await?.into_iter().map(Into::into).collect()
            }
        };
        let url = serving.iter().find_map(|s| s.url.clone());
        let functions: Vec<_> = serving.iter().map(|s| function(s, &plan)).collect();
        let (read, write) = provider.calls();
        let data = json!({
            "provider": provider.id(), "url": url, "functions": functions,
            "calls": { "read": read, "write": write },
            "seconds": (self.built + began.elapsed()).as_secs_f64(),
        });
        let project = &project.stage.project;
        let message = format!("{project} is deployed to {}: {}", provider.id(), plan::sentence(&plan));
        Ok(Deployed { url, message, data })
    }
}

fn dry(plans: &[(&'static str, Plan)], several: bool) -> Done {
    let message = format!("nothing was changed: {}", plan::sentences(plans, several));
    let plans: Vec<_> = plans.iter().map(|(_, plan)| plan::data(plan)).collect();
    Done { after: message.clone(), ..Done::new(message, json!({ "dry_run": true, "plans": plans }), "") }
}

fn done(deployed: Vec<(&'static str, Deployed)>, several: bool) -> Done {
    let text = deployed.iter().filter_map(|(name, deployed)| {
        let url = deployed.url.as_ref()?;
        Some(if several { format!("{name}\t{url}\n") } else { format!("{url}\n") })
    });
    let text: String = text.collect();
    let messages: Vec<_> = deployed.iter().map(|(_, deployed)| deployed.message.as_str()).collect();
    let (message, after) = (messages.join("; "), messages.join("\n"));
    let data: Vec<_> = deployed.into_iter().map(|(_, deployed)| deployed.data).collect();
    // The address first: it is what one came for.
    Done { after, ..Done::new(message, json!({ "deployments": data }), text) }
}

fn function(serving: &Serving, plan: &Plan) -> Value {
    let id = format!("function/{}", serving.name);
    let change = plan.changes.iter().find(|c| c.resource == id);
    let action = match change.map(|c| c.action) {
        Some(Action::Create) => "created",
        Some(Action::Update) => "updated",
        _ => "unchanged",
    };
    json!({
        "name": serving.name, "resource": serving.resource, "action": action,
        "version": serving.version, "url": serving.url,
    })
}
