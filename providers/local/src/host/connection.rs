//! HTTP/1.1 to a process over its socket: one write, then reads, on the caller's task. A client with a task for every
//! connection costs two wake-ups a request more, which is most of what a host in the path costs.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;

/// Connections kept for the next call.
const IDLE: usize = 256;
/// The process lets go of a connection that is idle for 30 s; one that it may be closing is not used.
const FRESH: Duration = Duration::from_secs(15);
/// A larger head is not an answer of ours.
const MAX_HEAD: usize = 256 * 1024;
const MAX_HEADERS: usize = 128;
/// Room for the head and a small body in one read.
const READ: usize = 8 * 1024;
/// A body up to this size is read to its end before it is passed on.
const WHOLE: u64 = 128 * 1024;
/// A body up to this size is written together with the head.
const TOGETHER: usize = 32 * 1024;

/// A connection, and what was read of the next answer.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    read: BytesMut,
    write: Vec<u8>,
}

/// Connections that wait for the next call.
#[derive(Debug, Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Vec<(Connection, Instant)>>>);

impl Idle {
    /// A connection that still seems to be open.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            if since.elapsed() < FRESH && connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn give(&self, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push((connection, Instant::now()));
        }
    }
}

/// An exchange that broke off.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) error: io::Error,
    /// Whether the process may have begun to handle the request.
    pub(super) begun: bool,
}

/// The answer's head, and its body: whole, or as it comes.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Received,
}

pub(super) enum Received {
    Whole(Bytes),
    Stream(Streamed),
}

impl Connection {
    pub(super) async fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        Ok(Self { stream, read: BytesMut::with_capacity(READ), write: Vec::with_capacity(1024) })
    }

    /// Whether the process has not closed it; costs nothing while nothing has arrived.
    fn is_open(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Where the request's head is written to.
    pub(super) fn head(&mut self) -> &mut Vec<u8> {
        self.write.clear();
        &mut self.write
    }

    /// Sends the head that was written and the body, and reads the answer. `bodiless`: the answer to a `HEAD`.
    pub(super) async fn exchange(
        mut self,
        body: &Bytes,
        bodiless: bool,
        idle: &Idle,
    ) -> Result<Reply, Broken> {
        let sent = self.send(body).await;
        // What broke the sending may have been an early answer.
        let head = match self.read_head().await {
            Ok(head) => head,
            Err(error) => {
                let begun = sent.is_ok();
                return Err(Broken { error: sent.err().unwrap_or(error), begun });
            }
        };
        let bodiless = bodiless || matches!(head.status.as_u16(), 204 | 304);
        let left = if bodiless { Left::Known(0) } else { head.left };
        let body = match self.receive(left, head.close || sent.is_err(), idle).await {
            Ok(body) => body,
            Err(error) => return Err(Broken { error, begun: true }),
        };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    async fn send(&mut self, body: &Bytes) -> io::Result<()> {
        if body.len() <= TOGETHER {
            self.write.extend_from_slice(body);
            return self.stream.write_all(&self.write).await;
        }
        self.stream.write_all(&self.write).await?;
        self.stream.write_all(body).await
    }

    async fn read_head(&mut self) -> io::Result<Head> {
        loop {
            if !self.read.is_empty()
                && let Some(head) = parse_head(&mut self.read)?
            {
                // 1xx: the answer proper follows.
                if head.status.as_u16() >= 200 {
                    return Ok(head);
                }
                continue;
            }
            if self.read.len() > MAX_HEAD {
                return Err(nonsense("the head is too large"));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.read.capacity() - self.read.len() < 1024 {
            self.read.reserve(READ);
        }
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn receive(mut self, left: Left, close: bool, idle: &Idle) -> io::Result<Received> {
        let Left::Known(length @ ..=WHOLE) = left else {
            return Ok(Received::Stream(Streamed {
                connection: Some(self),
                left,
                close,
                idle: idle.clone(),
            }));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.read.reserve(length.saturating_sub(self.read.len()));
        while self.read.len() < length {
            self.more().await?;
        }
        let body = self.read.split_to(length).freeze();
        if !close && self.read.is_empty() {
            idle.give(self);
        }
        Ok(Received::Whole(body))
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.read.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

/// How the rest of a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// So many bytes.
    Known(u64),
    /// A chunk's size.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// Lines up to an empty one.
    Trailers,
    /// Bytes until the process closes.
    Close,
}

struct Head {
    status: StatusCode,
    headers: HeaderMap,
    left: Left,
    close: bool,
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not HTTP: {what}"))
}

/// Takes the head off the buffer once it is whole. Headers of this hop are left out.
fn parse_head(buffer: &mut BytesMut) -> io::Result<Option<Head>> {
    let mut parsed = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut parsed);
    let httparse::Status::Complete(end) = response.parse(buffer).map_err(|e| nonsense(&e.to_string()))?
    else {
        return Ok(None);
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| nonsense("no status"))?;
    let start = buffer.as_ptr() as usize;
    let mut close = response.version == Some(0);
    let mut left = Left::Close;
    let mut spans: Vec<(HeaderName, usize, usize)> = Vec::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|e| nonsense(&e.to_string()))?;
        match name.as_str() {
            "connection" => close |= header.value.eq_ignore_ascii_case(b"close"),
            "transfer-encoding" => left = Left::Size,
            "keep-alive" | "proxy-connection" | "upgrade" | "te" | "trailer" => {}
            text => {
                if text == "content-length" && left != Left::Size {
                    let length = std::str::from_utf8(header.value).ok().and_then(|v| v.trim().parse().ok());
                    left = Left::Known(length.ok_or_else(|| nonsense("content-length is no number"))?);
                }
                let at = header.value.as_ptr() as usize - start;
                spans.push((name, at, at + header.value.len()));
            }
        }
    }
    let head = buffer.split_to(end).freeze();
    let mut headers = HeaderMap::with_capacity(spans.len() + 2);
    for (name, from, to) in spans {
        let value = HeaderValue::from_maybe_shared(head.slice(from..to));
        headers.append(name, value.map_err(|e| nonsense(&e.to_string()))?);
    }
    close |= left == Left::Close;
    Ok(Some(Head { status, headers, left, close }))
}

/// A body that is passed on as it comes. Dropped before its end, the connection is closed with it.
#[derive(Debug)]
pub(super) struct Streamed {
    connection: Option<Connection>,
    left: Left,
    close: bool,
    idle: Idle,
}

impl Streamed {
    fn end(&mut self) {
        if let Some(connection) = self.connection.take()
            && !self.close
            && connection.read.is_empty()
        {
            self.idle.give(connection);
        }
    }
}

/// What is to be done with what is in the buffer.
enum Step {
    Give(Bytes),
    Again,
    More,
    End,
}

fn step(left: &mut Left, read: &mut BytesMut) -> io::Result<Step> {
    let give = |n: u64, read: &mut BytesMut| {
        let length = usize::try_from(n).unwrap_or(usize::MAX).min(read.len());
        (n - length as u64, Step::Give(read.split_to(length).freeze()))
    };
    Ok(match *left {
        Left::Known(0) => Step::End,
        Left::Known(_) | Left::Close | Left::Chunk(1..) if read.is_empty() => Step::More,
        Left::Known(n) => {
            let (rest, given) = give(n, read);
            *left = Left::Known(rest);
            given
        }
        Left::Close => Step::Give(read.split().freeze()),
        Left::Chunk(0) if read.len() < 2 => Step::More,
        Left::Chunk(0) => {
            if read.split_to(2) != "\r\n" {
                return Err(nonsense("a chunk is longer than it says"));
            }
            *left = Left::Size;
            Step::Again
        }
        Left::Chunk(n) => {
            let (rest, given) = give(n, read);
            *left = Left::Chunk(rest);
            given
        }
        Left::Size => match httparse::parse_chunk_size(read).map_err(|_| nonsense("a chunk's size"))? {
            httparse::Status::Partial if read.len() > MAX_HEAD => return Err(nonsense("a chunk's size")),
            httparse::Status::Partial => Step::More,
            httparse::Status::Complete((at, size)) => {
                drop(read.split_to(at));
                *left = if size == 0 { Left::Trailers } else { Left::Chunk(size) };
                Step::Again
            }
        },
        Left::Trailers => match read.windows(2).position(|pair| pair == b"\r\n") {
            Some(at) => {
                drop(read.split_to(at + 2));
                if at == 0 { Step::End } else { Step::Again }
            }
            None if read.len() > MAX_HEAD => return Err(nonsense("the trailers are too large")),
            None => Step::More,
        },
    })
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            let Some(connection) = this.connection.as_mut() else { return Poll::Ready(None) };
            let broken = match step(&mut this.left, &mut connection.read) {
                Ok(Step::Give(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(Step::Again) => continue,
                Ok(Step::End) => {
                    this.end();
                    return Poll::Ready(None);
                }
                Ok(Step::More) => match ready!(connection.poll_more(cx)) {
                    Ok(0) if this.left == Left::Close => {
                        this.connection = None;
                        return Poll::Ready(None);
                    }
                    Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                    Ok(_) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            this.connection = None;
            return Poll::Ready(Some(Err(broken)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Known(n) => SizeHint::with_exact(n),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All of a body that arrives in pieces of this size.
    fn read(mut left: Left, bytes: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let (mut read, mut all) = (BytesMut::new(), Vec::new());
        let mut pieces = bytes.chunks(piece);
        loop {
            match step(&mut left, &mut read)? {
                Step::Give(bytes) => all.extend_from_slice(&bytes),
                Step::Again => {}
                Step::End => return Ok(all),
                Step::More => match pieces.next() {
                    Some(piece) => read.extend_from_slice(piece),
                    None if left == Left::Close => return Ok(all),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
            }
        }
    }

    #[test]
    fn heads_say_how_their_body_comes() {
        let head = |text: &str| parse_head(&mut BytesMut::from(text)).unwrap().unwrap();
        let known = head(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\nx-a: 1\r\nx-a: 2\r\n\r\nabc",
        );
        assert_eq!(
            (known.left, known.close, known.headers.get_all("x-a").iter().count()),
            (Left::Known(3), false, 2)
        );
        assert!(!known.headers.contains_key("connection"));
        let chunked = head("HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n");
        assert_eq!((chunked.status.as_u16(), chunked.left), (500, Left::Size));
        assert!(
            head("HTTP/1.0 200 OK\r\n\r\n").close
                && head("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").close
        );
        for bad in
            ["HTTP/1.1 999999 x\r\n\r\n", "junk\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
        {
            assert!(parse_head(&mut BytesMut::from(bad)).is_err(), "{bad:?}");
        }
        assert!(parse_head(&mut BytesMut::from("HTTP/1.1 200 OK\r\ncontent-le")).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn chunks_are_read_however_they_are_cut(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..5),
            piece in 1_usize..40,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nx-trailer: 1\r\n\r\n");
            prop_assert_eq!(read(Left::Size, &wire, piece).unwrap(), chunks.concat());
            prop_assert!(read(Left::Size, &wire[..wire.len() - 1], piece).is_err());
        }

        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..40) {
            drop(parse_head(&mut BytesMut::from(&bytes[..])));
            drop(parse_head(&mut BytesMut::from(&[b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat()[..])));
            drop(read(Left::Size, &bytes, piece));
            prop_assert_eq!(read(Left::Close, &bytes, piece).unwrap(), bytes.clone());
            prop_assert_eq!(read(Left::Known(bytes.len() as u64), &bytes, piece).unwrap(), bytes);
        }
    }
}
