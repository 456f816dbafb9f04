//! A yes before what cannot be taken back, and before anything changes in a stage that is protected.

use std::io::{IsTerminal, Write};

use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Action, Plan};

use super::Project;
use crate::args::Args;

/// Before a stage goes.
///
/// # Errors
/// [`ErrorKind::Config`]: nobody said yes.
pub(super) fn destroy(project: &Project, args: &Args) -> Result<()> {
    ask(project, args, "destroyed", "Destroy")
}

/// Before a deployment, if it is of a protected stage or takes data away.
///
/// # Errors
/// [`ErrorKind::Config`]: nobody said yes.
pub(super) fn deploy(project: &Project, args: &Args, plan: &Plan) -> Result<()> {
    let lost = plan.steps().filter(|change| change.action == Action::Delete && change.data);
    let lost: Vec<_> = lost.map(|change| change.resource.as_str()).collect();
    if !lost.is_empty() {
        return ask(
            project,
            args,
            "deployed",
            &format!("Delete {} with what is in it, and deploy", lost.join(", ")),
        );
    }
    if !plan.is_empty() && protects(project) {
        return ask(project, args, "deployed", "Deploy");
    }
    Ok(())
}

fn protects(project: &Project) -> bool {
    project.manifest.protects(&project.stage.stage)
}

fn ask(project: &Project, args: &Args, done: &str, question: &str) -> Result<()> {
    if args.global.yes {
        return Ok(());
    }
    let no = |why: &str| Err(Error::new(ErrorKind::Config, format!("nothing was {done}: {why}")));
    if protects(project) {
        return no(&format!("stage `{}` is protected; --yes says yes", project.stage.stage));
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return no("there is no terminal to ask on; --yes says yes");
    }
    let name = format!("{}-{}", project.stage.project, project.stage.stage);
    write!(std::io::stderr(), "{question} {name}? Type its name to go on: ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == name { Ok(()) } else { no("the name was not typed") }
}
