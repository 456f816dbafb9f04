//! Where a host keeps its things, and how one is started.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xcloud_core::{Error, ErrorKind, Result};

use crate::host::front;

/// The longest path of a unix socket is 107 bytes on Linux and 103 on macOS.
const MAX_SOCKET: usize = 103;
/// The longest file name in the run directory.
const LONGEST_NAME: usize = "/control.sock".len() + 8;

/// What the acknowledgement of a message or row survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of the host's process, however it ends. A power cut may take the last seconds, and never more.
    #[default]
    Process,
    /// A power cut too: what waits together is synced to disk together, before anyone is answered.
    Fsync,
}

impl Durability {
    /// The word in xcloud.toml and in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Fsync => "fsync",
        }
    }
}

impl FromStr for Durability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "process" => Ok(Self::Process),
            "fsync" => Ok(Self::Fsync),
            other => {
                let message = format!("durability is \"process\" or \"fsync\", not {other:?}");
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }
}

/// Which host, and how to start it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The host's directory: one host per directory.
    pub home: PathBuf,
    /// The program and arguments that run [`crate::host_main`]; the home directory is added as the last argument.
    /// Empty: the host is one that others start, and only spoken to.
    pub host_command: Vec<OsString>,
    /// What acknowledgements of the app's queues and tables survive; `None`: as it is.
    pub durability: Option<Durability>,
    /// Told what whoever waits should know: that the host had ended, and came back.
    pub notice: fn(&str),
}

impl Config {
    /// `XCLOUD_HOME`, else `$XDG_STATE_HOME/xcloud`, else `~/.local/state/xcloud`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when none of the variables is set, or the path is not absolute.
    pub fn default_home(get: impl Fn(&str) -> Option<String>) -> Result<PathBuf> {
        let get = |name: &str| get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = get("XCLOUD_HOME")
            .or_else(|| Some(get("XDG_STATE_HOME")?.join("xcloud")))
            .or_else(|| Some(get("HOME")?.join(".local/state/xcloud")));
        match home {
            Some(home) if home.is_absolute() => Ok(home),
            Some(home) => Ok(std::env::current_dir()?.join(home)),
            None => {
                let message = "no directory for the local host: set XCLOUD_HOME (or HOME)";
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }
}

impl Config {
    /// Where the host of a home directory takes commands. Its path is short enough for a socket.
    pub fn control_socket(home: &Path) -> PathBuf {
        Paths::new(home).control()
    }

    /// The first port that an app gets: `XCLOUD_FIRST_PORT`, else 8700.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when the variable holds no port.
    pub fn first_port(get: impl Fn(&str) -> Option<String>) -> Result<u16> {
        Ok(*front::ports(get)?.start())
    }
}

/// The files of a host.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    home: PathBuf,
    run: PathBuf,
}

impl Paths {
    pub(crate) fn new(home: &Path) -> Self {
        let inside = home.join("run");
        let run = if inside.as_os_str().len() + LONGEST_NAME <= MAX_SOCKET { inside } else { short(home) };
        Self { home: home.to_owned(), run }
    }

    /// Makes the directories, those that hold something private for their owner alone.
    pub(crate) fn create(&self) -> Result<()> {
        let failed = |path: &Path, e: io::Error| {
            let message = format!("cannot make the directory {}: {e}", path.display());
            Error::new(ErrorKind::Config, message).caused_by(e)
        };
        for path in [&self.home, &self.run, &self.apps()] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|e| failed(path, e))?;
        }
        for path in [&self.run, &self.apps()] {
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(path, mode).map_err(|e| failed(path, e))?;
        }
        let owner = std::fs::metadata(&self.run).map_err(|e| failed(&self.run, e))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            let message = format!("{} belongs to another user", self.run.display());
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(())
    }

    /// Sockets and pid files; nothing in it outlives a host.
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }
    pub(crate) fn control(&self) -> PathBuf {
        self.run.join("control.sock")
    }
    pub(crate) fn data(&self) -> PathBuf {
        self.run.join("data.sock")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.home.join("host.lock")
    }
    /// There while a host runs, and after one that did not end by itself.
    pub(crate) fn alive(&self) -> PathBuf {
        self.home.join("host.alive")
    }
    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("host.log")
    }
    /// What an app's files are called, without their extensions.
    pub(crate) fn store(&self, key: &str) -> PathBuf {
        self.app(key).join("store")
    }
    pub(crate) fn apps(&self) -> PathBuf {
        self.home.join("apps")
    }
    pub(crate) fn app(&self, key: &str) -> PathBuf {
        self.apps().join(key)
    }
}

/// A run directory for a home whose path is too long for sockets; the same for every process of the user.
fn short(home: &Path) -> PathBuf {
    let digest = hex(&Sha256::digest(home.as_os_str().as_encoded_bytes())[..8]);
    let user = rustix::process::geteuid().as_raw();
    PathBuf::from(format!("/tmp/xcloud-{user}-{digest}"))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_the_first_variable_that_is_set() {
        let home = |vars: &'static [(&str, &str)]| {
            Config::default_home(|n| vars.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(home(&[("XCLOUD_HOME", "/x"), ("HOME", "/h")]).unwrap(), Path::new("/x"));
        assert_eq!(home(&[("XCLOUD_HOME", ""), ("XDG_STATE_HOME", "/s")]).unwrap(), Path::new("/s/xcloud"));
        assert_eq!(home(&[("HOME", "/h")]).unwrap(), Path::new("/h/.local/state/xcloud"));
        assert!(home(&[]).unwrap_err().message().contains("XCLOUD_HOME"));
    }

    #[test]
    fn sockets_of_a_deep_home_have_a_short_path() {
        let paths = Paths::new(Path::new("/h"));
        assert_eq!(paths.control(), Path::new("/h/run/control.sock"));
        let deep = Paths::new(&Path::new("/").join("d".repeat(200)));
        assert!(deep.control().as_os_str().len() < MAX_SOCKET, "{:?}", deep.control());
        assert_ne!(deep.run(), Paths::new(&Path::new("/").join("e".repeat(200))).run());
    }
}
