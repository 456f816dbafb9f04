//! Lambda's Runtime API for tests that count: it hands out one event again and again, and counts connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest that a run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What a run of a program came to.
#[derive(Debug, Default)]
pub struct Run {
    /// The bodies of its answers, in order.
    pub answers: Vec<Vec<u8>>,
    /// How many connections it made.
    pub connections: usize,
}

struct Api {
    events: Mutex<std::vec::IntoIter<Vec<u8>>>,
    run: Mutex<Run>,
    done: Sender<()>,
}

/// Runs a Lambda program until it asks for one more event than there are. `wrapper` is a command to put before it.
///
/// # Errors
/// It could not be started, or did not come to the end in two minutes.
pub fn run(program: &str, wrapper: &[&str], events: Vec<Vec<u8>>) -> Result<Run, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
    let (sender, done) = mpsc::channel();
    let api = Arc::new(Api { events: Mutex::new(events.into_iter()), run: Mutex::default(), done: sender });
    let for_thread = Arc::clone(&api);
    // They end with the test's process.
    std::thread::spawn(move || accept(&listener, &for_thread));
    let arguments: Vec<&str> = wrapper.iter().copied().chain([program]).collect();
    let mut command = Command::new(arguments[0]);
    command.args(&arguments[1..]).env("AWS_LAMBDA_RUNTIME_API", address).stdout(Stdio::null());
    let child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
    finish(child, &done)?;
    Ok(std::mem::take(&mut *api.run.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Waits for the end and ends the process; a wrapper ends with the program that it runs.
fn finish(mut child: Child, done: &Receiver<()>) -> Result<(), String> {
    let result = done.recv_timeout(LIMIT).map_err(|_| "the program did not ask for all events".to_owned());
    let id = child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let mut kill = Command::new("kill");
    kill.args(children.split_whitespace());
    if children.trim().is_empty() || !kill.status().is_ok_and(|status| status.success()) {
        drop(child.kill());
    }
    child.wait().map_err(|e| e.to_string())?;
    result
}

fn accept(listener: &TcpListener, api: &Arc<Api>) {
    for stream in listener.incoming().map_while(Result::ok) {
        api.run.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
        let api = Arc::clone(api);
        std::thread::spawn(move || serve(stream, &api));
    }
}

/// One connection; it ends when the program ends it, or at the last question.
fn serve(mut stream: TcpStream, api: &Api) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (method, body) = request(&mut reader)?;
        let answer = if method == "GET" {
            let Some(event) = api.events.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                api.done.send(()).ok()?;
                // The question stays open until the program is ended.
                return reader.read(&mut [0]).ok().map(drop);
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                 Lambda-Runtime-Deadline-Ms: {}\r\nContent-Length: {}\r\n\r\n",
                now + 60_000,
                event.len()
            )
            .into_bytes();
            answer.extend(event);
            answer
        } else {
            api.run.lock().unwrap_or_else(PoisonError::into_inner).answers.push(body);
            b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()
        };
        stream.write_all(&answer).ok()?;
    }
}

/// Method and body.
fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut line, mut method, mut length) = (String::new(), None, 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        method = method.or_else(|| text.split(' ').next().map(str::to_owned));
        if let Some((_, value)) =
            text.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method?, body))
}
