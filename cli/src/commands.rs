//! The verbs: a file each.

mod artifact;
mod build;
mod check;
mod completions;
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
mod plan;
mod queue;
mod rollback;
mod schema;
mod status;
mod traffic;
mod versions;

use std::path::{Path, PathBuf};

use xcloud_core::spec::Spec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Artifact, Binary, Desired, Plan, Stage, engine, package};

use crate::args::{self, Args, Verb};
use crate::config::{Manifest, Source, resolve};
use crate::printer::{Done, Printer};
use crate::{cargo, elf, include, registry};

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
        Verb::Describe => describe::run(&project()?, args, printer).await,
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

/// What `-C` names.
fn directory(args: &Args) -> Result<PathBuf> {
    args.global.directory.canonicalize().map_err(|e| {
        let message = format!("-C {}: {e}", args.global.directory.display());
        Error::new(ErrorKind::Config, message).caused_by(e)
    })
}

/// Where the work is done.
struct Project {
    directory: PathBuf,
    manifest: Manifest,
    stage: Stage,
}

/// A built app.
struct App {
    binary: Binary,
    spec: Spec,
}

/// Where an app that exists is.
struct Operated {
    provider: Box<dyn registry::Deployable>,
    /// The session of `dev`, if it is there.
    #[cfg(feature = "local")]
    dev: Option<dev::Running>,
}

impl Operated {
    /// What the app says of itself: the running one, else the one that was built last.
    fn spec(&self, project: &Project) -> Result<Spec> {
        #[cfg(feature = "local")]
        if let Some(dev) = &self.dev {
            return Ok(dev.spec.clone());
        }
        artifact::take(&project.built()).map(|(_, spec)| spec)
    }
}

impl Project {
    fn open(args: &Args) -> Result<Self> {
        let directory = directory(args)?;
        let file = args.global.config.clone().unwrap_or_else(|| directory.join("xcloud.toml"));
        let manifest = Manifest::read(&Source::open(&file)?)?;
        if manifest.name.is_empty() {
            let message = format!(
                "{}: `project.name` is missing: every resource's name begins with it",
                file.display()
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let stage = Stage { project: manifest.name.clone(), stage: args.global.stage.clone() };
        Ok(Self { directory, manifest, stage })
    }

    /// The providers that were asked for, else the project's, else `otherwise`.
    fn providers(&self, args: &Args, otherwise: &[&str]) -> Result<Vec<&'static str>> {
        let names = registry::names(&args.global.provider)?;
        if !names.is_empty() {
            return Ok(names);
        }
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        match &self.manifest.provider {
            Some(name) if otherwise.len() == 1 => registry::names(std::slice::from_ref(name)),
            _ => registry::names(&owned(otherwise)),
        }
    }

    /// The one provider of a verb that takes one.
    fn provider(&self, args: &Args) -> Result<Box<dyn registry::Deployable>> {
        match self.providers(args, &["local"])?.as_slice() {
            [one] => registry::open(one, &self.manifest),
            many => {
                let message = format!("this takes one provider, not {}: name it with -p", many.join(", "));
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }

    /// What is to be called, asked or read: a running `dev` of this project, unless a provider is named; else the
    /// deployed app.
    async fn operated(&self, args: &Args) -> Result<Operated> {
        #[cfg(feature = "local")]
        if args.global.provider.is_empty()
            && let Some((dev, local)) = dev::Running::find(&self.directory, &self.stage.stage).await
        {
            crate::printer::notice(&format!("of `xcloud dev` at {}; -p local is what is deployed", dev.url));
            return Ok(Operated { provider: Box::new(local), dev: Some(dev) });
        }
        Ok(Operated {
            provider: self.provider(args)?,
            #[cfg(feature = "local")]
            dev: None,
        })
    }

    /// Builds the binary and asks it for its Spec.
    async fn build(&self, args: &Args, printer: &Printer) -> Result<App> {
        let files = include::files(&self.directory, &self.manifest.build.include)?.into();
        let program = cargo::build(&self.directory, &self.manifest.build, printer)?;
        let bytes = std::fs::read(&program.path)?;
        let arch = elf::arch(&bytes)?.to_owned();
        let binary = Binary { sha256: package::sha256(&bytes), bytes: bytes.into(), arch, files };
        printer.note(&format!(
            "{}: {} bytes, static, sha256 {}",
            program.package,
            binary.bytes.len(),
            binary.sha256
        ));
        if !binary.files.is_empty() {
            let bytes: usize = binary.files.iter().map(|file| file.bytes.len()).sum();
            printer.note(&format!("beside it {} files, {bytes} bytes", binary.files.len()));
        }
        let said = xcloud_serve::host::describe(&program.path).await?;
        artifact::keep(&self.built(), &binary, &said)?;
        let spec = resolve(said, &self.manifest, &args.global.stage)?;
        Ok(App { binary, spec })
    }

    /// Where builds leave things.
    fn built(&self) -> PathBuf {
        self.directory.join(".xcloud/build")
    }

    /// Builds, or takes what a build has left.
    async fn app(&self, args: &Args, from: &args::From, printer: &Printer) -> Result<App> {
        let directory = match &from.artifact {
            Some(directory) => directory.clone(),
            None if from.no_build => self.built(),
            None => return self.build(args, printer).await,
        };
        let (binary, said) = artifact::take(&directory)?;
        printer.note(&format!(
            "not building: {} has a binary of {} bytes, sha256 {}",
            directory.display(),
            binary.bytes.len(),
            binary.sha256
        ));
        let spec = resolve(said, &self.manifest, &args.global.stage)?;
        Ok(App { binary, spec })
    }

    /// Packages for a provider and keeps the package under `.xcloud/build/`.
    fn package(&self, provider: &str, app: &App) -> Result<(Artifact, PathBuf)> {
        let artifact = registry::package(provider)?(&self.stage, &app.binary, &app.spec)?;
        let directory = self.built();
        let path = directory.join(&artifact.file_name);
        let written = std::fs::create_dir_all(&directory).and_then(|()| write(&path, &artifact.bytes));
        written
            .map_err(|e| Error::unavailable(format!("cannot write {}: {e}", path.display())).caused_by(e))?;
        Ok((artifact, path))
    }

    fn resource(&self, function: &str) -> String {
        format!("{}-{}-{function}", self.stage.project, self.stage.stage)
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
    let apply = engine::apply(provider, plan, desired, &options, printer);
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
