//! Names looked up: `/etc/hosts`, then the name servers of `/etc/resolv.conf` (resolv.conf(5), hosts(5)).
//!
//! Not by `getaddrinfo`: in a static program it is 300 KB, and it loads whatever modules `/etc/nsswitch.conf` names from
//! the image that the program happens to run on, of another glibc than the one it was linked with.

mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use self::message::{Answer, Kind, Query};

/// A name server that has not answered by then is passed over; all are asked twice.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;
/// As many as glibc takes.
const SERVERS: usize = 3;
/// Without extensions no datagram is longer.
const DATAGRAM: usize = 512;

/// What this machine knows of names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    hosts: String,
    servers: Vec<SocketAddr>,
    search: Vec<String>,
}

impl Names {
    /// As the machine's files have it now: they are read for each connection, and connections are kept.
    pub(crate) fn of_this_machine() -> Self {
        // Either may be missing in an image.
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::new(read("/etc/hosts"), &read("/etc/resolv.conf"))
    }

    fn new(hosts: String, resolv: &str) -> Self {
        let mut names = Self { hosts, ..Self::default() };
        for line in resolv.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                // A zone (`fe80::1%eth0`) is left out, with its server.
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    names.servers.extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => names.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        names.servers.truncate(SERVERS);
        if names.servers.is_empty() {
            names.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        names
    }

    /// The addresses of a name, the best first.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]: there is none; any other: no server could say.
    pub(crate) async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let known = self.known(name);
        if !known.is_empty() {
            return Ok(known);
        }
        // The services' names are whole, so the name as it is comes first whatever `ndots` says.
        let mut found = self.ask(name).await;
        for domain in &self.search {
            if !found.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
                break;
            }
            found = self.ask(&format!("{name}.{domain}")).await;
        }
        found.map_err(|e| io::Error::new(e.kind(), format!("the name {name}: {e}")))
    }

    /// What `/etc/hosts` says.
    fn known(&self, name: &str) -> Vec<IpAddr> {
        let line = |line: &str| {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
        };
        self.hosts.lines().filter_map(line).collect()
    }

    async fn ask(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.ask_for(name, Kind::A).await?;
        if found.is_empty() { some(self.ask_for(name, Kind::Aaaa).await?) } else { Ok(found) }
    }

    async fn ask_for(&self, name: &str, kind: Kind) -> io::Result<Vec<IpAddr>> {
        let mut last = io::Error::other("no name server");
        for server in self.servers.iter().cycle().take(ROUNDS * self.servers.len()) {
            let query = Query::new(crate::random::number() as u16, name, kind)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not a name"))?;
            last = match timeout(PATIENCE, exchange(*server, &query)).await {
                Ok(Ok(Answer::Found(addresses))) => return Ok(addresses),
                Ok(Ok(Answer::NoSuchName)) => return none(),
                Ok(Ok(Answer::Failed(code))) => io::Error::other(format!("{server} answered {code}")),
                Ok(Ok(Answer::Truncated)) => io::Error::other(format!("{server} cut its answer short")),
                Ok(Err(error)) => error,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("{server} did not answer")),
            };
        }
        Err(last)
    }
}

fn none<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::NotFound, "there is no such name"))
}

fn some(addresses: Vec<IpAddr>) -> io::Result<Vec<IpAddr>> {
    if addresses.is_empty() { none() } else { Ok(addresses) }
}

/// By datagram, and again over TCP when the answer did not fit into one.
async fn exchange(server: SocketAddr, query: &Query) -> io::Result<Answer> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query.bytes()).await?;
    let mut buffer = [0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match query.answer(&buffer[..length]) {
            Some(Answer::Truncated) => return over_tcp(server, query).await,
            Some(answer) => return Ok(answer),
            // Late, or somebody else's.
            None => {}
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &Query) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = (query.bytes().len() as u16).to_be_bytes();
    stream.write_all(&[&length, query.bytes()].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "not an answer to the query");
    query.answer(&answer).ok_or_else(bad)
}

#[cfg(test)]
mod tests;
