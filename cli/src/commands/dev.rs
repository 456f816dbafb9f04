//! `xcloud dev`: serves the app on this machine, builds and swaps it whenever a source is saved.
//!
//! The host is the one that `xcloud deploy` starts, as a library inside this process: queues, retries, the switch between
//! versions and the logs are the same code, and nothing outlives the process.

mod compile;
mod running;
mod show;
mod watch;

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use xcloud_core::spec::{Spec, TriggerSpec};
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::LogQuery;
use xcloud_local_deploy::{Embedded, Follower, Program, Served};

use self::compile::Building;
pub(crate) use self::running::Running;
use self::show::{Show, seconds};
use self::watch::{Change, Sources};
use super::Project;
use crate::args::{self, Args, Output};
use crate::config::resolve;
use crate::printer::{Done, Printer};
use crate::{exit, hidden, registry};

/// Below the ports of deployed apps.
const PORTS: std::ops::RangeInclusive<u16> = 8600..=8699;
/// How long a log line may wait to be seen.
const LOOK: Duration = Duration::from_millis(80);

/// Serves until Ctrl-C.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Dev,
    printer: &Printer,
) -> Result<Done> {
    let home = project.directory.join(running::HOME);
    if let Some(cloud) = &options.cloud {
        registry::host(cloud)?;
    }
    let show = Arc::new(Show::new(*printer, args.global.output == Output::Json, args.global.verbose > 0));
    // Before anything starts, so that nothing is left behind.
    let stop = xcloud_serve::terminated()?;
    let listener = choose_port(&home, options.port, &show)?;
    let port = listener.local_addr()?.port();
    let host = Embedded::start(&home, project.stage.clone(), listener).await?;
    std::fs::write(home.join("port"), port.to_string())?;
    let running = Running {
        pid: std::process::id(),
        url: format!("http://127.0.0.1:{port}"),
        cloud: options.cloud.clone(),
        stage: project.stage.stage.clone(),
        spec: Spec::default(),
    };
    running.keep(&home)?;
    let logs = tokio::spawn(follow(Follower::new(host.logs(), LogQuery::default()), Arc::clone(&show)));
    let sources = Sources::open(&project.directory, project.manifest.build.package.as_deref());
    let session = Session {
        directory: project.directory.clone(),
        args,
        options,
        show: &show,
        host: &host,
        home: &home,
        running,
        serves: None,
    };
    let ended = tokio::select! {
        result = session.serve(sources) => result,
        () = stop => Ok(()),
    };
    Running::forget(&home);
    show.news("stopping", "stopping; again to stop at once", json!({}));
    let again = xcloud_serve::terminated()?;
    let mut done = Done::new("stopped", json!({ "event": "stopped" }), "");
    tokio::select! {
        () = host.stop() => {}
        () = again => done.code = exit::INTERRUPTED,
    }
    logs.abort();
    ended.map(|()| done)
}

/// Prints log lines as they come.
async fn follow(mut follower: Follower, show: Arc<Show>) {
    loop {
        // A file that cannot be read now may be readable the next time.
        for line in follower.poll().into_iter().flatten() {
            show.log(&line);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The port that was asked for; else the one of the last session; else the first that is free.
fn choose_port(home: &Path, asked: Option<u16>, show: &Show) -> Result<TcpListener> {
    let listen = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = asked {
        return listen(port).map_err(|e| {
            let message = format!(
                "cannot listen on port {port}: {e}; end the program that uses it (`ss -ltnp 'sport = :{port}'` names \
                 it), or give another --port"
            );
            Error::new(ErrorKind::Config, message).caused_by(e)
        });
    }
    let last = std::fs::read_to_string(home.join("port")).ok().and_then(|text| text.trim().parse().ok());
    if let Some(port) = last {
        match listen(port) {
            Ok(listener) => return Ok(listener),
            Err(e) => {
                let text = format!(
                    "the last session had port {port}, which cannot be had now ({e}): taking another"
                );
                show.news("port", &text, json!({ "taken": port }));
            }
        }
    }
    PORTS.clone().find_map(|port| listen(port).ok()).ok_or_else(|| {
        let (first, last) = (PORTS.start(), PORTS.end());
        let message = format!("no port from {first} to {last} is free: give one with --port");
        Error::new(ErrorKind::Config, message)
    })
}

/// What serves now, and how the next version comes.
struct Session<'a> {
    directory: PathBuf,
    args: &'a Args,
    options: &'a args::Dev,
    show: &'a Show,
    host: &'a Embedded,
    home: &'a Path,
    running: Running,
    serves: Option<Serves>,
}

/// What a version was made from: the same again is no new version.
#[derive(PartialEq)]
struct Serves {
    program: PathBuf,
    file: (u64, Option<SystemTime>),
    spec: Spec,
}

/// Since when somebody waits for what is being built.
#[derive(Clone, Copy)]
enum Since {
    Start(Instant),
    Save(SystemTime),
}

impl Session<'_> {
    /// Builds and serves, again with every save. Returns only when it cannot go on.
    async fn serve(mut self, mut sources: Sources) -> Result<()> {
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
        let file = std::fs::metadata(&program)?;
        Ok(Serves { file: (file.ino(), file.modified().ok()), program, spec })
    }

    /// Puts what was built into service, unless it is what serves.
    async fn put(&mut self, next: Serves, since: Since, started: Instant) -> Result<()> {
        let built = started.elapsed();
        if self.serves.as_ref() == Some(&next) {
            self.show.news("unchanged", "nothing that is served has changed", json!({}));
            return Ok(());
        }
        let program = Program { binary: next.program.clone(), through: self.through()? };
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
