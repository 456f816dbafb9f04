//! The host: one process per home directory that owns the deployed apps of this machine's user.

pub(crate) mod api;
mod app;
mod buckets;
mod cgroup;
mod child;
mod clock;
mod control;
mod data;
mod deliveries;
mod delivery;
mod deployment;
pub(crate) mod embedded;
mod events;
pub(crate) mod follow;
pub(crate) mod front;
mod leftovers;
mod limits;
mod logs;
mod metrics;
mod pool;
mod queues;
mod release;
mod rows;
mod runner;
mod state;
mod store;
mod usage;
mod weights;

use std::fs::{File, TryLockError};
use std::future::Future;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xcloud_core::text::rfc3339;
use xcloud_core::{Error, ErrorKind, Response, Result};
use xcloud_serve::{Listener, Server, terminated};

use self::api::{HostInfo, MAX_PACKAGE};
pub(crate) use self::leftovers::is_running;
use self::state::Host;
use crate::config::Paths;

/// How often the host looks whether it can still be reached.
const WATCH: Duration = Duration::from_secs(2);

/// Runs the host of a home directory until it is asked to end. When another one runs already, returns at once.
///
/// # Errors
/// The directory, the store or a socket cannot be used. They are in `host.log` too.
pub fn host_main(home: &Path) -> Result<()> {
    // A session of its own: the terminal that it was started from may close. Already one's own: nothing to do.
    let _ = rustix::process::setsid();
    let result = run_alone(Paths::new(home));
    if let Err(error) = &result {
        log(&error.to_string());
    }
    result
}

/// Identifies the program: another file, or another state of the file, is another build.
pub(crate) fn build_of(program: &Path) -> Result<String> {
    let failed = crate::error::io(format!("cannot look at {}", program.display()));
    let file = std::fs::metadata(program).map_err(failed)?;
    Ok(format!("{}-{:x}-{:x}-{:x}", env!("CARGO_PKG_VERSION"), file.mtime(), file.mtime_nsec(), file.size()))
}

/// A line of `host.log`, which is the process's stderr.
fn log(line: &str) {
    // Nobody is left to tell when it cannot be written.
    drop(writeln!(std::io::stderr(), "{} {line}", rfc3339(SystemTime::now())));
}

/// The lock of a home directory; `None` when another host holds it.
fn lock(paths: &Paths) -> Result<Option<File>> {
    paths.create()?;
    let path = paths.lock();
    let failed = || crate::error::io(format!("cannot lock {}", path.display()));
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed())?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(failed()(e)),
    }
}

fn run_alone(paths: Paths) -> Result<()> {
    let Some(file) = lock(&paths)? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(paths))?;
    // Held to the end: the next host must not open a store before.
    drop(runtime);
    drop(file);
    Ok(())
}

async fn run(paths: Paths) -> Result<()> {
    let signal = terminated()?;
    let alive = paths.alive();
    // Whoever finds it later, and no host, knows that this one did not end by itself.
    std::fs::write(&alive, leftovers::myself())
        .map_err(crate::error::io("cannot write in the home directory"))?;
    let (host, servers) = begin(paths).await?;
    log(&format!("host {} runs as process {}", host.info.build, host.info.pid));
    let mut asked = host.stop.subscribe();
    let socket = host.paths.control();
    tokio::select! {
        () = signal => log("asked to end by a signal"),
        () = asked_to(&mut asked) => log("asked to end by a client"),
        () = unreachable(&socket) => log("the control socket is gone: nobody can reach this host"),
    }
    end(&host, servers).await;
    log("ended");
    std::fs::remove_file(&alive).map_err(crate::error::io("cannot remove a file of the home directory"))
}

/// Opens the store, brings the apps back and listens. The lock must be held.
async fn begin(paths: Paths) -> Result<(Arc<Host>, JoinSet<()>)> {
    many_files();
    leftovers::clear(paths.run()).map_err(crate::error::io("cannot clear the run directory"))?;
    let groups = cgroup::Groups::new(paths.run());
    let info = HostInfo {
        build: build_of(&std::env::current_exe()?)?,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        apps: Vec::new(),
        messages: 0,
        memory_limits: match &groups {
            Ok(groups) => groups.describe(),
            Err(why) => format!("held by looking ten times a second ({why})"),
        },
    };
    let host = Host::new(paths, info, groups.ok());
    let (control, data) = (listen(&host.paths.control())?, listen(&host.paths.data())?);
    let mut servers = JoinSet::new();
    servers.spawn(serve(&host, Listener::Unix(data), MAX_SEND, data::answer));
    host.restore().await?;
    // Without a free port, metrics are not served for Prometheus; `xcloud metrics` has them all the same.
    if let Some((listener, url)) = metrics::prometheus::listen().await {
        drop(host.prometheus.set(url));
        servers.spawn(serve(&host, Listener::Tcp(listener), 0, metrics::prometheus::answer));
    }
    // After the restore: who gets an answer sees every app.
    servers.spawn(serve(&host, Listener::Unix(control), MAX_PACKAGE, control::answer));
    Ok((host, servers))
}

/// As many open files as this user may have: each client is one, and each call on its way another.
fn many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Without it there are fewer clients at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Lets every call on its way end, then every process.
async fn end(host: &Host, mut servers: JoinSet<()>) {
    host.stop.send_replace(true);
    let mut ending = JoinSet::new();
    for app in host.apps() {
        ending.spawn(async move { app.end().await });
    }
    ending.join_all().await;
    servers.abort_all();
}

/// Resolves when the value turns true, or nobody is left to turn it.
async fn asked_to(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// A send holds many messages at once.
const MAX_SEND: usize = 64 * 1024 * 1024;

fn serve<F>(
    host: &Arc<Host>,
    listener: Listener,
    max_body: usize,
    answer: fn(Arc<Host>, Request<Bytes>) -> F,
) -> impl Future<Output = ()> + Send + 'static
where
    F: Future<Output = Response> + Send + 'static,
{
    let host = Arc::clone(host);
    async move {
        let mut stopped = host.stop.subscribe();
        let stop = async move { asked_to(&mut stopped).await };
        let server = Server::new().max_body(max_body);
        let handler = move |request| answer(Arc::clone(&host), request);
        if let Err(error) = server.run(listener, handler, stop).await {
            log(&format!("a socket failed: {error}"));
        }
    }
}

/// Listens on a socket that only this user can open. The lock is held, so what is there is stale.
fn listen(path: &Path) -> Result<UnixListener> {
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Config, format!("cannot listen on {}: {e}", path.display())).caused_by(e)
    };
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Resolves when the socket's file is not the one any more that it was.
async fn unreachable(socket: &Path) {
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let mine = inode(socket);
    while mine.is_some() && inode(socket) == mine {
        tokio::time::sleep(WATCH).await;
    }
}
