//! Requests to a service: connections of HTTP/1.1 over TLS, kept for the next request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use xcloud_core::{BoxFuture, Error, Result};
use xcloud_serve::Client;
use xcloud_serve::client::{Address, Dial, Duplex, Repeat, Reply};

use crate::dns::Names;
use crate::origin::Origin;
use crate::tls;

/// Connections kept for the next request.
const IDLE: usize = 16;
/// Services keep an idle connection for about a minute; one that they may be closing is not used.
const FRESH: Duration = Duration::from_secs(20);
/// An address that takes longer is passed over.
const CONNECT: Duration = Duration::from_secs(3);
/// The longest answer: ten receipts or an error are a few kilobytes.
const MAX_ANSWER: usize = 256 * 1024;

/// A service, with the connections to it that are idle.
pub(crate) struct Peer {
    dial: Arc<Dialler>,
    /// By the clock of the wall: an instance that is frozen between calls does not feel the time pass.
    idle: Mutex<Vec<(Client, SystemTime)>>,
}

impl Peer {
    /// The peer at an origin; what goes to the same one shares its connections.
    pub(crate) fn at(origin: Origin) -> Arc<Self> {
        static PEERS: Mutex<Vec<Arc<Peer>>> = Mutex::new(Vec::new());
        let mut peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.iter().find(|peer| peer.dial.origin == origin) {
            return Arc::clone(peer);
        }
        let peer = Arc::new(Self::new(origin, None));
        peers.push(Arc::clone(&peer));
        peer
    }

    fn new(origin: Origin, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { dial: Arc::new(Dialler { origin, tls }), idle: Mutex::default() }
    }

    /// The value of `host` in its requests.
    pub(crate) fn host(&self) -> &str {
        &self.dial.origin.host
    }

    /// Sends a request whose head, up to the empty line, is written already; `what` names it in errors.
    ///
    /// Whatever it does is done again when a kept connection turns out to be closed before the first byte of the answer:
    /// the service may have done it, rarely, so this is for what may be done twice.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`]: no connection, no answer by `until`, or not one of HTTP.
    pub(crate) async fn ask(&self, what: &str, head: &[u8], body: &[u8], until: Instant) -> Result<Reply> {
        let mut client = self.take();
        let answer = client.send(what, head, body, Repeat::IfClosed);
        let reply = tokio::time::timeout_at(until.into(), answer)
            .await
            .map_err(|_| Error::unavailable(format!("{what} at {}: no answer in time", self.host())))??;
        self.give(client);
        Ok(reply)
    }

    fn take(&self) -> Client {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.pop() {
            Some((client, since)) if since.elapsed().is_ok_and(|age| age < FRESH) => client,
            // The newest is too old, so all are.
            _ => {
                idle.clear();
                let dial = Arc::clone(&self.dial) as Arc<dyn Dial>;
                Client::new(Address::Dialled(dial)).max_body(MAX_ANSWER)
            }
        }
    }

    fn give(&self, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push((client, SystemTime::now()));
        }
    }
}

/// Makes the connections to one origin.
struct Dialler {
    origin: Origin,
    /// The process's, unless a test brings its own.
    tls: Option<Arc<ClientConfig>>,
}

impl Dial for Dialler {
    fn host(&self) -> &str {
        &self.origin.host
    }

    fn dial(&self) -> BoxFuture<'_, io::Result<Box<dyn Duplex>>> {
        Box::pin(self.connect())
    }
}

impl Dialler {
    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let addresses = match self.origin.address() {
            Some(address) => vec![address],
            None => Names::of_this_machine().look_up(&self.origin.name).await?,
        };
        let tcp = self.reach(&addresses).await?;
        if !self.origin.secure {
            return Ok(Box::new(tcp));
        }
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => tls::shared()?,
        };
        Ok(Box::new(tls::over(tcp, &self.origin.name, config).await?))
    }

    /// A connection to the first address that answers.
    async fn reach(&self, addresses: &[IpAddr]) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            let address = SocketAddr::new(*address, self.origin.port);
            last = match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // A small request should not wait for an ACK; a socket that refuses the option still works.
                    drop(tcp.set_nodelay(true));
                    return Ok(tcp);
                }
                Ok(Err(error)) => error,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
            };
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests;
