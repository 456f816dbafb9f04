//! What a room that listens on a port knows of a call, where the platform does not tell.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use xcloud_core::env;

/// An id for a request that came without one: unique in this process, and very likely beyond it.
pub fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = NEXT.fetch_add(1, Ordering::Relaxed) & 0xffff;
    format!("{:x}-{:x}-{count:04x}", now.as_micros(), std::process::id())
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
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
