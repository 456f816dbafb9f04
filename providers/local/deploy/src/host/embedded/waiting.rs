//! The port while there is no version yet: every connection is answered once, with a 503, and closed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use xcloud_core::Result;

/// A client that takes longer to say what it wants is let go.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a request, what is read before it is answered.
const MAX_HEAD: usize = 64 * 1024;
const ANSWER: &str = "{\"error\":\"nothing is served yet: the first build is not done, or has failed\"}";

/// Takes connections until it is dropped; those it has taken are answered all the same.
pub(super) struct Waiting(JoinHandle<()>);

impl Waiting {
    /// Takes connections of a listener that others may take over from.
    ///
    /// # Errors
    /// When the system does not let it be shared.
    pub(super) fn start(listener: &std::net::TcpListener) -> Result<Self> {
        let listener = TcpListener::from_std(listener.try_clone()?)?;
        Ok(Self(tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(tokio::time::timeout(PATIENCE, answer(stream)))),
                    // Out of descriptors, for now.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let length = ANSWER.len();
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{ANSWER}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    // A client that still writes its body would see a reset connection and not the answer.
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
