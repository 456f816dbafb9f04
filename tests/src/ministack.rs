//! `ministack` 1.5.33 (PyPI, MIT): AWS's control planes and queues on loopback, with boto3 beside it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use xcloud_serve::host::free_port;

use crate::tools::{self, Skip};

/// It is ready in about three seconds; this is a machine that builds beside it.
const READY: Duration = Duration::from_secs(60);
/// It ends the functions' processes before its own.
const STOP: Duration = Duration::from_secs(10);

/// Its environment: boto3 asks it and judges it, and with cbor2 it speaks CloudWatch's protocol of today.
///
/// # Errors
/// When it cannot be installed.
pub fn install() -> Result<PathBuf, Skip> {
    tools::python("ministack", "1.5.33", &["boto3==1.43.106", "cbor2==5.9.0"])
}

/// A running emulator, with nothing in it; it ends with its value.
#[derive(Debug)]
pub struct Ministack {
    child: Child,
    port: u16,
    home: PathBuf,
    programs: PathBuf,
}

impl Ministack {
    /// Starts one on a free port and waits until it answers. It takes any credentials and any role.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start() -> Result<Self, Skip> {
        Self::start_with(&[])
    }

    /// The same with more in its environment: with `AUTH=true` unknown keys are refused, and roles must exist.
    ///
    /// # Errors
    /// As [`Ministack::start`].
    pub fn start_with(environment: &[(&str, &str)]) -> Result<Self, Skip> {
        let programs = install()?;
        let io = |e: std::io::Error| Skip(format!("ministack does not start: {e}"));
        // A free port may be taken before it listens; then it ends at once.
        for _ in 0..3 {
            let port = free_port().map_err(|e| Skip(e.to_string()))?;
            let home = std::env::temp_dir().join(format!("xcloud-ministack-{port}"));
            std::fs::create_dir_all(&home).map_err(io)?;
            let log = std::fs::File::create(home.join("log")).map_err(io)?;
            let mut command = Command::new(programs.join("ministack"));
            // It listens on every interface unless told otherwise.
            command.env("GATEWAY_PORT", port.to_string()).env("BIND_HOST", "127.0.0.1");
            command.env("MINISTACK_HOST", "127.0.0.1").env("TMPDIR", &home).envs(environment.iter().copied());
            command.stdin(Stdio::null()).stdout(log.try_clone().map_err(io)?).stderr(log);
            let child = command.spawn().map_err(io)?;
            let mut started = Self { child, port, home, programs: programs.clone() };
            if started.ready()? {
                return Ok(started);
            }
        }
        Err(Skip("ministack ended at once, three times".to_owned()))
    }

    /// Whether it came up; not, when it has ended.
    fn ready(&mut self) -> Result<bool, Skip> {
        let end = Instant::now() + READY;
        while Instant::now() < end {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(false);
            }
            if self.ask("GET", "/_ministack/health").is_ok_and(|status| status == 200) {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Skip(format!("ministack is not ready after {READY:?}: {}", self.log())))
    }

    /// The URL of every service: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What an SDK needs in its environment to come here.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }

    /// The programs of its environment: `python` there has boto3 (see [`tools::script`]).
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Forgets everything that was made in it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn reset(&self) -> Result<(), String> {
        match self.ask("POST", "/_ministack/reset") {
            Ok(200) => Ok(()),
            answer => Err(format!("ministack was not reset: {answer:?}: {}", self.log())),
        }
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    fn ask(&self, method: &str, path: &str) -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(READY))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // Asked first: functions that it runs are processes of their own, which a kill would leave behind.
        drop(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status());
        let end = Instant::now() + STOP;
        while Instant::now() < end && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.home));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"
import boto3, json, sys
given = json.load(sys.stdin)
sqs = boto3.client("sqs", endpoint_url=given["endpoint"], region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
if given["make"]: sqs.create_queue(QueueName=given["make"])
print(json.dumps([url.rsplit("/", 1)[1] for url in sqs.list_queues().get("QueueUrls", [])]))
"#;

    #[test]
    fn it_starts_forgets_and_ends() {
        let ministack = match Ministack::start() {
            Ok(ministack) => ministack,
            Err(why) => return tools::skip(&why).unwrap_or_else(|why| panic!("{why}")),
        };
        let queues = |make: Option<&str>| {
            let input = serde_json::json!({ "endpoint": ministack.endpoint(), "make": make });
            tools::script(ministack.programs(), SCRIPT, &input).unwrap_or_else(|why| panic!("{why}"))
        };
        assert_eq!(queues(Some("made")), serde_json::json!(["made"]));
        ministack.reset().unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(queues(None), serde_json::json!([]));
        let (port, home) = (ministack.port, ministack.home.clone());
        drop(ministack);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it listens on");
        assert!(!home.exists(), "{} is left behind", home.display());
    }
}
