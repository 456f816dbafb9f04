//! `xcloud destroy`

use std::io::{IsTerminal, Write};

use serde_json::json;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::Desired;

use super::{Project, plan};
use crate::args::{self, Args};
use crate::printer::{Done, Printer};

/// The plan of an empty Spec, applied after a yes.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Destroy,
    printer: &Printer,
) -> Result<Done> {
    let provider = project.provider(args)?;
    let desired = Desired { delete_data: options.delete_data, ..Desired::nothing(project.stage.clone()) };
    let observed = provider.observe(&desired).await?;
    let plan = provider.plan(&desired, &observed);
    printer.note(printer.plan(&plan).trim_end());
    if !plan.is_empty() {
        confirm(project, args)?;
    }
    super::apply(&*provider, &plan, &desired, printer).await?;
    let message = format!("{}: {}", project.resource("*"), plan::sentence(&plan));
    printer.note(&message);
    Ok(Done::new(message, json!({ "plans": [plan::data(&plan)] }), ""))
}

fn confirm(project: &Project, args: &Args) -> Result<()> {
    if args.global.yes {
        return Ok(());
    }
    let no = |why: &str| Err(Error::new(ErrorKind::Config, format!("nothing was destroyed: {why}")));
    if project.manifest.protects(&project.stage.stage) {
        return no(&format!("stage `{}` is protected; --yes says yes", project.stage.stage));
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return no("there is no terminal to ask on; --yes says yes");
    }
    let name = format!("{}-{}", project.stage.project, project.stage.stage);
    write!(std::io::stderr(), "Destroy {name}? Type its name to go on: ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == name { Ok(()) } else { no("the name was not typed") }
}
