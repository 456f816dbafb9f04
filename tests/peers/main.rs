//! Against programs of others: AWS's Runtime Interface Emulator, `cargo lambda watch`, the events that
//! `aws_lambda_events` keeps; and what our hosts write against the readers of AWS's Powertools, Google's functions-framework
//! and google-events, and Microsoft's azure-functions; and what our processes send,
//! received by AWS's boto3 out of ministack's queues.

mod azure_functions;
mod cargo_lambda;
mod functions_framework;
mod lambda_events;
mod neutral;
mod powertools;
mod rie;
mod sqs;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};

/// A child that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Status and body of a `POST`.
fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<(u16, String)> {
    let (head, body) = ask(port, "POST", path, headers, body)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Head and body of the answer to one HTTP/1.0 request: it ends with the connection.
fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let headers: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.get(end + 4..).unwrap_or_default().to_vec();
    Ok((String::from_utf8_lossy(&answer[..end]).into_owned(), body))
}

/// Waits for a port to be listened on.
fn listens(port: u16) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > end {
            return Err(format!("nothing listens on {port}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

type Run = fn() -> Result<(), String>;

/// Trials by the names of their functions.
macro_rules! trials {
    ($($module:ident::$trial:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($trial)), $module::$trial as Run)),*]
    };
}

const TRIALS: &[(&str, Run)] = trials![
    cargo_lambda::watch,
    rie::classic,
    rie::managed,
    rie::streams,
    rie::init_error,
    rie::graceful_stop,
    functions_framework::cloud_events_mean_the_same,
    functions_framework::objects,
    functions_framework::schedules,
    functions_framework::queue_messages,
    functions_framework::topics,
    functions_framework::changes,
    functions_framework::events,
    functions_framework::legacy_events,
    lambda_events::every_fixture_is_read_or_refused,
    powertools::http_requests,
    powertools::queue_messages,
    powertools::objects,
    powertools::schedules,
    powertools::changes,
    powertools::topics,
    powertools::events,
    azure_functions::queue_messages,
    azure_functions::objects,
    azure_functions::schedules,
    azure_functions::changes,
    azure_functions::topics,
    azure_functions::events,
    sqs::messages_arrive,
    sqs::over_tls,
    sqs::refusals,
    sqs::signatures,
    parity::witnesses_are_trials,
];

/// What the parity matrix calls on.
mod parity {
    use xcloud_tests::parity::{ROWS, WITNESSES};

    pub(crate) fn witnesses_are_trials() -> Result<(), String> {
        for witness in WITNESSES {
            if !super::TRIALS.iter().any(|(name, _)| *name == witness.trial) {
                return Err(format!(
                    "tests/peers has no trial {}, a witness of the parity matrix",
                    witness.trial
                ));
            }
            if !ROWS.iter().any(|row| row.capability == witness.capability) {
                return Err(format!("{} is a witness of no row: {}", witness.trial, witness.capability));
            }
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let trials = TRIALS.iter().map(|(name, run)| Trial::test(*name, move || run().map_err(Into::into)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
