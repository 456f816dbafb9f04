//! A session: what serves now, and how the next version comes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use xcloud_core::spec::{Spec, TriggerSpec};
use xcloud_core::{Error, Result};
use xcloud_deploy::package::File;
use xcloud_local_deploy::{Embedded, Program, Served};

use super::compile::Building;
use super::running::Running;
use super::show::{Show, seconds};
use super::watch::{Change, Sources};
use crate::args::{self, Args};
use crate::commands::Project;
use crate::config::resolve;
use crate::{hidden, include, registry};

/// What serves now, and how the next version comes.
pub(super) struct Session<'a> {
    pub(super) directory: PathBuf,
    pub(super) args: &'a Args,
    pub(super) options: &'a args::Dev,
    pub(super) show: &'a Show,
    pub(super) host: &'a Embedded,
    pub(super) home: &'a Path,
    pub(super) running: Running,
    pub(super) serves: Option<Serves>,
}

/// What a version was made from: the same again is no new version.
#[derive(PartialEq)]
pub(super) struct Serves {
    program: PathBuf,
    file: (u64, Option<SystemTime>),
    spec: Spec,
    files: Vec<File>,
}

/// Since when somebody waits for what is being built.
#[derive(Clone, Copy)]
enum Since {
    Start(Instant),
    Save(SystemTime),
}

impl Session<'_> {
    /// Builds and serves, again with every save. Returns only when it cannot go on.
    pub(super) async fn serve(mut self, mut sources: Sources) -> Result<()> {
        let (files, url) = (sources.len(), &self.running.url);
        let text = format!("{url}; watching {files} files of {}", self.directory.display());
        self.show.news("watching", &text, json!({ "files": files, "url": url }));
        let mut since = Since::Start(Instant::now());
        loop {
            let started = Instant::now();
            let built = tokio::select! {
                built = self.build() => Ok(built),
                // What is being built is not what the sources say any more.
                change = sources.changed() => Err(change),
            };
            let change = match built {
                Ok(built) => {
                    let version = match built {
                        Ok(next) => self.put(next, since, started).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = version {
                        self.failed(&error);
                    }
                    sources.changed().await
                }
                Err(change) => change,
            };
            since = Since::Save(change.saved);
            sources = self.saved(&change, sources);
        }
    }

    fn saved(&self, change: &Change, sources: Sources) -> Sources {
        let path = change.path.strip_prefix(&self.directory).unwrap_or(&change.path).display();
        let more = change.files - 1;
        let text =
            if more > 0 { format!("{path} and {more} more were saved") } else { format!("{path} was saved") };
        self.show.news("saved", &text, json!({ "path": change.path, "files": change.files }));
        // A dependency may have come or gone.
        if change.path.ends_with("Cargo.toml") || change.path.ends_with("xcloud.toml") {
            let package = Project::open(self.args).ok().and_then(|p| p.manifest.build.package);
            return Sources::open(&self.directory, package.as_deref());
        }
        sources
    }

    fn failed(&self, error: &Error) {
        let serves =
            if self.serves.is_some() { "the version before still serves" } else { "nothing is served yet" };
        let text = format!("{error}\n{serves}; waiting for a save");
        self.show.news(
            "failed",
            &text,
            json!({ "message": error.to_string(), "serves": self.serves.is_some() }),
        );
    }

    /// Builds what the sources say.
    async fn build(&self) -> Result<Serves> {
        // xcloud.toml may be what was saved.
        let project = Project::open(self.args)?;
        let profile = &self.options.profile;
        self.show.news("building", &format!("building, profile {profile}"), json!({ "profile": profile }));
        let program = Building::start(&project, profile, self.show.color())?.done().await?.path;
        let said = xcloud_serve::host::describe(&program).await?;
        let mut spec = resolve(said, &project.manifest, &self.args.global.stage)?;
        if let Some(cloud) = &self.options.cloud
            && registry::host(cloud)?.0.one_call
        {
            spec.functions.iter_mut().for_each(|function| function.settings.concurrency = Some(1));
        }
        let files = include::files(&project.directory, &project.manifest.build.include)?;
        let file = std::fs::metadata(&program)?;
        Ok(Serves { file: (file.ino(), file.modified().ok()), program, spec, files })
    }

    /// Puts what was built into service, unless it is what serves.
    async fn put(&mut self, next: Serves, since: Since, started: Instant) -> Result<()> {
        let built = started.elapsed();
        if self.serves.as_ref() == Some(&next) {
            self.show.news("unchanged", "nothing that is served has changed", json!({}));
            return Ok(());
        }
        let (binary, files) = (next.program.clone(), next.files.clone());
        let program = Program { binary, through: self.through()?, files };
        self.show.expect(next.spec.functions.iter().map(|f| f.name.as_str()));
        let served = self.host.publish(&next.spec, &program).await?;
        self.report(&served, since, built, started.elapsed());
        if self.serves.is_none() {
            self.introduce(&next.spec, &served);
        }
        self.running.spec = next.spec.clone();
        self.running.keep(self.home)?;
        self.serves = Some(next);
        Ok(())
    }

    /// What stands between the host and the program: this same program, as a cloud, or as itself to show every call.
    fn through(&self) -> Result<Vec<String>> {
        let show = self.args.global.verbose > 0;
        let cloud = match &self.options.cloud {
            Some(cloud) => cloud.clone(),
            None if show => registry::LOCAL.name.to_owned(),
            None => return Ok(Vec::new()),
        };
        let own = std::env::current_exe()?.display().to_string();
        let mut command = vec![own, registry::BRIDGE_VERB.to_owned(), cloud];
        command.extend(show.then(|| hidden::SHOW.to_owned()));
        Ok(command)
    }

    fn report(&self, served: &Served, since: Since, built: Duration, whole: Duration) {
        let (waited, what) = match since {
            Since::Start(start) => (start.elapsed(), "start"),
            // The clock may have been set back.
            Since::Save(saved) => (saved.elapsed().unwrap_or(whole), "save"),
        };
        let (text, waited) = seconds(waited);
        let ((build, built), (swap, swapped)) = (seconds(built), seconds(whole.saturating_sub(built)));
        let text = format!("served {text} after {what} (build {build}, swap {swap})");
        let data = json!({
            "url": served.url, "version": served.version, "after": what,
            "seconds": waited, "build_seconds": built, "swap_seconds": swapped,
        });
        self.show.news("served", &text, data);
    }

    /// Where everything is.
    fn introduce(&self, spec: &Spec, served: &Served) {
        let url = served.url.as_deref().unwrap_or_default();
        for function in &spec.functions {
            match &function.trigger {
                TriggerSpec::Http { routes, mounted } => {
                    for route in routes {
                        let method = route.method.as_deref().unwrap_or("any");
                        self.show.hint(&format!("  {method:6} {url}{}", route.path));
                    }
                    if *mounted {
                        self.show.hint(&format!("  any    {url}/*"));
                    }
                }
                TriggerSpec::Queue { queue, .. } => {
                    self.show.hint(&format!("  queue  {queue} -> {}", function.name));
                }
                _ => self.show.hint(&format!("  event  {}", function.name)),
            }
        }
        self.show.hint("Ctrl-C ends it");
    }
}
