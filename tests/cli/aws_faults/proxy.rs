//! An HTTP proxy that hands requests on, counts those that write, and disturbs one of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happens to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered 429 and not handed on.
    Throttled,
    /// It is answered 500 and not handed on.
    Failed,
    /// The connection breaks, and it is not handed on.
    Reset,
    /// It is handed on, and its answer is lost.
    Lost,
    /// It is handed on, and the process is killed before it has the answer.
    Killed,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] = [Self::Throttled, Self::Failed, Self::Reset, Self::Lost, Self::Killed];
}

#[derive(Default)]
struct Shared {
    upstream: String,
    fault: Mutex<Option<(usize, Fault)>>,
    refused: Mutex<Option<(String, &'static str, &'static str)>>,
    writes: AtomicUsize,
    death: AtomicBool,
    /// Heads and bodies, for who reads them afterwards.
    requests: Mutex<Vec<(String, String)>>,
}

/// A proxy on loopback; its threads end with the test.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let shared = Arc::new(Shared { upstream, ..Shared::default() });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&for_thread);
                std::thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Counts from the beginning, and disturbs the write of this number.
    pub(crate) fn disturb(&self, fault: Option<(usize, Fault)>) {
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        self.shared.writes.store(0, Ordering::SeqCst);
        self.shared.death.store(false, Ordering::SeqCst);
    }

    /// From now on answers each request whose first line begins so with a status and a code, and does not hand it on.
    pub(crate) fn refuse(&self, begins: &str, status: &'static str, code: &'static str) {
        *self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((begins.to_owned(), status, code));
    }

    /// The requests so far: head and body.
    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::SeqCst)
    }

    pub(crate) fn wants_death(&self) -> bool {
        self.shared.death.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn fault(&self) -> Option<(usize, Fault)> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, head: &str) -> Option<(&'static str, &'static str)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused
            .as_ref()
            .filter(|(begins, ..)| head.starts_with(begins))
            .map(|(_, status, code)| (*status, *code))
    }

    /// One request, one connection: the answer says that it closes.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (head, body) = request(&mut client)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push((head.clone(), text));
        if let Some((status, code)) = self.refused(&head) {
            return client.write_all(&refusal(status, code));
        }
        let fault = if writes(&head, &body) {
            let k = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
            self.fault().filter(|(at, _)| *at == k).map(|(_, fault)| fault)
        } else {
            None
        };
        match fault {
            Some(Fault::Throttled) => {
                client.write_all(&refusal("429 Too Many Requests", "TooManyRequestsException"))
            }
            Some(Fault::Failed) => client.write_all(&refusal("500 Internal Server Error", "InternalFailure")),
            Some(Fault::Reset) => Ok(()),
            Some(Fault::Lost) => self.hand_on(&head, &body).map(drop),
            Some(Fault::Killed) => {
                self.hand_on(&head, &body)?;
                self.death.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_secs(5));
                Ok(())
            }
            None => client.write_all(&closing(self.hand_on(&head, &body)?)),
        }
    }

    fn hand_on(&self, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut upstream = TcpStream::connect(&self.upstream)?;
        let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let head: String = lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
        upstream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
        upstream.write_all(body)?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Head and body; what the SDK sends has a length.
fn request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 65_536];
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let length = head.lines().filter_map(|line| line.split_once(':'));
            let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length = length.filter_map(|(_, n)| n.trim().parse::<usize>().ok()).next().unwrap_or(0);
            let mut body = bytes.split_off(at + 4);
            while body.len() < length {
                let n = client.read(&mut part)?;
                if n == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                body.extend_from_slice(&part[..n]);
            }
            return Ok((head, body));
        }
        let n = client.read(&mut part)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..n]);
    }
}

/// Whether a request changes something: by its operation's name, or by its method.
fn writes(head: &str, body: &[u8]) -> bool {
    let reads =
        |name: &str| ["Get", "List", "Describe", "Head", "Filter"].iter().any(|v| name.starts_with(v));
    let target = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-amz-target")
            .then(|| value.trim().rsplit('.').next().unwrap_or("").to_owned())
    });
    let body = String::from_utf8_lossy(body);
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    match (target.as_deref(), action) {
        (Some(name), _) | (None, Some(name)) => !reads(name),
        (None, None) => !head.starts_with("GET ") && !head.starts_with("HEAD "),
    }
}

/// A refusal in the forms of both JSON and XML services.
fn refusal(status: &str, code: &str) -> Vec<u8> {
    let body = format!("{{\"__type\":\"{code}\",\"message\":\"made by the test\"}}");
    let head = format!(
        "HTTP/1.1 {status}\r\nx-amzn-errortype: {code}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// The answer, saying that its connection ends: nobody then sends the next request into it.
fn closing(answer: Vec<u8>) -> Vec<u8> {
    let Some(at) = answer.windows(2).position(|w| w == b"\r\n") else { return answer };
    let mut whole = answer[..at].to_vec();
    whole.extend_from_slice(b"\r\nconnection: close");
    whole.extend_from_slice(&answer[at..]);
    whole
}
