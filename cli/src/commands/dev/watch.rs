//! Which files a build reads, and when one of them was saved.
//!
//! Files are looked at again and again, not watched: it is the same on every system and file system, those of containers
//! and of networks too, `target/` costs nothing, and an editor that writes a new file in the old one's place is no special
//! case. How often depends on what a look costs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use xcloud_core::{Error, Result};

use crate::cargo;

/// Between two looks, at least.
const PAUSE: Duration = Duration::from_millis(100);
/// A look may take this part of the time.
const SHARE: u32 = 40;
/// Files that are saved together are one change: so long nothing may change any more.
const SETTLE: Duration = Duration::from_millis(25);

/// The sources of an app.
pub(super) struct Sources {
    roots: Arc<Roots>,
    seen: Snapshot,
}

/// Directories and single files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Roots {
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

type Snapshot = HashMap<PathBuf, Stamp>;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    size: u64,
    inode: u64,
}

/// Files that were saved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// One of them.
    pub path: PathBuf,
    /// How many.
    pub files: usize,
    /// When the last one was.
    pub saved: SystemTime,
}

impl Sources {
    /// The sources of the app in a directory, as they are now.
    pub(super) fn open(directory: &Path, package: Option<&str>) -> Self {
        let roots = Arc::new(Roots::of(directory, package));
        let seen = roots.look();
        Self { roots, seen }
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Resolves when something was saved since the last time, or since they were opened.
    pub(super) async fn changed(&mut self) -> Change {
        let mut pause = PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            let started = Instant::now();
            let mut now = self.look().await;
            pause = PAUSE.max(started.elapsed() * SHARE);
            if now == self.seen {
                continue;
            }
            loop {
                tokio::time::sleep(SETTLE).await;
                let later = self.look().await;
                let settled = later == now;
                now = later;
                if settled {
                    break;
                }
            }
            if let Some(change) = difference(&self.seen, &now) {
                self.seen = now;
                return change;
            }
        }
    }

    async fn look(&self) -> Snapshot {
        let roots = Arc::clone(&self.roots);
        tokio::task::spawn_blocking(move || roots.look()).await.unwrap_or_default()
    }
}

fn difference(before: &Snapshot, now: &Snapshot) -> Option<Change> {
    let saved = now.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp));
    let saved = saved.map(|(path, stamp)| (stamp.modified, path));
    // Nobody has written down when a file was removed.
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    let gone = gone.map(|path| (SystemTime::now(), path));
    let all: Vec<_> = saved.chain(gone).collect();
    let (saved, path) = all.iter().max()?;
    Some(Change { path: (*path).clone(), files: all.len(), saved: *saved })
}

/// What cargo says of a workspace.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    resolve: Option<Resolve>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    /// Absent for one that lies on this machine.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

impl Roots {
    /// The app's package and every package on this machine that it depends on. Where cargo does not know them, because a
    /// manifest is broken, the directory alone: a change there makes it ask again.
    fn of(directory: &Path, package: Option<&str>) -> Self {
        let files = BTreeSet::from([directory.join("xcloud.toml"), directory.join("Cargo.toml")]);
        let mut roots = Self { directories: BTreeSet::from([directory.to_owned()]), files };
        let Ok(metadata) = metadata(directory) else { return roots };
        roots.files.insert(metadata.workspace_root.join("Cargo.toml"));
        for directory in metadata.packages_of(directory, package) {
            roots.files.extend([".cargo/config.toml", ".cargo/config"].map(|name| directory.join(name)));
            roots.directories.insert(directory);
        }
        roots
    }

    fn look(&self) -> Snapshot {
        let mut found = Snapshot::new();
        let mut waiting: Vec<PathBuf> = self.directories.iter().cloned().collect();
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                if is_noise(&name.to_string_lossy()) || found.contains_key(&path) {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => {
                        // How cargo and others mark what can be made again.
                        if !path.join("CACHEDIR.TAG").exists() {
                            waiting.push(path);
                        }
                    }
                    _ => found.extend(stamp(path)),
                }
            }
        }
        found.extend(self.files.iter().filter_map(|path| stamp(path.clone())));
        found
    }
}

fn stamp(path: PathBuf) -> Option<(PathBuf, Stamp)> {
    let file = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    let modified = file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Some((path, Stamp { modified, size: file.len(), inode: file.ino() }))
}

/// Files and directories that no build reads: hidden ones, editors' own, and `Cargo.lock`, which builds write.
fn is_noise(name: &str) -> bool {
    let ends = ["~", ".swp", ".swx", ".tmp", ".part"];
    name.starts_with(['.', '#']) || ends.iter().any(|end| name.ends_with(end)) || is_other(name)
}

fn is_other(name: &str) -> bool {
    // The second is what vim writes to see whether it can.
    ["Cargo.lock", "4913", "node_modules"].contains(&name)
}

fn metadata(directory: &Path) -> Result<Metadata> {
    let mut command = Command::new(cargo::cargo());
    command.current_dir(directory).args(["metadata", "--format-version", "1"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().map_err(cargo::no_cargo)?;
    if !output.status.success() {
        return Err(Error::handler("cargo metadata failed"));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl Metadata {
    fn packages_of(&self, directory: &Path, package: Option<&str>) -> Vec<PathBuf> {
        let here: BTreeMap<&str, &Package> =
            self.packages.iter().filter(|p| p.source.is_none()).map(|p| (p.id.as_str(), p)).collect();
        let is_app = |p: &&&Package| match package {
            Some(name) => p.name == name,
            None => p.manifest_path.parent() == Some(directory),
        };
        let mut waiting: Vec<&str> = here.values().filter(is_app).map(|p| p.id.as_str()).collect();
        if waiting.is_empty() {
            waiting = here.keys().copied().collect();
        }
        let nodes: HashMap<&str, &Node> =
            self.resolve.iter().flat_map(|r| &r.nodes).map(|n| (n.id.as_str(), n)).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if here.contains_key(id) && seen.insert(id) {
                waiting.extend(nodes.get(id).into_iter().flat_map(|n| &n.dependencies).map(String::as_str));
            }
        }
        let directory = |id: &&str| here.get(id).and_then(|p| p.manifest_path.parent());
        seen.iter().filter_map(directory).map(Path::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xcloud-watch-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(path.join("src")).unwrap();
        path
    }

    fn names(snapshot: &Snapshot) -> Vec<String> {
        let mut names: Vec<_> =
            snapshot.keys().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_no_build_reads_is_not_looked_at() {
        let path = scratch("noise");
        for file in ["src/main.rs", "a.html", ".hidden", "src/.main.rs.swp", "main.rs~", "Cargo.lock"] {
            std::fs::write(path.join(file), "x").unwrap();
        }
        for directory in [".git", "target", "node_modules"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
            std::fs::write(path.join(directory).join("file"), "x").unwrap();
        }
        std::fs::write(path.join("target/CACHEDIR.TAG"), "x").unwrap();
        let roots = Roots { directories: [path.clone()].into(), files: BTreeSet::new() };
        assert_eq!(names(&roots.look()), ["a.html", "main.rs"]);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[tokio::test]
    async fn a_save_in_place_or_by_renaming_and_a_removal_are_changes() {
        let path = scratch("saves");
        let main = path.join("src/main.rs");
        std::fs::write(&main, "one").unwrap();
        let roots = Arc::new(Roots { directories: [path.clone()].into(), files: BTreeSet::new() });
        let mut sources = Sources { seen: roots.look(), roots };
        std::fs::write(&main, "two!").unwrap();
        let change = sources.changed().await;
        assert_eq!((&change.path, change.files), (&main, 1));
        assert!(change.saved.elapsed().unwrap() < Duration::from_secs(60));
        std::fs::write(path.join("new.tmp"), "four").unwrap();
        std::fs::rename(path.join("new.tmp"), &main).unwrap();
        assert_eq!(sources.changed().await.path, main);
        std::fs::remove_file(&main).unwrap();
        assert_eq!(sources.changed().await.files, 1);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn packages_on_this_machine_that_the_app_depends_on_are_its_sources() {
        let text = r#"{"workspace_root":"/w","packages":[
            {"id":"app","name":"app","manifest_path":"/w/app/Cargo.toml","source":null},
            {"id":"lib","name":"lib","manifest_path":"/elsewhere/lib/Cargo.toml","source":null},
            {"id":"other","name":"other","manifest_path":"/w/other/Cargo.toml","source":null},
            {"id":"serde","name":"serde","manifest_path":"/c/serde/Cargo.toml","source":"registry"}],
            "resolve":{"nodes":[{"id":"app","dependencies":["lib","serde"]},{"id":"lib","dependencies":["serde"]},
            {"id":"other","dependencies":[]},{"id":"serde","dependencies":[]}]}}"#;
        let metadata: Metadata = serde_json::from_str(text).unwrap();
        let of = |directory: &str, package| metadata.packages_of(Path::new(directory), package);
        assert_eq!(of("/w/app", None), [Path::new("/w/app"), Path::new("/elsewhere/lib")]);
        assert_eq!(of("/w", Some("other")), [Path::new("/w/other")]);
        assert_eq!(of("/w", None).len(), 3);
    }
}
