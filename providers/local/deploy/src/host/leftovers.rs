//! Processes of a host that was killed. They end by themselves when their standard input closes; those that do not
//! are ended by the next host, which knows them by pid and start time.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

/// The content of a pid file.
pub(crate) fn describe(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero().get();
    format!("{pid} {}", start_time(pid).unwrap_or_default())
}

/// What [`describe`] says of this process.
pub(crate) fn myself() -> String {
    i32::try_from(std::process::id()).ok().and_then(Pid::from_raw).map(describe).unwrap_or_default()
}

/// Whether the process that wrote this of itself still runs.
pub(crate) fn is_running(text: &str) -> bool {
    // One that has ended stays in the list until its parent, or whoever took it over, has looked.
    same_process(text).is_some_and(|pid| state(pid.as_raw_nonzero().get()).is_some_and(|state| state != "Z"))
}

/// Kills what pid files in the directory name, removes their groups, and empties the directory.
pub(crate) fn clear(run: &Path) -> std::io::Result<()> {
    let paths =
        std::fs::read_dir(run)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    let texts = |extension: &'static str| {
        let of_it = paths.iter().filter(move |path| path.extension().is_some_and(|e| e == extension));
        of_it.filter_map(|path| std::fs::read_to_string(path).ok())
    };
    for pid in texts("pid").filter_map(|text| same_process(&text)) {
        // It may end by itself at this moment.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    texts("cgroup").for_each(|text| super::cgroup::forget(&text));
    paths.iter().try_for_each(std::fs::remove_file)
}

/// The pid, if it still is the process that the file was written for.
fn same_process(text: &str) -> Option<Pid> {
    let (pid, started) = text.trim().split_once(' ')?;
    let pid: i32 = pid.parse().ok()?;
    let started: u64 = started.parse().ok()?;
    (start_time(pid) == Some(started)).then(|| Pid::from_raw(pid))?
}

/// In clock ticks since boot: field 22 of `/proc/<pid>/stat`, where the second field, in parentheses, may hold spaces.
/// Systems without it rely on the closing of standard input.
fn start_time(pid: i32) -> Option<u64> {
    stat(pid, 19)?.parse().ok()
}

/// `R`, `S`, … and `Z` for one that has ended.
fn state(pid: i32) -> Option<String> {
    stat(pid, 0)
}

/// A field of `/proc/<pid>/stat`, counted from the third.
fn stat(pid: i32, field: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(field).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_was_meant_is_killed() {
        let me = i32::try_from(std::process::id()).unwrap();
        let text = describe(Pid::from_raw(me).unwrap());
        assert_eq!(same_process(&text), Pid::from_raw(me));
        assert!(is_running(&myself()) && !is_running(&format!("{me} 1")));
        assert_eq!(same_process(&format!("{me} 1")), None);
        for bad in ["", "x", "1", "-1 5", "99999999999 1", &format!("{me} ")] {
            assert_eq!(same_process(bad), None, "{bad:?}");
        }
    }
}
