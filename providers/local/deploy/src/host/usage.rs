//! What a process uses, as `/proc` says it. Systems without it: nothing is known.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Pid;

/// A look at a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Bytes in memory now (`VmRSS`): of this process, pages that it shares counted in full, its children not.
    pub(crate) now: u64,
    /// The most there ever were (`VmHWM`).
    pub(crate) peak: u64,
}

/// The memory of a process; `None` when it is gone.
pub(crate) fn memory(pid: Pid) -> Option<Memory> {
    parse_status(&std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?)
}

fn parse_status(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { now: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// The processor time of a process, by thread: the scheduler counts it in nanoseconds there.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    threads: HashMap<u32, u64>,
}

impl Clock {
    /// What it has used since the last look. What a thread used after its last look and before its end is not seen.
    pub(crate) fn advance(&mut self, pid: Pid) -> Option<Duration> {
        let mut threads = HashMap::with_capacity(self.threads.len());
        let mut used = 0_u64;
        for entry in std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).ok()?.flatten() {
            let name = entry.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let Ok(text) = std::fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let Some(total) = parse_schedstat(&text) else { continue };
            used += total.saturating_sub(self.threads.get(&thread).copied().unwrap_or(0));
            threads.insert(thread, total);
        }
        self.threads = threads;
        Some(Duration::from_nanos(used))
    }
}

/// Nanoseconds on a processor: the first of three numbers.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let me = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
        let memory = memory(me).unwrap();
        assert!(memory.now > 100_000 && memory.peak >= memory.now, "{memory:?}");
        let mut clock = Clock::default();
        let before = clock.advance(me).unwrap();
        let mut sum = 0_u64;
        for i in 0..5_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        let spent = clock.advance(me).unwrap();
        assert!(before > Duration::ZERO && spent > Duration::ZERO, "{before:?} {spent:?}");
    }

    proptest! {
        #[test]
        fn no_text_of_proc_makes_it_panic(text in ".*", number in any::<u64>()) {
            let _ = parse_status(&text);
            let _ = parse_schedstat(&text);
            prop_assert_eq!(parse_status(&format!("VmHWM: {number} kB\nVmRSS:\t{number} kB\n")).is_some(), number <= u64::MAX / 1024);
        }
    }
}
