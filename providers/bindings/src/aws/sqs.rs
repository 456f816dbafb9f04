//! Sending to a queue of SQS: the scheme `sqs:` of `XCLOUD_QUEUE_<NAME>`, with the queue's URL after it
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>, the JSON protocol).
//!
//! At least once: what may have been stored, but was not acknowledged, is sent again.

mod answer;
mod message;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use xcloud_core::queue::{BoxFuture, Outgoing, QueueTransport};
use xcloud_core::{Error, ErrorKind, Result, env};

use self::answer::{Failure, Receipt};
use self::message::{Entry, Prepared};
use super::credentials::{Credentials, Environment, Source};
use super::sigv4::{Request, Scope, sign};
use crate::https::Peer;
use crate::origin::Origin;

/// The scheme.
pub const SCHEME: &str = "sqs";

/// Where no deadline says otherwise: SQS stores in milliseconds, this is a service that is away.
const LIMIT: Duration = Duration::from_secs(10);
/// One try of several.
const TRY: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;
/// The pause after the first try that failed, at most; the next are longer.
const PAUSE: Duration = Duration::from_millis(100);
/// Kept back before the deadline: at deadline − 100 ms the call is answered for its handler, and the handler should be
/// the one to say what went wrong.
const MARGIN: Duration = Duration::from_millis(200);
/// Of SendMessageBatch.
const MAX_ENTRIES: usize = 10;
/// A message with its attributes, and a request's messages together
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>).
const MAX_BYTES: usize = 1024 * 1024;

/// Opens a queue's URL, as `CreateQueue` and `GetQueueUrl` give it. Connects on the first send.
///
/// The region is the host's where it names one, else `AWS_REGION`. With `AWS_ENDPOINT_URL_SQS` or `AWS_ENDPOINT_URL`
/// requests go there, as those of AWS's own SDKs do.
///
/// # Errors
/// [`ErrorKind::Config`] when it is not a queue's URL.
pub fn open_queue(rest: &str) -> Result<Arc<dyn QueueTransport>> {
    Ok(Arc::new(Queue::open(rest, env::var, source())?))
}

/// All queues send as the same function.
fn source() -> Arc<Source> {
    static SOURCE: OnceLock<Arc<Source>> = OnceLock::new();
    Arc::clone(SOURCE.get_or_init(|| Arc::new(Source::new(env::var))))
}

struct Queue {
    url: String,
    /// As the console shows it.
    name: String,
    region: String,
    peer: Arc<Peer>,
    source: Arc<Source>,
}

impl QueueTransport for Queue {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.store(outgoing))
    }
}

impl Queue {
    fn open(url: &str, environment: Environment, source: Arc<Source>) -> Result<Self> {
        let parsed = Origin::parse(url);
        let name = parsed.as_ref().and_then(|(_, path)| path.rsplit_once('/')).map(|(_, name)| name);
        let (Some((origin, _)), Some(name)) = (&parsed, name.filter(|name| !name.is_empty())) else {
            let form = "https://sqs.<region>.amazonaws.com/<account>/<queue>";
            return Err(config(format!("`{SCHEME}:{url}` is not of the form `{SCHEME}:{form}`")));
        };
        let var = |name: &str| environment(name).filter(|value| !value.is_empty());
        let region = region_of(&origin.name).map(str::to_owned);
        let region = region.or_else(|| var("AWS_REGION")).or_else(|| var("AWS_DEFAULT_REGION"));
        let no_region =
            || config(format!("{} names no region of AWS, and AWS_REGION is not set", origin.host));
        let region = region.ok_or_else(no_region)?;
        let endpoint = var("AWS_ENDPOINT_URL_SQS").or_else(|| var("AWS_ENDPOINT_URL"));
        let peer = peer(origin.clone(), endpoint.as_deref())?;
        Ok(Self { url: url.to_owned(), name: name.to_owned(), region, peer, source })
    }

    async fn store(&self, outgoing: Outgoing) -> Result<Vec<String>> {
        let prepared = Prepared::new(&outgoing)?;
        let limit = Instant::now() + LIMIT;
        let deadline = outgoing.deadline.and_then(|deadline| deadline.checked_sub(MARGIN));
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        let mut ids = vec![None; prepared.len()];
        for batch in prepared.batches() {
            if let Err(error) = self.deliver(batch, &mut ids, until).await {
                let stored = ids.iter().filter(|id| id.is_some()).count();
                let all = ids.len();
                return Err(if all > 1 { error.with("stored", format!("{stored} of {all}")) } else { error });
            }
        }
        Ok(ids.into_iter().flatten().collect())
    }

    /// Sends what fits into one request, and again what was not stored.
    async fn deliver(
        &self,
        mut left: Vec<Entry<'_>>,
        ids: &mut [Option<String>],
        until: Instant,
    ) -> Result<()> {
        let mut credentials = false;
        for tries in 1.. {
            let Some(failure) = self.attempt(&mut left, ids, until).await else { return Ok(()) };
            if failure.credentials && !credentials && self.source.forget().await {
                credentials = true;
                continue;
            }
            let pause = pause(tries);
            if !failure.again || tries >= TRIES || Instant::now() + pause >= until {
                return Err(failure.error);
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Sends once. What was stored gets its id, what was not is left; of several failures the one that no other try will
    /// help is the one to tell of.
    async fn attempt(
        &self,
        left: &mut Vec<Entry<'_>>,
        ids: &mut [Option<String>],
        until: Instant,
    ) -> Option<Failure> {
        let receipts = match self.ask(left, until).await {
            Ok(receipts) => receipts,
            Err(failure) => return Some(failure),
        };
        let mut receipts = receipts.into_iter();
        let mut failure: Option<Failure> = None;
        left.retain(|entry| match receipts.next() {
            Some(Receipt::Stored(id)) => {
                ids[entry.at] = Some(id);
                false
            }
            Some(Receipt::Refused(refused)) => {
                if failure.as_ref().is_none_or(|known| known.again) {
                    failure = Some(refused);
                }
                true
            }
            None => true,
        });
        failure
    }

    /// One request; what became of each message, in order.
    async fn ask(&self, entries: &[Entry<'_>], until: Instant) -> Result<Vec<Receipt>, Failure> {
        let credentials = self.source.get(until).await.map_err(Failure::by_kind)?;
        let action = if entries.len() == 1 { "SendMessage" } else { "SendMessageBatch" };
        let body = message::request(&self.url, entries);
        let body = body.as_bytes();
        let head = self.head(action, body, &credentials);
        let until = until.min(Instant::now() + TRY);
        let what = format!("sqs:{action}");
        let reply = self.peer.ask(&what, head.as_bytes(), body, until).await.map_err(Failure::by_kind)?;
        answer::receipts(&self.name, entries, &reply)
    }

    fn head(&self, action: &str, body: &[u8], credentials: &Credentials) -> String {
        let (target, length) = (format!("AmazonSQS.{action}"), body.len().to_string());
        let headers = [
            ("host", self.peer.host()),
            ("content-type", "application/x-amz-json-1.0"),
            ("content-length", length.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        let request = Request { method: "POST", path: "/", query: "", headers: &headers, body };
        let scope = Scope { region: &self.region, service: "sqs" };
        let added = sign(&request, credentials.identity(), scope, SystemTime::now());
        let added = added.iter().map(|(name, value)| (*name, value.as_str()));
        let mut head = String::from("POST / HTTP/1.1\r\n");
        for (name, value) in headers.into_iter().chain(added) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        head
    }
}

/// Where requests go: to the queue's own host, unless the environment names another.
fn peer(own: Origin, endpoint: Option<&str>) -> Result<Arc<Peer>> {
    let origin = match endpoint {
        Some(url) => Origin::parse(url).map(|(origin, _)| origin),
        None => Some(own),
    };
    let origin = origin.ok_or_else(|| config("AWS_ENDPOINT_URL is not a URL".to_owned()))?;
    if !origin.is_private() {
        return Err(config(format!(
            "{}: messages are not sent in plain text to another machine",
            origin.host
        )));
    }
    Ok(Peer::at(origin))
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

/// At most 100 ms after the first try, then twice as long each time; at random, so that many instances do not come
/// back at once.
fn pause(tries: u32) -> Duration {
    let most = PAUSE * 2_u32.saturating_pow(tries - 1);
    most / 2 + most.mul_f64(f64::from(crate::random::number()) / f64::from(u32::MAX)) / 2
}

/// The region in an endpoint's name
/// (<https://docs.aws.amazon.com/general/latest/gr/sqs-service.html>): `sqs.<region>.…`, `sqs-fips.<region>.…`, the older
/// `<region>.queue.…` and `queue.amazonaws.com`, and those of a VPC, `….sqs.<region>.vpce.…`.
fn region_of(host: &str) -> Option<&str> {
    let ends = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"];
    let name = ends.iter().find_map(|end| host.strip_suffix(end))?;
    if name == "queue" {
        return Some("us-east-1");
    }
    let labels: Vec<_> = name.split('.').collect();
    let service = labels.iter().position(|label| matches!(*label, "sqs" | "sqs-fips"));
    match service {
        Some(at) => labels.get(at + 1).copied(),
        None => labels.strip_suffix(&["queue"]).and_then(|rest| rest.last()).copied(),
    }
}

#[cfg(test)]
mod tests;
