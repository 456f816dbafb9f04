//! The app that the local host's tests deploy: handlers that behave, and handlers that do to their process what a host
//! must survive.

#![expect(clippy::exit, reason = "an instance that ends by itself is one of the things that are tried")]

use std::io::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xcloud::{App, BatchOutcome, Context, Http, Json, Queue, Result, Sender, handler};

/// A job of the queue.
#[derive(Serialize, Deserialize)]
struct Job {
    id: String,
    #[serde(default)]
    action: String,
}

/// Which version and which process this is, and what its environment says.
#[handler(http = "GET /who")]
async fn who(_request: Http) -> Json<Value> {
    let var = |name: &str| std::env::var(name).ok();
    Json(json!({ "version": var("XCLOUD_VERSION"), "color": var("COLOR"), "pid": std::process::id() }))
}

#[handler(http = "GET /wait")]
async fn wait(request: Http) -> Result<String> {
    tokio::time::sleep(Duration::from_millis(request.query().parse("ms")?.unwrap_or(10))).await;
    Ok(std::process::id().to_string())
}

/// Burns processor time.
#[handler(http = "GET /burn")]
async fn burn(request: Http) -> Result<&'static str> {
    let end = std::time::Instant::now() + Duration::from_millis(request.query().parse("ms")?.unwrap_or(10));
    while std::time::Instant::now() < end {
        std::hint::spin_loop();
    }
    Ok("burnt")
}

/// Never gives up its thread.
#[handler(http = "GET /hang")]
async fn hang(_request: Http) -> &'static str {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[handler(http = "GET /exit")]
async fn exit(_request: Http) -> &'static str {
    std::process::exit(7)
}

/// Takes memory and keeps it.
#[handler(http = "GET /leak")]
async fn leak(request: Http) -> Result<&'static str> {
    let mb: usize = request.query().parse("mb")?.unwrap_or(64);
    let bytes = vec![1_u8; mb * 1024 * 1024];
    std::hint::black_box(&bytes);
    std::mem::forget(bytes);
    tokio::time::sleep(Duration::from_millis(request.query().parse("ms")?.unwrap_or(0))).await;
    Ok("leaked")
}

/// Everything but text on standard output: what is no UTF-8, no line, and a line without an end.
#[handler(http = "GET /binary")]
async fn binary(_request: Http) -> Result<&'static str> {
    let mut out = std::io::stdout().lock();
    let all: Vec<u8> = (0..=255).collect();
    for _ in 0..1000 {
        out.write_all(&all)?;
    }
    out.flush()?;
    Ok("written")
}

#[handler(http = "POST /jobs", sends = "jobs")]
async fn submit(job: Http<Job>, jobs: Sender<Job>) -> Result<String> {
    jobs.send(&*job).await
}

#[handler(queue = "jobs", batch = 1)]
async fn run_job(jobs: Queue<Job>, cx: Context) -> Result<BatchOutcome> {
    for job in &jobs {
        match job.action.as_str() {
            "exit" => std::process::exit(8),
            "wait" => tokio::time::sleep(Duration::from_millis(300)).await,
            _ => {}
        }
        let version = std::env::var("XCLOUD_VERSION").unwrap_or_default();
        cx.log().field("job", job.id.as_str()).field("by", version).info("job done");
    }
    Ok(BatchOutcome::new())
}

async fn open() -> Result<()> {
    match std::env::var("TENANT_INIT").as_deref() {
        Ok("fail") => Err(xcloud::Error::unavailable("init was asked to fail")),
        _ => Ok(()),
    }
}

fn main() -> Result<()> {
    let functions = xcloud::functions![who, wait, burn, hang, exit, leak, binary, submit, run_job];
    xcloud::run(App::init(open).functions(functions))
}
