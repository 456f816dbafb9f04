//! The function's process, as a host starts, watches and ends it.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use xcloud_core::{Error, Result};

use super::{Launch, Output};

/// A running child. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    id: Option<u32>,
    ended: watch::Receiver<Option<ExitStatus>>,
    kill: Arc<Notify>,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts the program with `env` added to what [`Launch`] asks for.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(launch: &Launch, env: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(&launch.program);
        command.env_clear().envs(env.iter().map(|(k, v)| (k, v)));
        command.envs(launch.env.iter().map(|(k, v)| (k, v)));
        if let Some(function) = &launch.function {
            command.env(xcloud_core::env::FUNCTION, function);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        if launch.output == Output::Kept {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|e| {
            Error::unavailable(format!("cannot start {}: {e}", launch.program.display())).caused_by(e)
        })?;
        let output = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take(), &output);
        keep(child.stderr.take(), &output);
        let (id, kill) = (child.id(), Arc::new(Notify::new()));
        let (sender, ended) = watch::channel(None);
        tokio::spawn(watch(child, Arc::clone(&kill), sender));
        Ok(Self { id, ended, kill, output })
    }

    /// What it has written so far; nothing where it writes to this process's own output.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.id.filter(|_| self.status().is_none())
    }

    /// How it ended, once it has.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits until it ends.
    pub async fn ended(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        // Only a runtime that is being shut down leaves no status.
        let status = ended.wait_for(Option::is_some).await.map(|status| *status);
        status.ok().flatten().unwrap_or_default()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let late = |_| Error::unavailable(format!("the process did not end within {limit:?}"));
        tokio::time::timeout(limit, self.ended()).await.map_err(late)
    }

    /// SIGKILL, as platforms without a graceful stop do.
    pub async fn kill(&self) -> ExitStatus {
        self.kill.notify_one();
        self.ended().await
    }

    /// SIGTERM, then up to `grace` for the process to end, then SIGKILL.
    pub async fn terminate(&self, grace: Duration) -> ExitStatus {
        if let Some(id) = self.id() {
            // The standard library has no SIGTERM and this crate no unsafe code; every system that runs hosts has kill.
            drop(Command::new("kill").arg("-TERM").arg(id.to_string()).status().await);
        }
        match self.wait(grace).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill.notify_one();
    }
}

async fn watch(mut child: Child, kill: Arc<Notify>, ended: watch::Sender<Option<ExitStatus>>) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill.notified() => {
            // It may have ended at this moment.
            drop(child.start_kill());
            child.wait().await
        }
    };
    // Somebody else reaped it when there is no status: it has ended all the same.
    ended.send_replace(Some(status.unwrap_or_default()));
}

fn keep(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, output: &Arc<Mutex<String>>) {
    let Some(pipe) = pipe else { return };
    let output = Arc::clone(output);
    tokio::spawn(async move {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}
