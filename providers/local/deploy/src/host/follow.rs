//! Reading log files while they are written, rotated, removed and made again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xcloud_core::text::rfc3339;
use xcloud_deploy::{LogLine, LogQuery};

use super::logs::older;

/// Reads the logs of an app: what is there, then what is new since, however often it is asked. It holds on to files and
/// not to the host, so a host that ends and comes back is not noticed.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    query: LogQuery,
    since: Option<String>,
    tails: BTreeMap<PathBuf, Tail>,
    begun: bool,
}

/// A file that is read to its end, again and again.
#[derive(Debug)]
struct Tail {
    inode: u64,
    file: BufReader<File>,
    /// A line whose end is not written yet.
    partial: Vec<u8>,
}

impl Follower {
    /// A follower of the logs in a directory, which need not exist yet.
    pub fn new(directory: PathBuf, query: LogQuery) -> Self {
        let since = query.since.map(rfc3339);
        Self { directory, query, since, tails: BTreeMap::new(), begun: false }
    }

    /// The lines that came since the last time, oldest first. The first time, the newest of all that are there.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn poll(&mut self) -> std::io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        for path in self.paths()? {
            self.read(&path, &mut lines)?;
        }
        let Self { query, since, .. } = self;
        let wanted = |line: &LogLine| {
            since.as_ref().is_none_or(|since| line.time >= *since)
                && query.request.as_ref().is_none_or(|id| is_of(line, id))
        };
        lines.retain(wanted);
        // Stable: lines of one function keep their order even when the clock was set back.
        lines.sort_by(|a, b| a.time.cmp(&b.time));
        if let (false, Some(limit)) = (self.begun, query.limit) {
            lines.drain(..lines.len().saturating_sub(limit));
        }
        self.begun = true;
        Ok(lines)
    }

    /// The current files, one a function.
    fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".log"));
            if name.is_some_and(|name| self.query.function.as_ref().is_none_or(|f| f == name)) {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    fn read(&mut self, path: &Path, lines: &mut Vec<LogLine>) -> std::io::Result<()> {
        let known = self.tails.get_mut(path);
        let known_inode = known.as_ref().map(|tail| tail.inode);
        // What was written before the file was put aside, and only then what its successor holds.
        if let Some(tail) = known {
            tail.read(lines)?;
        }
        if known_inode.is_some() && known_inode == inode(path) {
            return Ok(());
        }
        if let Some(tail) = self.tails.get_mut(path) {
            tail.read(lines)?;
        }
        // Put aside twice since the last time, or before the first.
        if inode(&older(path)) != known_inode
            && let Some(mut tail) = Tail::open(&older(path))?
        {
            tail.read(lines)?;
        }
        if let Some(mut tail) = Tail::open(path)? {
            tail.read(lines)?;
            self.tails.insert(path.to_owned(), tail);
        }
        Ok(())
    }
}

/// Whether a line belongs to the call with this id, or with an id that ends so: people copy the short form.
fn is_of(line: &LogLine, id: &str) -> bool {
    line.request_id.as_ref().is_some_and(|whole| whole.ends_with(id))
}

impl Tail {
    fn open(path: &Path) -> std::io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let inode = file.metadata()?.ino();
        Ok(Some(Self { inode, file: BufReader::new(file), partial: Vec::new() }))
    }

    fn read(&mut self, lines: &mut Vec<LogLine>) -> std::io::Result<()> {
        while self.file.read_until(b'\n', &mut self.partial)? > 0 {
            if self.partial.ends_with(b"\n") {
                // One that was being written when the host was killed is left out.
                lines.extend(serde_json::from_slice::<LogLine>(&self.partial).ok());
                self.partial.clear();
            }
        }
        Ok(())
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|file| file.ino())
}

#[cfg(test)]
mod tests {
    use super::super::logs::Log;
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xcloud-follow-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn texts(lines: Vec<LogLine>) -> Vec<String> {
        lines.into_iter().map(|line| line.line).collect()
    }

    #[test]
    fn lines_come_back_in_order_and_bounded() {
        let path = directory("order");
        let (http, fulfil) = (Log::new(&path, "http"), Log::new(&path, "fulfil"));
        for i in 0..3 {
            http.write("stdout", &format!("h{i}"));
            fulfil.write("stderr", &format!("f{i}"));
        }
        let names = |function: Option<&str>, limit| {
            let function = function.map(str::to_owned);
            let query = LogQuery { function, limit, ..LogQuery::default() };
            texts(Follower::new(path.clone(), query).poll().unwrap())
        };
        assert_eq!(names(Some("http"), Some(2)), ["h1", "h2"]);
        assert_eq!(names(None, None).len(), 6);
        let nowhere = Follower::new(path.join("nowhere"), LogQuery::default()).poll();
        assert!(nowhere.unwrap().is_empty());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_call_and_a_time_are_told_apart() {
        let path = directory("request");
        let log = Log::new(&path, "http");
        log.write("stdout", r#"{"message":"a","request_id":"r-1"}"#);
        log.write("stdout", r#"{"message":"b","requestId":"r-2"}"#);
        log.write("stdout", "{not json, request_id r-1");
        let read = |query| Follower::new(path.clone(), query).poll().unwrap();
        let of = |id: &str| read(LogQuery { request: Some(id.to_owned()), ..LogQuery::default() });
        assert_eq!((of("r-1").len(), of("2").len(), of("r-3").len()), (1, 1, 0));
        let future = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        assert!(read(LogQuery { since: Some(future), ..LogQuery::default() }).is_empty());
        std::fs::remove_dir_all(path).unwrap();
    }

    /// Every line once and in order, although the file is put aside every seventy lines, and sometimes twice between two
    /// looks.
    #[test]
    fn following_survives_rotation() {
        let path = directory("rotate");
        let log = Log::new(&path, "f");
        let mut follower = Follower::new(path.clone(), LogQuery::default());
        let padding = "x".repeat(60_000);
        let mut seen = Vec::new();
        for i in 0..400 {
            log.write("stdout", &format!("{i} {padding}"));
            if i % 100 == 99 {
                seen.extend(follower.poll().unwrap());
            }
        }
        seen.extend(follower.poll().unwrap());
        let numbers: Vec<usize> =
            seen.iter().filter_map(|l| l.line.split(' ').next()?.parse().ok()).collect();
        assert_eq!(numbers, (0..400).collect::<Vec<_>>());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_line_is_taken_when_it_is_whole_and_a_new_directory_is_noticed() {
        let path = directory("partial");
        let mut follower = Follower::new(path.clone(), LogQuery::default());
        assert!(follower.poll().unwrap().is_empty());
        let line = r#"{"time":"2026-01-01T00:00:00.000Z","function":"f","stream":"stdout","line":"whole"}"#;
        std::fs::write(path.join("f.log"), &line[..40]).unwrap();
        assert!(follower.poll().unwrap().is_empty());
        std::fs::OpenOptions::new()
            .append(true)
            .open(path.join("f.log"))
            .and_then(|mut file| {
                std::io::Write::write_all(&mut file, format!("{}\n", &line[40..]).as_bytes())
            })
            .unwrap();
        assert_eq!(texts(follower.poll().unwrap()), ["whole"]);
        std::fs::remove_dir_all(&path).unwrap();
        assert!(follower.poll().unwrap().is_empty());
        std::fs::create_dir_all(&path).unwrap();
        Log::new(&path, "f").write("stdout", "again");
        assert_eq!(texts(follower.poll().unwrap()), ["again"]);
        std::fs::remove_dir_all(path).unwrap();
    }
}
