//! A small HTTP/1.1 client over TCP, a unix socket, or what a [`Dial`] makes: one connection, kept alive, one write per
//! request. No TLS and no name lookup: functions have neither, unless their app sends to a cloud (`providers/bindings`).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use xcloud_core::{BoxFuture, Error, Result};

use crate::server::Stream;

/// A head larger than this is not an answer of a peer of ours.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;
/// More than any platform's event or answer.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Room for the head and a small body in one read.
const READ: usize = 8 * 1024;

/// A connection, whatever it is made of.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A way to a peer that is not an address of this machine's network.
pub trait Dial: Send + Sync {
    /// The value of its requests' `host`.
    fn host(&self) -> &str;

    /// Makes a connection.
    fn dial(&self) -> BoxFuture<'_, io::Result<Box<dyn Duplex>>>;
}

/// Where the peer listens.
#[derive(Clone)]
pub enum Address {
    /// An address or `localhost`, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
    /// Somewhere else.
    Dialled(Arc<dyn Dial>),
}

/// A client with one connection, made on the first request and again when it was closed.
pub struct Client {
    address: Address,
    host: String,
    stream: Option<Stream>,
    read: BytesMut,
    /// The largest answer so far.
    room: usize,
    max_body: usize,
}

/// Whether a request may be sent again on a new connection, when the peer has closed the old one meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It asks and changes nothing.
    IfClosed,
    /// It may have had its effect.
    Never,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The whole body.
    pub body: Bytes,
}

/// The headers of an answer, as received.
#[derive(Debug)]
pub struct Headers {
    head: Bytes,
    spans: Vec<(Range<usize>, Range<usize>)>,
}

impl Headers {
    /// Names as sent and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|(name, value)| {
            (std::str::from_utf8(&self.head[name.clone()]).unwrap_or_default(), &self.head[value.clone()])
        })
    }

    /// The first value of a header, any case, if it is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = |(n, _): &&(Range<usize>, Range<usize>)| {
            self.head[n.clone()].eq_ignore_ascii_case(name.as_bytes())
        };
        let (_, value) = self.spans.iter().find(named)?;
        std::str::from_utf8(&self.head[value.clone()]).ok()
    }
}

/// How the body of an answer ends.
enum Length {
    Known(usize),
    Chunked,
    /// With the connection.
    Close,
}

/// A head that is still in the buffer.
struct Head {
    status: u16,
    spans: Vec<(Range<usize>, Range<usize>)>,
    end: usize,
    length: Length,
    close: bool,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(address: Address) -> Self {
        let host = match &address {
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".to_owned(),
            Address::Dialled(dial) => dial.host().to_owned(),
        };
        Self { address, host, stream: None, read: BytesMut::new(), room: READ, max_body: MAX_BODY }
    }

    /// Another limit of an answer's body, in bytes.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends a request and reads the whole answer. A `GET` on a connection that the peer has closed meanwhile is
    /// sent again on a new one; what may have had an effect is not.
    ///
    /// Dropped before its end, the connection is closed with it.
    ///
    /// # Errors
    /// [`xcloud_core::ErrorKind::Unavailable`]: no connection, it broke, or the answer was not HTTP.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply> {
        let head = self.compose(method, path, headers, body)?;
        let repeat = if method == "GET" { Repeat::IfClosed } else { Repeat::Never };
        self.send(&format!("{method} {path}"), head.as_bytes(), body, repeat).await
    }

    /// Sends a request whose head, up to the empty line, the caller has written; `what` names it in errors.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn send(&mut self, what: &str, head: &[u8], body: &[u8], repeat: Repeat) -> Result<Reply> {
        let reused = self.stream.is_some();
        let result = match self.exchange(head, body).await {
            Err(error) if reused && repeat == Repeat::IfClosed && is_closed(&error) => {
                self.exchange(head, body).await
            }
            result => result,
        };
        result.map_err(|e| {
            let message = format!("{what} at {}: {e}", self.describe());
            Error::unavailable(message).caused_by(e)
        })
    }

    /// The value of its requests' `host`.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn describe(&self) -> String {
        match &self.address {
            Address::Tcp { .. } | Address::Dialled(_) => self.host.clone(),
            Address::Unix(path) => path.display().to_string(),
        }
    }

    fn compose(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<String> {
        let breaks = |text: &str| text.bytes().any(|b| b == b'\r' || b == b'\n' || b == 0);
        if path.contains(' ') || breaks(path) || headers.iter().any(|(n, v)| breaks(n) || breaks(v)) {
            return Err(Error::bad_request("a path or header of the request holds a line break or space"));
        }
        let mut head = String::new();
        head.extend([method, " ", path, " HTTP/1.1\r\nhost: ", &self.host, "\r\n"]);
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() || method != "GET" {
            head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        Ok(head)
    }

    /// Boxed, so that it is compiled in this crate and not again in every room.
    fn exchange<'a>(&'a mut self, head: &'a [u8], body: &'a [u8]) -> BoxFuture<'a, io::Result<Reply>> {
        Box::pin(self.send_and_read(head, body))
    }

    async fn send_and_read(&mut self, head: &[u8], body: &[u8]) -> io::Result<Reply> {
        // Taken out, so that a dropped future or an error leaves no half-used connection behind.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        write(&mut stream, head, body).await?;
        // Where nobody holds the last answer any more, its room is used again, from the start.
        if !self.read.try_reclaim(self.room) {
            self.read.reserve(READ);
        }
        let head = self.head(&mut stream).await?;
        let reply = self.reply(&mut stream, head).await?;
        if !reply.1 && self.read.is_empty() {
            self.stream = Some(stream);
        }
        Ok(reply.0)
    }

    async fn connect(&mut self) -> io::Result<Stream> {
        self.read.clear();
        Ok(match &self.address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect(crate::socket_address(host, *port)?).await?;
                drop(stream.set_nodelay(true));
                Stream::Tcp(stream)
            }
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
            Address::Dialled(dial) => Stream::Dialled(dial.dial().await?),
        })
    }

    /// The head of the answer, left in the buffer.
    async fn head(&mut self, stream: &mut Stream) -> io::Result<Head> {
        loop {
            if let Some(head) = parse_head(&self.read)? {
                // 1xx: the answer proper follows.
                if head.status >= 200 {
                    return Ok(head);
                }
                let _ = self.read.split_to(head.end);
                continue;
            }
            if self.read.len() > MAX_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer's head is too large"));
            }
            let before = self.read.len();
            let read = match fill(stream, &mut self.read, READ).await {
                // TLS without its goodbye: services close like that what was idle.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                read => read?,
            };
            if read == 0 {
                let kind =
                    if before == 0 { io::ErrorKind::ConnectionReset } else { io::ErrorKind::UnexpectedEof };
                return Err(io::Error::new(kind, "the peer closed the connection"));
            }
        }
    }

    /// The whole answer, and whether the connection ends with it.
    async fn reply(&mut self, stream: &mut Stream, head: Head) -> io::Result<(Reply, bool)> {
        let Head { status, spans, end, length, close } = head;
        if let Length::Known(length) = length {
            self.limit(length)?;
            // Before the head is taken off: then the buffer has one owner, and grows where it is or not at all.
            self.need(stream, end + length).await?;
            self.room = self.room.max(end + length);
        }
        let headers = Headers { head: self.read.split_to(end).freeze(), spans };
        let body = match length {
            Length::Known(length) => self.read.split_to(length).freeze(),
            Length::Chunked => self.chunks(stream).await?,
            Length::Close => {
                while fill(stream, &mut self.read, READ).await? > 0 {
                    self.limit(self.read.len())?;
                }
                self.read.split().freeze()
            }
        };
        Ok((Reply { status, headers, body }, close))
    }

    async fn chunks(&mut self, stream: &mut Stream) -> io::Result<Bytes> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the answer's chunks are malformed");
        let mut all = BytesMut::new();
        loop {
            match httparse::parse_chunk_size(&self.read).map_err(|_| bad())? {
                httparse::Status::Partial => self.more(stream).await?,
                httparse::Status::Complete((at, size)) => {
                    let size = usize::try_from(size).map_err(|_| bad())?;
                    self.limit(all.len().saturating_add(size))?;
                    let _ = self.read.split_to(at);
                    if size == 0 {
                        return self.trailers(stream).await.map(|()| all.freeze());
                    }
                    self.need(stream, size + 2).await?;
                    all.extend_from_slice(&self.read.split_to(size));
                    if self.read.split_to(2) != "\r\n" {
                        return Err(bad());
                    }
                }
            }
        }
    }

    /// Trailer lines up to an empty one, thrown away.
    async fn trailers(&mut self, stream: &mut Stream) -> io::Result<()> {
        loop {
            match self.read.windows(2).position(|w| w == b"\r\n") {
                Some(0) => {
                    let _ = self.read.split_to(2);
                    return Ok(());
                }
                Some(at) => drop(self.read.split_to(at + 2)),
                None if self.read.len() > MAX_HEAD => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the answer's trailers are too large",
                    ));
                }
                None => self.more(stream).await?,
            }
        }
    }

    fn limit(&self, length: usize) -> io::Result<()> {
        if length > self.max_body {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too large"));
        }
        Ok(())
    }

    async fn need(&mut self, stream: &mut Stream, length: usize) -> io::Result<()> {
        self.read.reserve(length.saturating_sub(self.read.len()));
        while self.read.len() < length {
            self.more(stream).await?;
        }
        Ok(())
    }

    async fn more(&mut self, stream: &mut Stream) -> io::Result<()> {
        match fill(stream, &mut self.read, READ).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off")),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.describe())
    }
}

/// Head and body in one system call, wherever they are.
async fn write(stream: &mut Stream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(head), IoSlice::new(body)];
    let mut left = &mut slices[..if body.is_empty() { 1 } else { 2 }];
    while !left.is_empty() {
        match stream.write_vectored(left).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    // What encrypts holds back what it has no room for; sockets have nothing to flush.
    stream.flush().await
}

async fn fill(stream: &mut Stream, buffer: &mut BytesMut, room: usize) -> io::Result<usize> {
    if buffer.capacity() == buffer.len() {
        buffer.reserve(room);
    }
    stream.read_buf(buffer).await
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Reads the head once it is whole.
fn parse_head(buffer: &[u8]) -> io::Result<Option<Head>> {
    let bad =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not HTTP: {what}"));
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        buffer,
        &mut headers,
    );
    let httparse::Status::Complete(end) = parsed.map_err(|e| bad(&e.to_string()))? else { return Ok(None) };
    let status = response.code.unwrap_or(0);
    let start = buffer.as_ptr() as usize;
    let span = |bytes: &[u8]| {
        let at = bytes.as_ptr() as usize - start;
        at..at + bytes.len()
    };
    let mut length = if matches!(status, 100..200 | 204 | 304) { Length::Known(0) } else { Length::Close };
    let mut close = response.version == Some(0);
    let mut spans = Vec::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let value = header.value.trim_ascii();
        // Chunks go before a length (RFC 9112, 6.3).
        if header.name.eq_ignore_ascii_case("content-length") && !matches!(length, Length::Chunked) {
            let text = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            length = Length::Known(text.ok_or_else(|| bad("content-length is no number"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            close = value.eq_ignore_ascii_case(b"close");
        }
        spans.push((span(header.name.as_bytes()), span(value)));
    }
    close |= matches!(length, Length::Close);
    Ok(Some(Head { status, spans, end, length, close }))
}
