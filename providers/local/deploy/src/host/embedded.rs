//! A host inside another process: `xcloud dev` serves one app with it. Same queues, fronts, processes and switch as the
//! host that `xcloud deploy` starts; it ends with the process around it.

mod waiting;

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use xcloud_core::spec::{HTTP_FUNCTION, Spec};
use xcloud_core::{Error, Result};
use xcloud_deploy::Stage;
use xcloud_deploy::metrics::Invocation;
use xcloud_deploy::package;

use self::waiting::Waiting;
use super::api::secrets::Vault;
use super::api::{HostSettings, Manifest, Publish, app_key};
use super::app::App;
use super::state::Host;
use super::{begin, end, release};
use crate::config::{Paths, hex};

/// A host that this process is.
pub struct Embedded {
    host: Arc<Host>,
    servers: JoinSet<()>,
    stage: Stage,
    key: String,
    listener: std::net::TcpListener,
    /// Answers until there is a version to serve.
    waiting: Mutex<Option<Waiting>>,
    /// Held until everything has ended.
    _lock: File,
}

/// What functions are started from.
#[derive(Debug, Clone)]
pub struct Program {
    /// The app's binary. It is copied: a compiler may write the file again.
    pub binary: PathBuf,
    /// A command that starts the binary, whose path is its last argument; empty: the binary is started itself.
    pub through: Vec<String>,
    /// What lies beside it.
    pub files: Vec<package::File>,
}

/// An app that was put into service.
#[derive(Debug, Clone)]
pub struct Served {
    /// Counted from 1.
    pub version: u64,
    /// The base URL, where there is HTTP.
    pub url: Option<String>,
}

impl Embedded {
    /// Starts a host in this directory that owns one app and listens on a port from now on: until there is a version, the
    /// answer is 503. What its queues and tables held is still there; what served before is not: the sources may say
    /// something else by now.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Conflict`]: another host runs in the directory. Or the directory, the store or a socket
    /// cannot be used.
    pub async fn start(home: &Path, stage: Stage, listener: std::net::TcpListener) -> Result<Self> {
        let key = app_key(&stage)?;
        let paths = Paths::new(home);
        let lock = super::lock(&paths)?.ok_or_else(|| {
            Error::conflict(format!(
                "another host holds {}: it serves this app already",
                paths.lock().display()
            ))
        })?;
        forget(&paths.app(&key))?;
        let (host, servers) = begin(paths).await?;
        listener.set_nonblocking(true)?;
        let waiting = Mutex::new(Some(Waiting::start(&listener)?));
        Ok(Self { host, servers, stage, key, listener, waiting, _lock: lock })
    }

    /// Puts a program into service: its processes start beside the old ones, and take over when all are ready. Calls
    /// on their way end where they began.
    ///
    /// # Errors
    /// What kept it from being ready; what served before still serves.
    pub async fn publish(&self, spec: &Spec, program: &Program) -> Result<Served> {
        let app = self.host.app_or_new(&self.key)?;
        let directory = app.place().directory.clone();
        let digest = fingerprint(program)?;
        let (to, from, name) = (directory, program.clone(), digest.clone());
        tokio::task::spawn_blocking(move || place(&to, &name, &from))
            .await
            .map_err(|e| Error::handler(e.to_string()))??;
        let manifest = Manifest {
            package: digest.clone(),
            binary_sha256: digest,
            files_sha256: None,
            functions: spec.functions.clone(),
            queues: spec.queues.clone(),
            tables: spec.tables.clone(),
            buckets: spec.buckets.clone(),
            topics: spec.topics.clone(),
            // Debug builds are large, and the sources are what one goes back to.
            host: HostSettings { keep_versions: Some(2), ..HostSettings::default() },
        };
        let base = app.record().version;
        let publish = Publish {
            stage: self.stage.clone(),
            manifest,
            base,
            delete_data: false,
            secrets: Vault::new(),
            no_traffic: false,
            durability: None,
        };
        // Before the front listens: a connection is taken by one of the two.
        let waited = lock(&self.waiting).take();
        if waited.is_some() {
            drop(waited);
            app.offer(TcpListener::from_std(self.listener.try_clone()?)?);
        }
        let (published, taken) = (Arc::clone(&app), self.host.ports_but(&self.key));
        // In a task of its own: a caller that goes away in the middle does not leave it half done.
        let version = tokio::spawn(async move { published.publish(publish, &taken).await });
        let version = version.await.map_err(|e| Error::handler(e.to_string()))?;
        if version.is_err() && app.record().version == 0 {
            *lock(&self.waiting) = Some(Waiting::start(&self.listener)?);
        }
        let version = version?;
        let http = spec.functions.iter().any(|f| f.name == HTTP_FUNCTION);
        let port = app.record().port.filter(|_| http);
        Ok(Served { version, url: port.map(|port| format!("http://127.0.0.1:{port}")) })
    }

    /// The directory of the app's logs.
    pub fn logs(&self) -> PathBuf {
        self.host.paths.app(&self.key).join("logs")
    }

    /// What the app's functions are called for.
    ///
    /// # Errors
    /// None that an app of this host's own can have.
    pub fn calls(&self) -> Result<Calls> {
        Ok(Calls { app: self.host.app_or_new(&self.key)?, seen: HashSet::new() })
    }

    /// Lets calls on their way end, then every process. When this returns nothing of it runs.
    pub async fn stop(self) {
        end(&self.host, self.servers).await;
    }
}

/// The calls of an app, as they end.
pub struct Calls {
    app: Arc<App>,
    seen: HashSet<String>,
}

/// More calls than this between two looks are not all told of.
const CALLS: usize = 100;

impl Calls {
    /// The calls that have ended since the last time.
    pub fn poll(&mut self) -> Vec<Invocation> {
        let meters = self.app.place().meters.all();
        let recent: Vec<_> = meters.iter().flat_map(|meter| meter.recent(CALLS)).collect();
        let ids = recent.iter().map(|call| call.request_id.clone()).collect();
        let seen = std::mem::replace(&mut self.seen, ids);
        recent.into_iter().filter(|call| !seen.contains(&call.request_id)).collect()
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Calls({})", self.app.place().key)
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Embedded({})", self.key)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what an app served, not what it stored.
fn forget(app: &Path) -> Result<()> {
    let gone = |path: PathBuf| {
        let result = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match result {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(crate::error::io(format!("cannot clear {}", path.display()))(e))
            }
            _ => Ok(()),
        }
    };
    ["app.json", "releases", "logs"].iter().try_for_each(|name| gone(app.join(name)))
}

/// A name for what is started, in the form of a digest. It is enough that the file was not written since: hashing a
/// large debug build would be the longest part of a swap.
fn fingerprint(program: &Program) -> Result<String> {
    let path = &program.binary;
    let file =
        std::fs::metadata(path).map_err(crate::error::io(format!("cannot look at {}", path.display())))?;
    let times = format!("{} {}", file.mtime(), file.mtime_nsec());
    let mut hash = Sha256::new();
    hash.update(format!("{} {times} {} {:?}", file.ino(), file.size(), program.through));
    for package::File { path, bytes, executable } in &program.files {
        hash.update(format!("\n{path} {executable} {} ", bytes.len()));
        hash.update(bytes);
    }
    Ok(hex(&hash.finalize()))
}

fn place(app: &Path, name: &str, program: &Program) -> Result<()> {
    let own = release::directory(app, name).join("app");
    release::place(app, name, |entry| {
        for file in &program.files {
            release::write_beside(entry, file)?;
        }
        if program.through.is_empty() {
            return std::fs::copy(&program.binary, entry).map(drop);
        }
        std::fs::copy(&program.binary, entry.with_file_name("app"))?;
        std::fs::write(entry, script(&program.through, &own))
    })
}

/// A script that becomes the command.
fn script(command: &[String], program: &Path) -> String {
    let program = program.display().to_string();
    let quoted = command.iter().chain([&program]).map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    format!("#!/bin/sh\nexec {}\n", quoted.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_stay_words() {
        let command = ["/a b/it's".to_owned(), "$HOME".to_owned()];
        assert_eq!(script(&command, Path::new("/p")), "#!/bin/sh\nexec '/a b/it'\\''s' '$HOME' '/p'\n");
    }
}
