//! What the local host needs of this machine.

use std::path::{Path, PathBuf};

use xcloud_core::{Error, ErrorKind, Result};

/// Who listens on a TCP port of this machine (IPv4).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Nobody.
    Free,
    /// A process: its id and name, where this user may see them.
    Taken(Option<(u32, String)>),
}

/// Looks at a port on loopback.
pub(crate) fn port(port: u16) -> Port {
    match std::net::TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Port::Free,
        Err(_) => {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
            Port::Taken(listener(&table, port).and_then(owner))
        }
    }
}

/// The inode of the socket that listens on a port, in a table as /proc/net/tcp is one (proc_net_tcp(5)).
fn listener(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let of = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (of == port && *state == "0A").then(|| inode.parse().ok())?
    })
}

/// The process that holds a socket.
fn owner(inode: u64) -> Option<(u32, String)> {
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    let holds = |process: &Path| {
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|link| link == wanted)
    };
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if holds(&entry.path()) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((id, name.trim().to_owned()));
        }
    }
    None
}

/// Whether a file can be made in a directory, or where it would be made.
///
/// # Errors
/// [`ErrorKind::Config`] with the reason.
pub(crate) fn writable(directory: &Path) -> Result<()> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    let probe = there.join(format!(".xcloud-doctor-{}", std::process::id()));
    let tried = std::fs::File::create_new(&probe);
    if tried.is_ok() {
        std::fs::remove_file(&probe)?;
    }
    tried.map(drop).map_err(|e| {
        Error::new(ErrorKind::Config, format!("{} cannot be written: {e}", there.display())).caused_by(e)
    })
}

/// The program that listens on a unix socket, when one does.
pub(crate) async fn listens(socket: &Path) -> Option<i32> {
    let connected = tokio::net::UnixStream::connect(socket);
    let stream = tokio::time::timeout(std::time::Duration::from_secs(2), connected).await.ok()?.ok()?;
    stream.peer_cred().ok()?.pid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_listener_of_a_port_is_this_process() {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = socket.local_addr().unwrap().port();
        let Port::Taken(Some((id, name))) = port(taken) else { panic!("nobody listens on {taken}") };
        assert_eq!(id, std::process::id());
        assert!(!name.is_empty());
    }

    #[test]
    fn directories_are_tried() {
        let directory = std::env::temp_dir().join(format!("xcloud-probe-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        writable(&directory.join("not/there")).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "nothing is left");
        std::fs::remove_dir(&directory).unwrap();
        assert!(writable(Path::new("/proc/none")).unwrap_err().message().contains("/proc cannot"));
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(text in "\\PC{0,200}", port: u16) {
            listener(&text, port);
            listener(&format!("head\n{text}\n 0: 0100007F:{port:04X} 0 0A {text}"), port);
        }
    }
}
