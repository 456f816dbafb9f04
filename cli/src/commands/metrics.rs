//! `xcloud metrics`

use serde_json::json;
use xcloud_core::Result;
use xcloud_deploy::MetricsQuery;
use xcloud_deploy::metrics::{Distribution, FunctionMetrics, Invocation};

use super::Project;
use crate::args::{self, Args};
use crate::printer::{Done, Printer};

/// What was measured of calls.
pub(super) async fn run(
    project: &Project,
    args: &Args,
    options: &args::Metrics,
    printer: &Printer,
) -> Result<Done> {
    let query = MetricsQuery { function: options.function.clone(), invocations: options.invocations };
    let metrics = project.operated(args).await?.provider.metrics(&project.stage, &query).await?;
    let calls: u64 = metrics.functions.iter().map(|f| f.calls).sum();
    let mut text: String = metrics.functions.iter().map(function).collect();
    if !metrics.invocations.is_empty() {
        text += "\nthe newest calls\n";
        text.extend(metrics.invocations.iter().map(invocation));
    }
    if let Some(url) = &metrics.prometheus_url {
        printer.note(&format!("Prometheus reads them at {url}"));
    }
    Ok(Done::new(format!("{calls} calls"), json!(metrics), text))
}

fn function(f: &FunctionMetrics) -> String {
    let bad = f.outcomes.iter().filter(|(word, n)| *word != "ok" && **n > 0);
    let bad: Vec<_> = bad.map(|(word, n)| format!("{n} {word}")).collect();
    let errors = if bad.is_empty() { "no errors".to_owned() } else { bad.join(", ") };
    let version = if f.version.is_empty() { String::new() } else { format!(" {}", f.version) };
    let current = if f.current { "" } else { " (not current)" };
    let counted = |n: Option<u64>, what: &str| n.map(|n| format!(", {n} {what}")).unwrap_or_default();
    let mut text = format!(
        "{}{version}{current}\n  calls     {} ({errors}){}{}\n",
        f.function,
        f.calls,
        counted(f.cold_starts, "cold"),
        counted(f.instance_starts, "instance starts"),
    );
    text += &distribution("duration ", f.duration_ms.as_ref());
    text += &distribution("queueing ", f.queued_ms.as_ref());
    if let Some(total) = f.cpu_ms_total {
        let mean = f.cpu_ms_mean.map(|ms| format!(", {ms:.3} ms a call")).unwrap_or_default();
        text += &format!("  processor {total:.0} ms in all{mean}\n");
    }
    if let Some(bytes) = f.peak_memory_bytes {
        let killed = counted(f.memory_kills, "killed for it");
        text += &format!("  memory    {:.1} MB at most{killed}\n", megabytes(bytes));
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn distribution(name: &str, times: Option<&Distribution>) -> String {
    times.map_or_else(String::new, |t| {
        format!(
            "  {name} mean {:.3}, p50 {:.3}, p95 {:.3}, p99 {:.3}, max {:.3} ms\n",
            t.mean, t.p50, t.p95, t.p99, t.max
        )
    })
}

fn invocation(call: &Invocation) -> String {
    let cpu = call.cpu_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
    let cold = if call.cold_start { " cold" } else { "" };
    format!(
        "{} {} {} {} {}{cold}, {:.2} ms, queued {:.2} ms, processor {cpu} ms\n",
        call.time,
        call.request_id,
        call.function,
        call.version,
        call.outcome,
        call.duration_ms,
        call.queued_ms
    )
}
