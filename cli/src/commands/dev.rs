//! `xcloud dev`: serves the app on this machine, builds and swaps it whenever a source is saved.
//!
//! The host is the one that `xcloud deploy` starts, as a library inside this process: queues, retries, the switch between
//! versions and the logs are the same code, and nothing outlives the process.

mod compile;
mod running;
mod session;
mod show;
mod watch;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use xcloud_core::spec::Spec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::LogQuery;
use xcloud_local_deploy::{Calls, Embedded, Follower};

pub(crate) use self::running::Running;
use self::session::Session;
use self::show::{News, Show};
use self::watch::Sources;
use super::Project;
use crate::args::{self, Args, Output};
use crate::printer::{Done, Printer};
use crate::{exit, registry};

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
    if let Some((other, _)) = Running::find(&project.directory, &project.stage.stage).await {
        let (url, pid) = (other.url, other.pid);
        return Err(Error::conflict(format!(
            "another `xcloud dev` serves this app already: {url}, process {pid}"
        )));
    }
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
    let follower = Follower::new(host.logs(), LogQuery::default());
    let (last, ended) = oneshot::channel();
    let logs = tokio::spawn(follow(follower, host.calls()?, Arc::clone(&show), ended));
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
    drop(last);
    // Nothing is lost but lines, and those of functions that were ended at once.
    drop(logs.await);
    ended.map(|()| done)
}

/// Prints log lines and calls as they come, to the last one before the end.
async fn follow(mut follower: Follower, mut calls: Calls, show: Arc<Show>, mut ended: oneshot::Receiver<()>) {
    let mut last = false;
    loop {
        // Calls first: what is told of a call's end has its lines before it.
        let calls = calls.poll().into_iter().map(News::Call);
        // A file that cannot be read now may be readable the next time.
        let lines = follower.poll().into_iter().flatten().map(News::Line);
        let mut news: Vec<_> = lines.chain(calls).collect();
        // Stable: what has the same time stays as it is.
        news.sort_by(|a, b| a.time().cmp(b.time()));
        news.iter().for_each(|news| show.happened(news));
        if last {
            return;
        }
        last = tokio::time::timeout(LOOK, &mut ended).await.is_ok();
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
