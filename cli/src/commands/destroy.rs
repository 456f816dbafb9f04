//! `xcloud destroy`

use serde_json::json;
use xcloud_core::Result;

use super::several::Each;
use super::{Project, confirm, plan};
use crate::args::{self, Args};
use crate::printer::{Done, Printer};

/// The plan of an empty Spec, applied after a yes.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Destroy,
    printer: &Printer,
) -> Result<Done> {
    let each = Each::open(project, args)?;
    let several = each.are_several();
    let planned = each.then(async |_, provider| {
        let (desired, plan) = plan::unmake(project, &*provider, options.delete_data).await?;
        printer.note(printer.plan(&plan).trim_end());
        Ok((provider, desired, plan))
    });
    let planned = planned.await;
    // Asked once, when all is shown that will go.
    if planned.values().any(|(.., plan)| !plan.is_empty()) {
        confirm::destroy(project, args)?;
    }
    let gone = planned.then(async |_, (provider, desired, plan)| {
        super::apply(&*provider, &plan, &desired, printer).await?;
        Ok(plan)
    });
    gone.await.finish(|plans| {
        let message = format!("{}: {}", project.resource("*"), plan::sentences(&plans, several));
        let plans: Vec<_> = plans.iter().map(|(_, plan)| plan::data(plan)).collect();
        Done { after: message.clone(), ..Done::new(message, json!({ "plans": plans }), "") }
    })
}
