//! How many messages a second a queue acknowledges: `sends <app>/<queue>@<socket>`, the value of `XCLOUD_QUEUE_<NAME>`
//! without its scheme. CONTRIBUTING.md says when to run it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use xcloud_core::queue::QueueTransport;
use xcloud_core::{Error, Result};

/// How long each level lasts.
const SECONDS: u64 = 3;
const BODY: usize = 512;

fn main() -> Result<()> {
    let binding =
        std::env::args().nth(1).ok_or_else(|| Error::handler("usage: sends <app>/<queue>@<socket>"))?;
    let queue = xcloud_local::sender::open_queue(&binding)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for senders in [1, 16, 128] {
        let (acknowledged, mut times) = runtime.block_on(level(&queue, senders))?;
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let rate = acknowledged / SECONDS;
        let line =
            format!("{senders} senders: {rate} messages/s, median {:.2} ms\n", median.as_secs_f64() * 1e3);
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    }
    Ok(())
}

async fn level(queue: &Arc<dyn QueueTransport>, senders: usize) -> Result<(u64, Vec<Duration>)> {
    let (acknowledged, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(SECONDS));
    let sender = |_| {
        let (queue, acknowledged) = (Arc::clone(queue), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let mut times = Vec::new();
            let body = Bytes::from(format!("\"{}\"", "x".repeat(BODY - 2)));
            while Instant::now() < end {
                let started = Instant::now();
                queue.send(vec![body.clone()].into()).await?;
                times.push(started.elapsed());
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Error>(times)
        })
    };
    let mut times = Vec::new();
    for running in (0..senders).map(sender).collect::<Vec<_>>() {
        times.extend(running.await.map_err(|e| Error::handler(e.to_string()))??);
    }
    Ok((acknowledged.load(Ordering::Relaxed), times))
}
