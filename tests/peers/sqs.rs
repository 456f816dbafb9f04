//! Messages on their way through SQS: sent by a process of ours, signed as AWS asks for it, received by AWS's library.
//! The queue is ministack's, which checks signatures and permissions when it is started so.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use xcloud_aws::decode::{self, Payload};
use xcloud_bindings::aws::sigv4::{Identity, Request, Scope, sign};
use xcloud_core::event::Batch;
use xcloud_serve::host::free_port;
use xcloud_tests::ministack::Ministack;
use xcloud_tests::tools;

use crate::{Running, listens, post};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const SCRIPT: &str = include_str!("sqs.py");
const TRACE: &str = "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01";

/// The emulator with a queue, and who may send to it.
struct Cloud {
    ministack: Ministack,
    url: String,
    sender: [String; 2],
    stranger: [String; 2],
}

impl Cloud {
    /// `None` where it cannot be had.
    fn start() -> Result<Option<Self>, String> {
        let ministack = match Ministack::start_with(&[("AUTH", "true")]) {
            Ok(ministack) => ministack,
            Err(why) => return tools::skip(&why).map(|()| None),
        };
        let made = ask(&ministack, json!({ "do": "users" }))?;
        let text = |pointer: &str| made.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let key = |at: usize| Some([text(&format!("/keys/{at}/0"))?, text(&format!("/keys/{at}/1"))?]);
        let missing = || format!("no users: {made}");
        let (sender, stranger) = (key(0).ok_or_else(missing)?, key(1).ok_or_else(missing)?);
        let url = text("/url").ok_or_else(missing)?;
        Ok(Some(Self { ministack, url, sender, stranger }))
    }

    /// What is in the queue, read by our own decoder of what Lambda is given.
    fn received(&self) -> Result<Batch, String> {
        let records = ask(&self.ministack, json!({ "do": "received", "url": self.url }))?;
        let payload = Bytes::from(json!({ "Records": records }).to_string());
        match decode::event(&payload, &mut decode::Scratch::default()) {
            Ok(Payload::Queue(name, batch)) if name == "outbox" => Ok(batch),
            Ok(_) => Err(format!("the decoder takes it for something else: {records}")),
            Err(error) => Err(format!("{error}: {records}")),
        }
    }
}

fn ask(ministack: &Ministack, mut input: Value) -> Result<Value, String> {
    input["endpoint"] = ministack.endpoint().into();
    tools::script(ministack.programs(), SCRIPT, &input)
}

/// The fixture as an HTTP service whose outbox is bound.
fn fixture(url: &str, [key, secret]: &[String; 2], more: &[(&str, &str)]) -> Result<(Running, u16), String> {
    let port = free_port().map_err(|e| e.to_string())?;
    let mut command = Command::new(FIXTURE);
    command.env_clear().env("XCLOUD_PLATFORM", "http").env("XCLOUD_FUNCTION", "http");
    command.env("PORT", port.to_string()).env("AWS_REGION", "eu-west-1");
    command.env("XCLOUD_QUEUE_OUTBOX", format!("sqs:{url}"));
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).envs(more.iter().copied());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    let running = Running(child);
    listens(port)?;
    Ok((running, port))
}

/// Ids of what the fixture has sent.
fn send(port: u16, values: &[Value]) -> Result<Vec<String>, String> {
    let headers = [("content-type", "application/json"), ("traceparent", TRACE)];
    let body = Value::from(values).to_string();
    let (status, answer) = post(port, "/outbox", &headers, body.as_bytes()).map_err(|e| e.to_string())?;
    if status != 200 {
        return Err(format!("{status} {answer}"));
    }
    serde_json::from_str(&answer).map_err(|e| format!("{answer}: {e}"))
}

/// What is in the queue is what was sent, with its attributes and under the ids that were acknowledged.
fn same(batch: &Batch, ids: &[String], values: &[Value]) -> Result<(), String> {
    if batch.messages.len() != values.len() || ids.len() != values.len() {
        return Err(format!(
            "{} sent, {ids:?} acknowledged, {} received",
            values.len(),
            batch.messages.len()
        ));
    }
    for (id, value) in ids.iter().zip(values) {
        let message = batch.messages.iter().find(|message| message.id == *id);
        let message = message.ok_or_else(|| format!("{id} was acknowledged and is not there"))?;
        let body: Value = serde_json::from_slice(&message.body).map_err(|e| e.to_string())?;
        let attributes: Vec<_> = message.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        if body != *value || attributes != [("content-type", "application/json"), ("traceparent", TRACE)] {
            return Err(format!("sent {value}, received {message:?}"));
        }
    }
    Ok(())
}

pub(crate) fn messages_arrive() -> Result<(), String> {
    let Some(cloud) = Cloud::start()? else { return Ok(()) };
    let (_running, port) = fixture(&cloud.url, &cloud.sender, &[])?;
    let one = [json!({ "text": "ü 😀 \u{fffe}\u{ffff}\u{1}\"\\\r\n</a>&", "n": 1.5, "none": null })];
    let ids = send(port, &one)?;
    same(&cloud.received()?, &ids, &one)?;
    // Three requests: ten, ten, three; and two, whose bodies do not fit into one.
    let many: Vec<_> = (0..23).map(|n| json!({ "n": n })).collect();
    let ids = send(port, &many)?;
    same(&cloud.received()?, &ids, &many)?;
    let large = ["x", "y"].map(|c| json!(c.repeat(600_000)));
    let ids = send(port, &large)?;
    same(&cloud.received()?, &ids, &large)
}

/// The emulator behind TLS: `localhost` is looked up, its certificate checked against `SSL_CERT_FILE`.
pub(crate) fn over_tls() -> Result<(), String> {
    let Some(cloud) = Cloud::start()? else { return Ok(()) };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(|e| e.to_string())?;
    let file = std::env::temp_dir().join(format!("xcloud-peers-{}.pem", std::process::id()));
    std::fs::write(&file, made.cert.pem()).map_err(|e| e.to_string())?;
    let behind = cloud.ministack.endpoint().trim_start_matches("http://").to_owned();
    let port = terminate(&made, behind)?;
    let url = format!("https://localhost:{port}/000000000000/outbox");
    let trusting = fixture(&url, &cloud.sender, &[("SSL_CERT_FILE", &file.to_string_lossy())])?;
    let value = [json!({ "over": "tls" })];
    // ministack knows the queue by the name in its URL, whatever the host.
    let ids = send(trusting.1, &value)?;
    same(&cloud.received()?, &ids, &value)?;
    let wary = fixture(&url, &cloud.sender, &[])?;
    let refused = send(wary.1, &value).err().ok_or("a certificate of nobody was taken")?;
    drop(std::fs::remove_file(&file));
    if refused.starts_with("503") { Ok(()) } else { Err(refused) }
}

/// Takes TLS off in front of an address, on a port of its own, to the end of the process.
fn terminate(made: &rcgen::CertifiedKey<rcgen::KeyPair>, behind: String) -> Result<u16, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(|e| text(&e))?.with_no_client_auth();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).map_err(|e| text(&e))?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| text(&e))?;
    listener.set_nonblocking(true).map_err(|e| text(&e))?;
    let port = listener.local_addr().map_err(|e| text(&e))?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| text(&e))?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (tcp, _) = listener.accept().await?;
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let mut tls = acceptor.accept(tcp).await?;
                    let mut plain = tokio::net::TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut tls, &mut plain).await
                });
            }
            #[allow(unreachable_code, reason = "it says what the questions marks give")]
            Ok::<_, std::io::Error>(())
        })
    });
    Ok(port)
}

/// What SQS refuses is not the caller's business: 500, and 503 for what may pass.
pub(crate) fn refusals() -> Result<(), String> {
    let Some(cloud) = Cloud::start()? else { return Ok(()) };
    let nowhere = format!("{}-of-nobody", cloud.url);
    let wrong = [cloud.sender[0].clone(), "wrong".to_owned()];
    let unknown = ["AKIAUNKNOWN".to_owned(), "x".to_owned()];
    for (url, who) in [
        (&cloud.url, &cloud.stranger),
        (&nowhere, &cloud.sender),
        (&cloud.url, &wrong),
        (&cloud.url, &unknown),
    ] {
        let (_running, port) = fixture(url, who, &[])?;
        let said = send(port, &[json!(1)]).err().ok_or("it was sent")?;
        if said != r#"500 {"error":"internal error"}"# {
            return Err(format!("{url}, {}: {said}", who[0]));
        }
    }
    let (_running, port) = fixture("http://127.0.0.1:1/000000000000/outbox", &cloud.sender, &[])?;
    let said = send(port, &[json!(1)]).err().ok_or("it was sent")?;
    if said.starts_with("503") { Ok(()) } else { Err(said) }
}

/// Requests at random, signed by us and by botocore.
pub(crate) fn signatures() -> Result<(), String> {
    let programs = match xcloud_tests::ministack::install() {
        Ok(programs) => programs,
        Err(why) => return tools::skip(&why),
    };
    let mut random = Random(7);
    let cases: Vec<_> = (0..300).map(|_| case(&mut random)).collect();
    let theirs = tools::script(&programs, SCRIPT, &json!({ "do": "signatures", "cases": cases }))?;
    let theirs = theirs.as_array().ok_or("no list")?;
    for (case, theirs) in cases.iter().zip(theirs) {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let headers: Vec<(String, String)> =
            serde_json::from_value(case["headers"].clone()).map_err(|e| e.to_string())?;
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let request = Request {
            method: text("method"),
            path: text("path"),
            query: text("query"),
            headers: &headers,
            body: text("body").as_bytes(),
        };
        let identity = Identity { key: text("key"), secret: text("secret"), token: case["token"].as_str() };
        let scope = Scope { region: text("region"), service: text("service") };
        let time = UNIX_EPOCH + Duration::from_secs(case["time"].as_u64().unwrap_or_default());
        let ours = sign(&request, identity, scope, time);
        for (name, same) in [("x-amz-date", "X-Amz-Date"), ("authorization", "Authorization")] {
            let ours = ours.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
            if ours != theirs[same].as_str() {
                return Err(format!("{case}: ours {ours:?}, botocore's {}", theirs[same]));
            }
        }
    }
    Ok(())
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn text(&mut self, of: &str, most: usize) -> String {
        let of: Vec<_> = of.chars().collect();
        (0..self.below(most + 1)).map(|_| of[self.below(of.len())]).collect()
    }
}

fn case(random: &mut Random) -> Value {
    const WORD: &str = "abcXYZ019-._~";
    let header = "ab \"'=;,:/0Z";
    let host = format!("{}.eu-west-1.amazonaws.com", random.text("abcdef", 8) + "h");
    let mut headers = vec![("host".to_owned(), host)];
    let names = ["content-type", "x-amz-target", "x-custom", "accept"];
    let more =
        names.iter().filter(|_| random.below(2) == 1).map(|name| (*name).to_owned()).collect::<Vec<_>>();
    headers.extend(more.into_iter().map(|name| (name, random.text(header, 20).trim().to_owned() + "v")));
    let pairs = (0..random.below(4)).map(|n| format!("{}{n}={}", random.text(WORD, 3), random.text(WORD, 5)));
    let query = pairs.collect::<Vec<_>>().join("&");
    json!({
        "method": (["GET", "POST", "PUT", "DELETE"][random.below(4)]),
        "path": format!("/{}", random.text(WORD, 12).trim_start_matches('.')),
        "query": query, "headers": headers, "body": random.text("{}\"ü😀 :,1", 60),
        "key": format!("AKID{}", random.text("ABC123", 16)), "secret": random.text("abc/+=XYZ", 40) + "s",
        "token": (random.below(2) == 1).then(|| random.text("abc/+=XYZ", 80) + "t"),
        "region": (["eu-west-1", "us-gov-east-1"][random.below(2)]), "service": (["sqs", "sts"][random.below(2)]),
        "time": 1_700_000_000 + random.below(1 << 30),
    })
}
