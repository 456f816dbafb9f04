//! Log files: one per function of an app, JSON lines, bounded.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::io::{AsyncBufReadExt, AsyncRead};
use xcloud_core::text::rfc3339;
use xcloud_deploy::LogLine;

/// A file that has grown to this becomes `<name>.log.1`, in the place of the one before.
const ROTATE: u64 = 4 * 1024 * 1024;
/// A longer line is cut into lines of this length.
const MAX_LINE: usize = 64 * 1024;

/// The log of one function.
#[derive(Debug)]
pub(crate) struct Log {
    function: String,
    path: PathBuf,
    file: Mutex<Option<(File, u64)>>,
}

impl Log {
    pub(crate) fn new(directory: &Path, function: &str) -> Self {
        let path = directory.join(format!("{function}.log"));
        Self { function: function.to_owned(), path, file: Mutex::new(None) }
    }

    /// Appends a line; a disk that does not take it loses the line, not the call.
    pub(crate) fn write(&self, stream: &str, line: &str) {
        let line = LogLine {
            time: rfc3339(SystemTime::now()),
            function: self.function.clone(),
            stream: stream.to_owned(),
            line: line.to_owned(),
            request_id: request_id(line),
        };
        let Ok(mut bytes) = serde_json::to_vec(&line) else { return };
        bytes.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let size = bytes.len() as u64;
        if file.as_ref().is_some_and(|(_, written)| written + size > ROTATE) {
            *file = None;
            drop(std::fs::rename(&self.path, older(&self.path)));
        }
        if file.is_none() {
            *file = self.open();
        }
        if let Some((file, written)) = file.as_mut()
            && file.write_all(&bytes).is_ok()
        {
            *written += size;
        }
    }

    fn open(&self) -> Option<(File, u64)> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).mode(0o600).open(&self.path).ok()?;
        let size = file.metadata().ok()?.len();
        let mut last = [b'\n'];
        file.read_at(&mut last, size.checked_sub(1).unwrap_or(size)).ok()?;
        // The host was killed while it wrote a line: the next one is to be a line of its own.
        if last != *b"\n" {
            file.write_all(b"\n").ok()?;
        }
        Some((file, size))
    }
}

/// Where a file is put aside.
pub(crate) fn older(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// Hands every line of a pipe to `take`, without its newline, until the pipe ends. Bytes that are not UTF-8 become
/// U+FFFD.
pub(crate) async fn lines(pipe: impl AsyncRead + Unpin, take: impl Fn(&str)) {
    let mut reader = tokio::io::BufReader::with_capacity(MAX_LINE, pipe);
    let mut line: Vec<u8> = Vec::new();
    let give =
        |bytes: &[u8]| take(String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).as_ref());
    while let Ok(bytes) = reader.fill_buf().await {
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|&b| b == b'\n');
        let room = MAX_LINE - line.len();
        let take = end.unwrap_or(bytes.len()).min(room);
        line.extend_from_slice(&bytes[..take]);
        let whole = end == Some(take);
        reader.consume(take + usize::from(whole));
        if whole || line.len() == MAX_LINE {
            give(&line);
            line.clear();
        }
    }
    if !line.is_empty() {
        give(&line);
    }
}

/// The call that a line names: a function's own lines are JSON, in the dialect of the platform that it runs on.
fn request_id(line: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(alias = "requestId")]
        request_id: Option<String>,
    }
    line.starts_with('{').then(|| serde_json::from_str::<Named>(line).ok()?.request_id)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xcloud-logs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_log_keeps_to_two_files() {
        let path = directory("rotate");
        let log = Log::new(&path, "f");
        let line = "x".repeat(60_000);
        for _ in 0..300 {
            log.write("stdout", &line);
        }
        let total: u64 =
            std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(total <= 2 * ROTATE, "{total}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[tokio::test]
    async fn a_pipe_is_cut_into_lines() {
        let long = "y".repeat(MAX_LINE + 10);
        let text = format!("a\r\n\n{long}\nlast \u{fffd}");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&[0xff]);
        let seen = Mutex::new(Vec::new());
        lines(&bytes[..], |line| seen.lock().unwrap().push(line.to_owned())).await;
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.iter().map(String::len).collect::<Vec<_>>(), [1, 0, MAX_LINE, 10, 11]);
        assert_eq!(seen[4], "last \u{fffd}\u{fffd}");
    }
}
