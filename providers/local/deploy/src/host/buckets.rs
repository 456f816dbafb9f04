//! Buckets: a directory each, looked at a few times a second.
//!
//! An object is a file; its key is the path below the bucket. A file that is being written is left alone until two
//! looks find it the same, so that no function sees half of it. What was seen is remembered in the store, in one
//! commit with the event: what happens while no host is there is told when one comes.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use xcloud_core::event::{ObjectAction, Payload, Record};
use xcloud_core::{Error, Result};
use xcloud_serve::parts::request_id;

use super::api::Manifest;
use super::deployment::Place;
use super::events::{attributes, of_bucket};
use super::store::{Note, Store};
use super::{asked_to, log};
use crate::error::io;

/// Between two looks at a bucket.
const LOOK: Duration = Duration::from_millis(200);
/// After a look that took long the next one waits so many times as long: a large bucket does not keep a processor busy.
const REST: u32 = 10;
/// Files whose names begin so are being written by the host.
const PART: &str = ".xcloud-part-";
/// Rows of the store in one question.
const PAGE: usize = 1000;

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    size: u64,
    /// Nanoseconds since 1970.
    modified: i128,
    inode: u64,
}

impl State {
    fn etag(&self) -> String {
        format!("{:x}-{:x}", self.modified, self.size)
    }
}

type Files = BTreeMap<String, State>;

/// Watches a bucket until it is stopped, and hands what happens to the functions that take it.
pub(super) async fn watch(place: Place, bucket: String, manifest: Manifest, mut stop: watch::Receiver<bool>) {
    let watcher = Watcher {
        directory: place.bucket(&bucket),
        notes: format!("@bucket/{bucket}"),
        place,
        bucket,
        manifest,
    };
    let mut known = None;
    let mut before = Files::new();
    loop {
        let started = tokio::time::Instant::now();
        match watcher.look(&mut known, before.clone()).await {
            Ok(seen) => before = seen,
            Err(error) => log(&format!("app {} bucket {}: {error}", watcher.place.key, watcher.bucket)),
        }
        let pause = LOOK.max(started.elapsed() * REST);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = asked_to(&mut stop) => return,
        }
    }
}

struct Watcher {
    place: Place,
    directory: PathBuf,
    bucket: String,
    /// The store's table of what was seen.
    notes: String,
    manifest: Manifest,
}

impl Watcher {
    /// One look; `before` is what the one before it saw. `known` is what functions were told of.
    async fn look(&self, known: &mut Option<Files>, before: Files) -> Result<Files> {
        let known = match known {
            Some(known) => known,
            None => known.insert(remembered(&self.place.store, &self.notes).await?),
        };
        let directory = self.directory.clone();
        let seen = tokio::task::spawn_blocking(move || files(&directory)).await;
        let seen = seen.map_err(|e| Error::handler(e.to_string()))??;
        for (key, state) in &seen {
            if known.get(key) != Some(state) && before.get(key) == Some(state) {
                self.tell(key, Some(state), ObjectAction::Created).await?;
                known.insert(key.clone(), state.clone());
            }
        }
        let gone: Vec<String> = known
            .keys()
            .filter(|key| !seen.contains_key(*key) && !before.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            self.tell(&key, None, ObjectAction::Deleted).await?;
            known.remove(&key);
        }
        Ok(seen)
    }

    async fn tell(&self, key: &str, state: Option<&State>, action: ObjectAction) -> Result<()> {
        let payload = Payload::Object {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            action,
            size: state.map(|s| s.size),
            etag: state.map(State::etag),
            version: None,
        };
        let mut event = attributes(&self.place.key, &self.bucket);
        event.subject = Some(key.to_owned());
        let record = Record::new(event, payload, self.bucket.clone());
        let value = state.map(serde_json::to_vec).transpose()?.map(Bytes::from);
        let note = Note { table: self.notes.clone(), key: key.to_owned(), value };
        let to = of_bucket(&self.manifest, &self.bucket, action);
        self.place.store.emit(&to, &record, Some(note)).await
    }
}

/// What functions were told of before.
async fn remembered(store: &Store, notes: &str) -> Result<Files> {
    let (mut files, mut after) = (Files::new(), String::new());
    loop {
        let (rows, more) = store.scan(notes, "", &after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(files) };
        after.clone_from(&last.key);
        // What is not in its form is told again.
        let states =
            rows.iter().filter_map(|row| Some((row.key.clone(), serde_json::from_slice(&row.value).ok()?)));
        files.extend(states);
        if !more {
            return Ok(files);
        }
    }
}

/// The files below a directory, by their path in it. Links are not followed; what goes away meanwhile is left out.
fn files(directory: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut open = vec![directory.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(io(format!("cannot look at {}", folder.display()))(e)),
        };
        for entry in entries.flatten() {
            let (path, Ok(facts)) = (entry.path(), entry.metadata()) else { continue };
            if facts.is_dir() {
                open.push(path);
                continue;
            }
            let Some(key) = path.strip_prefix(directory).ok().and_then(Path::to_str) else { continue };
            let is_part = entry.file_name().to_str().is_some_and(|name| name.starts_with(PART));
            if facts.is_file() && !is_part {
                let modified = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
                files.insert(key.to_owned(), State { size: facts.len(), modified, inode: facts.ino() });
            }
        }
    }
    Ok(files)
}

/// Writes an object whole or not at all, or removes it.
///
/// # Errors
/// [`xcloud_core::ErrorKind::BadRequest`] for a key that leads out of the bucket.
pub(super) fn write(directory: &Path, key: &str, body: Option<&[u8]>) -> Result<()> {
    let inside = Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
    if key.is_empty() || key.ends_with('/') || !inside || key.contains('\0') {
        return Err(Error::bad_request(format!("{key:?} cannot be the key of an object here")));
    }
    let path = directory.join(key);
    let failed = || format!("cannot write {}", path.display());
    let Some(body) = body else {
        return std::fs::remove_file(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("there is no object {key:?}")),
            _ => io(failed())(e),
        });
    };
    let folder = path.parent().unwrap_or(directory);
    std::fs::create_dir_all(folder).map_err(io(failed()))?;
    let part = folder.join(format!("{PART}{}", request_id()));
    let written = std::fs::File::create(&part)
        .and_then(|mut file| file.write_all(body))
        .and_then(|()| std::fs::rename(&part, &path));
    if written.is_err() {
        drop(std::fs::remove_file(&part));
    }
    written.map_err(io(failed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_in_their_bucket_and_objects_are_whole() {
        let home = std::env::temp_dir().join(format!("xcloud-bucket-{}", std::process::id()));
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a/", "./x"] {
            assert!(write(&home, bad, Some(b"x")).is_err(), "{bad}");
        }
        write(&home, "folder/red flower.jpg", Some(b"12345")).unwrap();
        let seen = files(&home).unwrap();
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["folder/red flower.jpg"]);
        assert_eq!(seen["folder/red flower.jpg"].size, 5);
        write(&home, "folder/red flower.jpg", None).unwrap();
        assert!(files(&home).unwrap().is_empty());
        assert!(write(&home, "nothing", None).unwrap_err().message().contains("no object"));
        std::fs::remove_dir_all(home).unwrap();
    }
}
