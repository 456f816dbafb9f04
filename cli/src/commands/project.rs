//! The project that a command is about, and its app.

use std::path::{Path, PathBuf};

use xcloud_core::spec::Spec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Artifact, Binary, Secrets, Stage, package};

#[cfg(feature = "local")]
use super::dev;
use super::{artifact, packages};
use crate::args::{self, Args};
use crate::config::{Extras, Manifest, Source, resolve};
use crate::printer::Printer;
use crate::{cargo, elf, include, registry};

/// What `-C` names.
pub(super) fn directory(args: &Args) -> Result<PathBuf> {
    args.global.directory.canonicalize().map_err(|e| {
        let message = format!("-C {}: {e}", args.global.directory.display());
        Error::new(ErrorKind::Config, message).caused_by(e)
    })
}

/// Where the work is done.
pub(super) struct Project {
    pub(super) directory: PathBuf,
    /// Where xcloud.toml is: files that it names are found from there.
    beside: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) stage: Stage,
}

/// A built app.
pub(super) struct App {
    pub(super) binary: Binary,
    pub(super) spec: Spec,
    pub(super) extras: Extras,
}

/// Where an app that exists is.
pub(super) struct Operated {
    pub(super) provider: Box<dyn registry::Deployable>,
    /// The session of `dev`, if it is there.
    #[cfg(feature = "local")]
    pub(super) dev: Option<dev::Running>,
}

impl Operated {
    /// What the app says of itself: the running one, else the one that was built last.
    pub(super) fn spec(&self, project: &Project) -> Result<Spec> {
        #[cfg(feature = "local")]
        if let Some(dev) = &self.dev {
            return Ok(dev.spec.clone());
        }
        artifact::take(&project.built()).map(|(_, spec)| spec)
    }
}

impl Project {
    pub(super) fn open(args: &Args) -> Result<Self> {
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
        let beside = file.parent().map(Path::to_owned).unwrap_or_default();
        let manifest = manifest.at(&stage.stage);
        Ok(Self { directory, beside, manifest, stage })
    }

    /// The providers that were asked for, else the project's, else `otherwise`.
    pub(super) fn providers(&self, args: &Args, otherwise: &[&str]) -> Result<Vec<&'static str>> {
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
    pub(super) fn provider(&self, args: &Args) -> Result<Box<dyn registry::Deployable>> {
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
    pub(super) async fn operated(&self, args: &Args) -> Result<Operated> {
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
    pub(super) async fn build(&self, printer: &Printer) -> Result<App> {
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
        self.resolved(binary, said)
    }

    /// The app that a binary says it is, completed by xcloud.toml.
    fn resolved(&self, binary: Binary, said: Spec) -> Result<App> {
        let spec = resolve(said, &self.manifest, &self.stage.stage)?;
        let extras = Extras::of(&self.manifest, &self.stage.stage, &spec)?;
        Ok(App { binary, spec, extras })
    }

    /// The values of the app's secrets.
    pub(super) fn secrets(&self, app: &App) -> Result<Secrets> {
        app.extras.secrets(&self.beside, |name| std::env::var_os(name))
    }

    /// Where builds leave things.
    pub(super) fn built(&self) -> PathBuf {
        self.directory.join(".xcloud/build")
    }

    /// Builds, or takes what a build has left.
    pub(super) async fn app(&self, from: &args::From, printer: &Printer) -> Result<App> {
        let directory = match &from.artifact {
            Some(directory) => directory.clone(),
            None if from.no_build => self.built(),
            None => return self.build(printer).await,
        };
        let (binary, said) = artifact::take(&directory)?;
        printer.note(&format!(
            "not building: {} has a binary of {} bytes, sha256 {}",
            directory.display(),
            binary.bytes.len(),
            binary.sha256
        ));
        self.resolved(binary, said)
    }

    /// Packages for a provider and keeps the package under `.xcloud/build/`, or takes it from there.
    pub(super) fn package(&self, provider: &'static str, app: &App) -> Result<(Artifact, PathBuf)> {
        packages::package_of(provider, &self.built(), &self.stage, (&app.binary, &app.spec))
    }

    pub(super) fn resource(&self, function: &str) -> String {
        format!("{}-{}-{function}", self.stage.project, self.stage.stage)
    }
}
