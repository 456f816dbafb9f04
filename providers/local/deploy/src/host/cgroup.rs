//! Memory limits that the kernel holds: a cgroup (v2) for each instance, where this process may make some.
//!
//! As <https://docs.kernel.org/admin-guide/cgroup-v2.html> has it. Controllers are given to the groups below one that
//! holds no process ("no internal processes"), and this process is in the one that it was started in. So it moves into
//! a group below first, and only where nobody else has to move with it.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CONTROL: &str = "cgroup.subtree_control";
const PROCS: &str = "cgroup.procs";
/// Groups of ours have names that begin so.
const OURS: &str = "xcloud-";

/// Making and removing a group. The kernel fills and empties it.
#[derive(Debug, Clone, Copy)]
struct Kernel {
    make: fn(&Path) -> io::Result<()>,
    remove: fn(&Path) -> io::Result<()>,
}

const KERNEL: Kernel =
    Kernel { make: |path| std::fs::create_dir(path), remove: |path| std::fs::remove_dir(path) };

/// Where instances get their groups. Everything is put back when it is dropped.
#[derive(Debug)]
pub(crate) struct Groups {
    base: PathBuf,
    /// Where those that were in `base` are.
    leaf: Option<PathBuf>,
    /// Groups are written down here: the next host removes what a killed one has left.
    run: PathBuf,
    kernel: Kernel,
}

/// The group of an instance, removed with the value.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    record: PathBuf,
    limit: u64,
    kernel: Kernel,
}

impl Groups {
    /// # Errors
    /// Why there are none, for people. Nothing has changed then.
    pub(crate) fn new(run: &Path) -> Result<Arc<Self>, String> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        let base = own(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?);
        Self::at(base.ok_or("no cgroup v2 is mounted")?, &movable(), run, KERNEL)
    }

    fn at(base: PathBuf, movable: &[u32], run: &Path, kernel: Kernel) -> Result<Arc<Self>, String> {
        let failed = |e: io::Error| format!("{}: {e}", base.display());
        let has = |file: &str| {
            let text = std::fs::read_to_string(base.join(file))?;
            Ok(text.split_whitespace().any(|word| word == "memory"))
        };
        let mut this = Self { base: base.clone(), leaf: None, run: run.to_owned(), kernel };
        // The root of all groups may hold processes all the same.
        if !has(CONTROL).map_err(failed)? {
            if !has("cgroup.controllers").map_err(failed)? {
                return Err(format!("{} has no memory controller", base.display()));
            }
            if processes(&base).map_err(failed)?.iter().any(|pid| !movable.contains(pid)) {
                return Err(format!("{} holds processes of others too", base.display()));
            }
            this.enable().map_err(failed)?;
        }
        let this = Arc::new(this);
        this.instance(0, u64::from(u32::MAX)).map_err(failed)?;
        Ok(this)
    }

    fn enable(&mut self) -> io::Result<()> {
        let leaf = self.base.join(format!("{OURS}host-{}", std::process::id()));
        std::fs::write(self.run.join("host.cgroup"), leaf.as_os_str().as_encoded_bytes())?;
        (self.kernel.make)(&leaf)?;
        self.leaf = Some(leaf.clone());
        for pid in processes(&self.base)? {
            put(&leaf.join(PROCS), &pid.to_string())?;
        }
        put(&self.base.join(CONTROL), "+memory")
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        format!("held by the kernel (cgroup v2, in {})", self.base.display())
    }

    /// A group for the instance of this number, still empty.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn instance(&self, number: u64, limit: u64) -> io::Result<Group> {
        let path = self.base.join(format!("{OURS}{}-{number}", std::process::id()));
        let record = self.run.join(format!("{number}.cgroup"));
        std::fs::write(&record, path.as_os_str().as_encoded_bytes())?;
        (self.kernel.make)(&path)?;
        let group = Group { path, record, limit, kernel: self.kernel };
        put(&group.path.join("memory.max"), &limit.to_string())?;
        // Kernels without swap have no such file; one that ends a part of an instance alone leaves a cripple.
        for (file, value) in [("memory.swap.max", "0"), ("memory.oom.group", "1")] {
            match put(&group.path.join(file), value) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(group)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // In this order: a group with controllers below it takes no processes. What fails here stays as it is, and
        // harms nobody: limits are in the instances' groups alone.
        let Some(leaf) = &self.leaf else { return };
        drop(put(&self.base.join(CONTROL), "-memory"));
        for pid in processes(leaf).unwrap_or_default() {
            drop(put(&self.base.join(PROCS), &pid.to_string()));
        }
        drop((self.kernel.remove)(leaf).and_then(|()| std::fs::remove_file(self.run.join("host.cgroup"))));
    }
}

impl Group {
    /// Takes a process in. Right after its start, not before its program runs: what happens between fork and exec is
    /// unsafe code. What it has used by then, the pages of its first moment, stays the host's.
    ///
    /// # Errors
    /// It is gone, or may not be moved.
    pub(crate) fn admit(&self, pid: i32) -> io::Result<()> {
        put(&self.path.join(PROCS), &pid.to_string())
    }

    /// When the kernel has ended it for its memory: what callers are told. It counts before it kills.
    pub(crate) fn exceeded(&self) -> Option<String> {
        let events = std::fs::read_to_string(self.path.join("memory.events")).ok()?;
        let kills =
            events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse::<u64>().ok()?;
        let mb = self.limit.div_ceil(1024 * 1024);
        (kills > 0).then(|| {
            format!(
                "memory_exceeded: the instance used all of its {mb} MB and was ended; `memory` allows more"
            )
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // While something is in it the kernel keeps it, and the record with it for the next host.
        drop((self.kernel.remove)(&self.path).and_then(|()| std::fs::remove_file(&self.record)));
    }
}

/// Removes the group that a killed host has written down; its last process may need a moment to be gone.
pub(crate) fn forget(record: &str) {
    let path = Path::new(record);
    let ours = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(OURS.as_bytes()));
    let busy = || std::fs::remove_dir(path).is_err_and(|e| e.kind() == ErrorKind::ResourceBusy);
    for _ in (0..40).take_while(|_| ours && busy()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Writes a file of a group. They are never made by writing.
fn put(path: &Path, text: &str) -> io::Result<()> {
    std::fs::File::options().write(true).open(path)?.write_all(text.as_bytes())
}

fn processes(group: &Path) -> io::Result<Vec<u32>> {
    let text = std::fs::read_to_string(group.join(PROCS))?;
    // 0 is a process that is not seen from here.
    Ok(text.split_whitespace().map(|pid| pid.parse().unwrap_or(0)).collect())
}

/// This process, and the command that starts it, when that is the same program. A shell stays where it is.
fn movable() -> Vec<u32> {
    let program = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let (me, parent) = (std::process::id(), std::os::unix::process::parent_id());
    let same = program(me).is_some() && program(me) == program(parent);
    if same { vec![me, parent] } else { vec![me] }
}

/// The directory of this process's group: `0::PATH` of cgroups(7), below the mount of proc_pid_mountinfo(5).
fn own(cgroup: &str, mounts: &str) -> Option<PathBuf> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let fields: Vec<&str> = mount.split(' ').collect();
        let (root, point) = (Path::new(fields.get(3)?), fields.get(4)?);
        // Spaces in paths are written as octal numbers: such a mount is not ours to guess at.
        if !kind.starts_with("cgroup2 ") || point.contains('\\') {
            return None;
        }
        Some(Path::new(point).join(Path::new(group).strip_prefix(root).ok()?))
    })
}

#[cfg(test)]
mod tests;
