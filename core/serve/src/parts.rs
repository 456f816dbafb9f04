//! What a room that listens on a port knows of a call, where the platform does not tell.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::AsHeaderName;
use xcloud_core::env;

/// An id for a request that came without one: unique in this process, and very likely beyond it.
pub fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // A system call otherwise.
    static PROCESS: LazyLock<u64> = LazyLock::new(|| std::process::id().into());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = NEXT.fetch_add(1, Ordering::Relaxed) & 0xffff;
    // By hand: `format!` is a tenth of what serving a small request costs.
    let mut id = String::with_capacity(32);
    hex(u64::try_from(now.as_micros()).unwrap_or_default(), 1, &mut id);
    id.push('-');
    hex(*PROCESS, 1, &mut id);
    id.push('-');
    hex(count, 4, &mut id);
    id
}

fn hex(value: u64, least: u32, out: &mut String) {
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(4).max(least);
    for at in (0..digits).rev() {
        out.extend(char::from_digit((value >> (4 * at) & 15) as u32, 16));
    }
}

/// The longest call, from `XCLOUD_TIMEOUT`: where a platform sends no deadline, its deployer sets this.
pub fn timeout() -> Option<Duration> {
    let seconds: f64 = env::var(env::TIMEOUT)?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero())
}

/// The deadline of a call that begins now.
pub fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
}

/// A header's value, if it is text.
pub fn header(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_what_format_writes() {
        for value in [0, 1, 15, 16, 0xabc, 0xffff, u64::MAX] {
            let mut out = String::new();
            hex(value, 4, &mut out);
            assert_eq!(out, format!("{value:04x}"));
        }
    }
}
