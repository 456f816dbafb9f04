//! The CLI's end of the control socket: finds the host, starts it, replaces one of another build.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use xcloud_core::text::percent_encode;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_serve::Client;
use xcloud_serve::client::{Address, Reply};

use crate::config::{Config, Paths};
use crate::error::from_reply;
use crate::host::api::{HostInfo, VERSION};
use crate::host::{build_of, is_running};

/// From the first try to an answer: the old host may have to let requests end first.
const CONTACT: Duration = Duration::from_secs(60);
/// A host that takes a connection answers this question at once.
const HELLO: Duration = Duration::from_secs(10);
/// A publish waits for processes to start, a destroy for them to end.
const CALL: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(10);
/// Of `host.log`, what an error shows.
const LOG_TAIL: u64 = 2000;

/// The way to the host.
pub(crate) struct Control {
    config: Config,
    pub(crate) paths: Paths,
    client: Mutex<Option<Client>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Control {
    pub(crate) fn new(config: Config) -> Self {
        let paths = Paths::new(&config.home);
        let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { config, paths, client: Mutex::new(None), reads, writes }
    }

    /// Requests sent so far: reads and writes.
    pub(crate) fn calls(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    /// Asks the host, which is started if none runs.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read(&self.send("GET", path, b"").await?)
    }

    /// Tells the host something as JSON.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        read(&self.send("POST", path, &serde_json::to_vec(body)?).await?)
    }

    /// Sends bytes, and reads an answer of 2xx.
    ///
    /// # Errors
    /// No host can be started or reached, or what it answered.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<Reply> {
        let mut slot = self.client.lock().await;
        let mut client = match slot.take() {
            Some(client) => client,
            None => self.contact().await?,
        };
        let reply = self.request(&mut client, method, path, body, CALL).await?;
        *slot = Some(client);
        if !(200..300).contains(&reply.status) {
            return Err(from_reply(reply.status, &reply.body));
        }
        Ok(reply)
    }

    async fn request(
        &self,
        client: &mut Client,
        method: &str,
        path: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<Reply> {
        let counter = if method == "GET" { &self.reads } else { &self.writes };
        counter.fetch_add(1, Ordering::Relaxed);
        let path = format!("{VERSION}{path}");
        let request = client.request(method, &path, &[], body);
        tokio::time::timeout(limit, request).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, format!("the local host did not answer within {limit:?}")))
        })
    }

    /// The host that runs, of whatever build.
    pub(crate) async fn running(&self) -> Result<Option<HostInfo>> {
        let mut client = Client::new(Address::Unix(self.paths.control()));
        match self.hello(&mut client).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends the host that runs, and waits for its end.
    pub(crate) async fn stop(&self) -> Result<Option<HostInfo>> {
        let mut client = Client::new(Address::Unix(self.paths.control()));
        let Some(info) = self.running().await? else { return Ok(None) };
        self.replace(&mut client, &info, Instant::now() + CONTACT).await?;
        Ok(Some(info))
    }

    /// A connection to a host of this build.
    async fn contact(&self) -> Result<Client> {
        // Asked before a new one says that it is there.
        let died = !self.config.host_command.is_empty() && self.has_died();
        let client = self.connect().await?;
        if died {
            self.tell().await;
        }
        Ok(client)
    }

    /// Whether a host ran here and ended without having been asked to.
    fn has_died(&self) -> bool {
        let alive = std::fs::read_to_string(self.paths.alive());
        alive.is_ok_and(|text| !is_running(&text))
    }

    /// Says that the host is another one now.
    async fn tell(&self) {
        let has = match self.running().await {
            Ok(Some(info)) => {
                let apps = count(info.apps.len() as u64, "app");
                format!(" with {apps} and {}", count(info.messages, "message"))
            }
            _ => String::new(),
        };
        let log = self.paths.log();
        (self.config.notice)(&format!(
            "the local host had ended without being asked to (killed? {} may say why); it was started again{has}",
            log.display()
        ));
    }

    async fn connect(&self) -> Result<Client> {
        let Some(program) = self.config.host_command.first() else { return self.attach().await };
        let build = build_of(Path::new(program))?;
        self.paths.create()?;
        let end = Instant::now() + CONTACT;
        let mut started: Option<Child> = None;
        loop {
            let mut client = Client::new(Address::Unix(self.paths.control()));
            match self.hello(&mut client).await {
                Ok(info) if info.build == build => return Ok(client),
                Ok(info) => self.replace(&mut client, &info, end).await?,
                // A host is there but does not answer: another one could not take its place.
                Err(error) if error.kind() == ErrorKind::Timeout => {
                    let lock = self.paths.lock();
                    let message =
                        format!("{}; end the process that holds {}", error.message(), lock.display());
                    return Err(Error::new(ErrorKind::Timeout, message));
                }
                Err(error) if Instant::now() > end => {
                    return Err(Error::unavailable(format!("{error}; {}", self.log_tail())));
                }
                Err(_) => {}
            }
            // One that found another host ends with 0; that other one may just be ending.
            let ended = match started.as_mut().map(Child::try_wait) {
                Some(status) => status?,
                None => None,
            };
            if let Some(status) = ended.filter(|status| !status.success()) {
                let message = format!("the local host ended at once: {status}; {}", self.log_tail());
                return Err(Error::new(ErrorKind::Config, message));
            }
            if started.is_none() || ended.is_some() {
                started = Some(self.start(program)?);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A connection to a host that others start.
    async fn attach(&self) -> Result<Client> {
        let mut client = Client::new(Address::Unix(self.paths.control()));
        self.hello(&mut client).await?;
        Ok(client)
    }

    async fn hello(&self, client: &mut Client) -> Result<HostInfo> {
        read(&self.request(client, "GET", "/host", b"", HELLO).await?)
    }

    /// Asks a host of another build to end and waits until its lock is free.
    async fn replace(&self, client: &mut Client, info: &HostInfo, end: Instant) -> Result<()> {
        self.request(client, "POST", "/host/stop", b"", HELLO).await?;
        let path = self.paths.lock();
        let failed = || crate::error::io(format!("cannot look at {}", path.display()));
        loop {
            let lock = File::options().write(true).open(&path).map_err(failed())?;
            match lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                Err(_) => {
                    let message = format!("the host of another build (process {}) does not end", info.pid);
                    return Err(Error::new(ErrorKind::Timeout, message));
                }
            }
        }
    }

    fn start(&self, program: &std::ffi::OsStr) -> Result<Child> {
        let log = self.paths.log();
        let failed =
            |what: &Path| crate::error::io(format!("cannot start the local host: {}", what.display()));
        let mut options = File::options();
        let stderr = options.create(true).append(true).mode(0o600).open(&log).map_err(failed(&log))?;
        let mut command = Command::new(program);
        command.args(&self.config.host_command[1..]).arg(&self.config.home);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        command.spawn().map_err(failed(Path::new(program)))
    }

    fn log_tail(&self) -> String {
        let log = self.paths.log();
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        format!("{} ends with: {}", log.display(), read().unwrap_or_default())
    }
}

fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// An app's path on the control socket.
pub(crate) fn app_path(key: &str, rest: &str) -> String {
    format!("/apps/{}{rest}", percent_encode(key))
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    if !(200..300).contains(&reply.status) {
        return Err(from_reply(reply.status, &reply.body));
    }
    serde_json::from_slice(&reply.body)
        .map_err(|e| Error::unavailable(format!("the local host's answer is not understood: {e}")))
}
