//! The Runtime API's requests.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use xcloud_core::outcome::error_json;
use xcloud_core::{Error, ErrorKind, Result, env};
use xcloud_serve::Client;
use xcloud_serve::client::{Address, Headers, Repeat, Reply};

use crate::{binding, encode};

/// Beyond any function's timeout: the managed mode of the emulator counts in wrong units.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Where the Runtime API is.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// Before every path; empty on Lambda.
    pub(super) base: String,
}

impl Endpoint {
    pub(super) fn from_env() -> Result<Self> {
        let value = env::var(binding::RUNTIME_API).unwrap_or_default();
        Self::parse(&value).ok_or_else(|| {
            let message = format!("{}={value:?} is not `host:port`", binding::RUNTIME_API);
            Error::new(ErrorKind::Config, message)
        })
    }

    /// `host:port`, or the URL with a base path that `cargo lambda watch` sets.
    fn parse(value: &str) -> Option<Self> {
        let rest = value.strip_prefix("http://").unwrap_or(value);
        let (address, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (address, 80),
        };
        let base = base.trim_end_matches('/').to_owned();
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, base })
    }

    pub(super) fn client(&self) -> Client {
        Client::new(Address::Tcp { host: self.host.clone(), port: self.port })
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) deadline: Option<Instant>,
    /// To be echoed.
    pub(super) invocation: Option<String>,
    /// X-Ray's.
    pub(super) trace: Option<String>,
}

/// A call and its event.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) call: Call,
    pub(super) payload: Bytes,
}

/// One loop's connection, and the heads of its requests: all but the call's id is always the same.
pub(super) struct Api {
    client: Client,
    base: String,
    next: Vec<u8>,
    head: Vec<u8>,
}

impl Api {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let base = format!("{}{}", endpoint.base, binding::RUNTIME_PATH);
        let client = endpoint.client();
        let next = format!("GET {base}/invocation/next HTTP/1.1\r\nhost: {}\r\n\r\n", client.host());
        Self { client, base, next: next.into(), head: Vec::new() }
    }

    /// Waits for the next call, as long as it takes.
    pub(super) async fn next(&mut self) -> Result<Next> {
        let reply = self.client.send("next", &self.next, b"", Repeat::IfClosed).await?;
        if reply.status != 200 {
            return Err(refused(&reply));
        }
        let id = reply.headers.get(binding::ID_HEADER).unwrap_or_default().to_owned();
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'?') {
            let message = format!("the Runtime API sent a call without a usable {}", binding::ID_HEADER);
            return Err(Error::new(ErrorKind::BadEvent, message));
        }
        let deadline = deadline(&reply.headers);
        let invocation = reply.headers.get(binding::INVOCATION_HEADER).map(str::to_owned);
        let trace = reply.headers.get(binding::TRACE_HEADER).map(str::to_owned);
        Ok(Next { call: Call { id, deadline, invocation, trace }, payload: reply.body })
    }

    pub(super) async fn respond(&mut self, call: &Call, body: &[u8]) -> Result<()> {
        self.post("response", call, "", body).await
    }

    pub(super) async fn fail(&mut self, call: &Call, error: &Error) -> Result<()> {
        self.post("error", call, &encode::error_type(error), &encode::failure(error)).await
    }

    /// The parts of the head are ours or were headers, which hold no line breaks.
    async fn post(&mut self, what: &str, call: &Call, error_type: &str, body: &[u8]) -> Result<()> {
        self.head.clear();
        let mut put = |parts: &[&str]| parts.iter().for_each(|p| self.head.extend_from_slice(p.as_bytes()));
        put(&[
            "POST ",
            &self.base,
            "/invocation/",
            &call.id,
            "/",
            what,
            " HTTP/1.1\r\nhost: ",
            self.client.host(),
        ]);
        put(&["\r\ncontent-type: application/json\r\ncontent-length: ", &body.len().to_string()]);
        if !error_type.is_empty() {
            put(&["\r\n", binding::ERROR_TYPE_HEADER, ": ", error_type]);
        }
        if let Some(id) = &call.invocation {
            put(&["\r\n", binding::INVOCATION_HEADER, ": ", id]);
        }
        put(&["\r\n\r\n"]);
        accepted(&self.client.send(what, &self.head, body, Repeat::Never).await?)
    }

    /// Reports an init that failed. Its readers are the function's owners: they get the whole message.
    pub(super) async fn init_error(&mut self, error: &Error) -> Result<()> {
        let body = error_json(&error.to_string(), "Runtime.InitError");
        let headers =
            [("content-type", "application/json"), (binding::ERROR_TYPE_HEADER, "Runtime.InitError")];
        let path = format!("{}/init/error", self.base);
        accepted(&self.client.request("POST", &path, &headers, body.as_bytes()).await?)
    }
}

fn accepted(reply: &Reply) -> Result<()> {
    if (200..300).contains(&reply.status) { Ok(()) } else { Err(refused(reply)) }
}

fn refused(reply: &Reply) -> Error {
    let text = String::from_utf8_lossy(&reply.body);
    Error::unavailable(format!("the Runtime API answered {}: {}", reply.status, text.trim()))
}

fn deadline(headers: &Headers) -> Option<Instant> {
    let at = Duration::from_millis(headers.get(binding::DEADLINE_HEADER)?.parse().ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    left(at, now).map(|left| Instant::now() + left)
}

/// The time until a deadline, counted like `now` from 1970.
fn left(at: Duration, now: Duration) -> Option<Duration> {
    // No call of ours ended in 1970: `cargo lambda watch` sends how long it may take.
    let left = if at < FAR { at } else { at.saturating_sub(now) };
    (left < FAR).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_time_or_with_cargo_lambda_a_span_and_none_when_it_is_absurd() {
        let (now, second) = (Duration::from_secs(1_790_000_000), Duration::from_secs(1));
        assert_eq!(left(now + second, now), Some(second));
        assert_eq!(left(now - second, now), Some(Duration::ZERO));
        assert_eq!(left(Duration::from_millis(600_000), now), Some(600 * second));
        assert_eq!(left(now * 1000, now), None);
    }

    #[test]
    fn the_api_is_a_host_and_port_or_a_url_with_a_path() {
        let parse = |text: &str| Endpoint::parse(text).map(|e| (e.host, e.port, e.base));
        let found = |host: &str, port, base: &str| Some((host.to_owned(), port, base.to_owned()));
        assert_eq!(parse("169.254.100.1:9001"), found("169.254.100.1", 9001, ""));
        assert_eq!(parse("http://127.0.0.1:9000/.rt"), found("127.0.0.1", 9000, "/.rt"));
        assert_eq!(parse("http://h:1/"), found("h", 1, ""));
        assert_eq!(parse("h"), found("h", 80, ""));
        for bad in ["", ":1", "h:port", "http://"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
