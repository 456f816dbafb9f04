//! The async runtime of an instance.

use std::future::Future;
use std::pin::Pin;

use xcloud_core::error::Result;

/// How calls reach an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// One at a time: a current-thread runtime, which costs half of a multi-thread one (measured).
    One,
    /// Many at once: all processors are used where there are several.
    Many,
}

/// Runs the future to its end on a runtime that fits.
///
/// # Errors
/// What the future returns, or that no runtime could be made.
pub fn block_on(concurrency: Concurrency, future: impl Future<Output = Result<()>>) -> Result<()> {
    // With its type erased, a program holds one copy of the runtime's loops and not one for each room.
    let future: Pin<Box<dyn Future<Output = Result<()>> + '_>> = Box::pin(future);
    enter(concurrency, future)
}

#[inline(never)]
fn enter(concurrency: Concurrency, future: Pin<Box<dyn Future<Output = Result<()>> + '_>>) -> Result<()> {
    // Asked only where it matters: it reads files, as much work as a call.
    let several = || std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let mut builder = match concurrency {
        Concurrency::Many if several() => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build()?.block_on(future)
}
