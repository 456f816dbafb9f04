//! Facts about this machine, asked without changing it.

#[cfg(feature = "local")]
mod local;

use std::path::Path;
use std::process::Command;

#[cfg(feature = "local")]
pub(crate) use self::local::{Port, listens, port, writable};

/// The first line that a program prints, when it is there and ends well.
pub(crate) fn first_line(program: &str, arguments: &[&str], directory: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    output.status.success().then_some(line)
}

/// `rustc 1.95.0 (…)` is `(1, 95, 0)`.
pub(crate) fn version(text: &str) -> Option<(u32, u32, u32)> {
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = number.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    Some((parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
}

/// Free bytes for this user where a path is, or would be.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let fs = rustix::fs::statvfs(there).ok()?;
    Some(fs.f_bavail.saturating_mul(fs.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95, 0)));
        assert_eq!(version("rustc 1.97.0-nightly (abc 2026-01-01)"), Some((1, 97, 0)));
        assert_eq!(version("1.90"), Some((1, 90, 0)));
        assert_eq!(version("rustc"), None);
        assert_eq!(version("rustc 1"), None);
    }

    #[test]
    fn free_space_is_that_of_the_nearest_directory() {
        let there = std::env::temp_dir();
        assert!(free_bytes(&there.join("not/there")).is_some_and(|free| free > 0));
        assert!(free_bytes(&there).is_some_and(|free| free > 0));
    }

    proptest! {
        #[test]
        fn no_version_makes_it_panic(text in "\\PC{0,200}") {
            version(&text);
        }
    }
}
