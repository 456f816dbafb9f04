//! The verbs: a file each.

mod artifact;
mod build;
mod check;
mod completions;
mod confirm;
mod deploy;
mod describe;
mod destroy;
#[cfg(feature = "local")]
mod dev;
mod doctor;
mod emit;
mod init;
mod invoke;
#[cfg(feature = "local")]
mod local;
mod logs;
mod metrics;
mod new;
mod packages;
mod plan;
mod project;
mod queue;
mod rollback;
mod schema;
mod several;
mod status;
mod traffic;
mod versions;

use std::path::Path;

use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Desired, Plan, Progress, engine};

use self::project::{Operated, Project, directory};
use crate::args::{Args, Verb};
use crate::printer::{Done, Printer};
use crate::progress::Live;
use crate::registry;

/// Does what was typed.
///
/// # Errors
/// What went wrong, as it is printed.
pub(crate) async fn run(args: &Args, printer: &Printer) -> Result<Done> {
    let project = || Project::open(args);
    match &args.verb {
        Verb::Completions(options) => Ok(completions::run(options)),
        Verb::Doctor => doctor::run(args, printer).await,
        Verb::Init(options) => init::run(args, options),
        Verb::Schema => schema::run(),
        Verb::New(options) => new::run(args, options),
        Verb::Build => build::run(&project()?, args, printer).await,
        Verb::Check(options) => check::run(&project()?, args, options, printer).await,
        Verb::Describe => describe::run(&project()?, printer).await,
        #[cfg(feature = "local")]
        Verb::Dev(options) => dev::run(&project()?, args, options, printer).await,
        Verb::Plan(options) => plan::run(&project()?, args, options, printer).await,
        Verb::Deploy(options) => deploy::run(&project()?, args, options, printer).await,
        Verb::Invoke(options) => invoke::run(&project()?, args, options, printer).await,
        Verb::Logs(options) => logs::run(&project()?, args, options).await,
        Verb::Emit(options) => emit::run(&project()?, args, options).await,
        Verb::Queue(options) => queue::run(&project()?, args, options).await,
        Verb::Status => status::run(&project()?, args).await,
        #[cfg(feature = "local")]
        Verb::Local(options) => local::run(options.action).await,
        Verb::Metrics(options) => metrics::run(&project()?, args, options, printer).await,
        Verb::Versions => versions::run(&project()?, args).await,
        Verb::Rollback(options) => rollback::run(&project()?, args, options, printer).await,
        Verb::Traffic(options) => traffic::run(&project()?, args, options).await,
        Verb::Destroy(options) => destroy::run(&project()?, args, options, printer).await,
    }
}

/// Applies a plan. The first Ctrl-C lets the steps on their way end and begins no more; the second ends at once.
async fn apply(
    provider: &dyn registry::Deployable,
    plan: &Plan,
    desired: &Desired,
    printer: &Printer,
) -> Result<()> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let options = engine::Options { stop: stopped, ..engine::Options::default() };
    let live = printer.is_live().then(|| Live::new(*printer, Box::new(std::io::stderr())));
    let progress: &dyn Progress = live.as_ref().map_or(printer, |live| live);
    let apply = engine::deploy(provider, plan, desired, &options, progress);
    let interrupted = async {
        xcloud_serve::terminated()?.await;
        printer.note("stopping after the steps on their way; again to stop at once");
        stop.send_replace(true);
        xcloud_serve::terminated()?.await;
        Err(Error::new(
            ErrorKind::Cancelled,
            "stopped in the middle of a step; the same command goes on from here",
        ))
    };
    tokio::select! {
        result = apply => result,
        result = interrupted => result,
    }
}

/// Whole or not at all: who reads it meanwhile sees the old one.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, path)
}
