//! A service of the tests' own: it answers what it is told, and keeps what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the service does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers with this status and body.
    Answer(u16, String),
    /// Answers, and closes the connection without saying so.
    AnswerAndClose(u16, String),
    /// Closes the connection instead.
    Close,
    /// Says nothing.
    Hang,
}

/// Heads and bodies of the requests, by connection.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<(usize, String, String)>>>);

impl Seen {
    pub(crate) fn all(&self) -> Vec<(usize, String, String)> {
        self.0.lock().unwrap().clone()
    }
}

/// Starts one; each act is for one request, over whatever connection it comes. The rest hang.
pub(crate) async fn service(acts: Vec<Act>) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let (acts, shared) = (Arc::new(Mutex::new(acts.into_iter())), seen.clone());
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, connection, Arc::clone(&acts), shared.clone()));
        }
    });
    (port, seen)
}

/// One connection.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    acts: Arc<Mutex<std::vec::IntoIter<Act>>>,
    seen: Seen,
) {
    while let Some((head, body)) = request(&mut stream).await {
        seen.0.lock().unwrap().push((connection, head, body));
        let act = acts.lock().unwrap().next().unwrap_or(Act::Hang);
        match act {
            Act::Answer(status, body) => answer(&mut stream, status, &body).await,
            Act::AnswerAndClose(status, body) => return answer(&mut stream, status, &body).await,
            Act::Close => return,
            Act::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
        }
    }
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, status: u16, body: &str) {
    let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some((head, String::from_utf8(bytes[end + 4..].to_vec()).unwrap()));
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
