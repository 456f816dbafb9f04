//! A streamed answer: chunks on a connection of its own, and real HTTP trailers when the body breaks off
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming>).

use std::fmt::Write;
use std::future::poll_fn;
use std::pin::Pin;

use http_body::Body as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xcloud_core::outcome::error_json;
use xcloud_core::text::base64_encode;
use xcloud_core::{Body, Error, Response, Result};
use xcloud_serve::socket_address;

use super::api::{Call, Endpoint};
use crate::{binding, encode};

/// More than the head of any answer to a response.
const MAX_REPLY: usize = 64 * 1024;

/// Sends an HTTP answer as it comes.
pub(super) async fn send(endpoint: &Endpoint, call: &Call, response: Response) -> Result<()> {
    let (parts, body) = response.into_parts();
    exchange(endpoint, call, &encode::prelude(&parts), body)
        .await
        .map_err(|e| Error::unavailable(format!("the streamed answer broke off: {e}")).caused_by(e))?
}

async fn exchange(
    endpoint: &Endpoint,
    call: &Call,
    prelude: &[u8],
    mut body: Body,
) -> std::io::Result<Result<()>> {
    let mut stream = TcpStream::connect(socket_address(&endpoint.host, endpoint.port)?).await?;
    stream.set_nodelay(true)?;
    stream.write_all(head(endpoint, call).as_bytes()).await?;
    chunk(&mut stream, prelude).await?;
    let mut empty = true;
    let failure = loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break None,
            Some(Err(error)) => break Some(error.to_string()),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
                    empty = false;
                    chunk(&mut stream, data).await?;
                }
            }
        }
    };
    if empty && failure.is_none() {
        // Function URLs hang, or lose the status, when nothing follows the prelude
        // (aws-lambda-nodejs-runtime-interface-client#95).
        chunk(&mut stream, b"\n").await?;
    }
    stream.write_all(end(failure.as_deref()).as_bytes()).await?;
    reply(&mut stream).await
}

fn head(endpoint: &Endpoint, call: &Call) -> String {
    let mut head = format!(
        "POST {}{}/invocation/{}/response HTTP/1.1\r\nhost: {}:{}\r\ncontent-type: {}\r\n{}: streaming\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\
         trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n",
        endpoint.base,
        binding::RUNTIME_PATH,
        call.id,
        endpoint.host,
        endpoint.port,
        binding::STREAM_TYPE,
        binding::MODE_HEADER,
    );
    if let Some(id) = &call.invocation {
        // Writing to a String cannot fail.
        let _ = write!(head, "{}: {id}\r\n", binding::INVOCATION_HEADER);
    }
    head + "\r\n"
}

async fn chunk(stream: &mut TcpStream, data: &[u8]) -> std::io::Result<()> {
    let mut framed = format!("{:x}\r\n", data.len()).into_bytes();
    framed.extend_from_slice(data);
    framed.extend_from_slice(b"\r\n");
    stream.write_all(&framed).await
}

/// The last chunk, and why the body ended early.
fn end(failure: Option<&str>) -> String {
    let Some(failure) = failure else { return "0\r\n\r\n".to_owned() };
    let body = base64_encode(error_json(failure, "Runtime.StreamError").as_bytes());
    format!(
        "0\r\nLambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\
         Lambda-Runtime-Function-Error-Body: {body}\r\n\r\n"
    )
}

async fn reply(stream: &mut TcpStream) -> std::io::Result<Result<()>> {
    let mut answer = Vec::new();
    stream.take(MAX_REPLY as u64).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).unwrap_or("");
    Ok(if status.starts_with('2') {
        Ok(())
    } else {
        let line = text.lines().next().unwrap_or("nothing");
        Err(Error::unavailable(format!("the Runtime API answered a stream with {line}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn sent(body: Body) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") || !seen.windows(5).any(|w| w == b"\r\n0\r\n") {
                assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8(seen).unwrap()
        });
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, base: String::new() };
        let call =
            Call { id: "1".to_owned(), deadline: None, invocation: Some("echo".to_owned()), trace: None };
        send(&endpoint, &call, Response::new(body)).await.unwrap();
        server.await.unwrap()
    }

    #[tokio::test]
    async fn a_body_follows_the_prelude_in_chunks() {
        let seen = sent(Body::from("hello")).await;
        assert!(seen.contains("lambda-runtime-function-response-mode: streaming\r\n"), "{seen}");
        assert!(seen.contains("lambda-runtime-invocation-id: echo\r\n"), "{seen}");
        assert!(seen.contains("\0\0\0\0\0\0\0\0\r\n5\r\nhello\r\n0\r\n\r\n"), "{seen}");
    }

    #[tokio::test]
    async fn an_empty_body_is_one_byte_because_function_urls_hang_without() {
        assert!(sent(Body::empty()).await.ends_with("1\r\n\n\r\n0\r\n\r\n"));
    }

    #[test]
    fn a_body_that_breaks_off_ends_in_trailers() {
        let end = end(Some("lost"));
        assert!(end.starts_with("0\r\nLambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n"));
        let body = end.split("Error-Body: ").nth(1).unwrap().trim();
        let json = xcloud_core::text::base64_decode(body.as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap()["errorMessage"], "lost");
    }
}
