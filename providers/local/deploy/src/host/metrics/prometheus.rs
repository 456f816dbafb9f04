//! The numbers of every app as Prometheus reads them: text format 0.0.4, on a loopback port of the host's own.
//!
//! The format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use tokio::net::TcpListener;
use xcloud_core::{Body, Response};

use super::Snapshot;
use crate::host::state::Host;

/// Above the ports of apps. The first free one, so that it stays the same as long as there is one host.
const PORTS: std::ops::RangeInclusive<u16> = 9700..=9799;
const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Upper bounds of the histograms' buckets in microseconds.
const BUCKETS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// A port to serve on; `None` when all are taken.
pub(crate) async fn listen() -> Option<(TcpListener, String)> {
    for port in PORTS {
        if let Ok(listener) = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
            return Some((listener, format!("http://127.0.0.1:{port}/metrics")));
        }
    }
    None
}

/// Answers `GET /metrics`.
pub(crate) async fn answer(host: Arc<Host>, request: Request<Bytes>) -> Response {
    let mut response = Response::default();
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if *request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    } else {
        let apps = host.apps();
        let series = apps.iter().flat_map(|app| {
            let meters = app.place().meters.all().into_iter();
            meters.map(|meter| (app.place().key.clone(), meter.snapshot())).collect::<Vec<_>>()
        });
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
        *response.body_mut() = Body::from(text(&series.collect::<Vec<_>>()));
    }
    response
}

/// A series' name, what it is, and its value.
type Counter = (&'static str, &'static str, fn(&Snapshot) -> u64);

/// All series, grouped by name as the format asks for.
fn text(series: &[(String, Snapshot)]) -> String {
    let mut out = String::new();
    family(&mut out, "xcloud_calls_total", "counter", "Calls by how they ended.");
    for (app, s) in series {
        for (outcome, n) in &s.outcomes {
            let labels = format!("{},outcome=\"{}\"", labels(app, s), outcome.name());
            line(&mut out, "xcloud_calls_total", &labels, *n);
        }
    }
    let counters: [Counter; 3] = [
        ("xcloud_cold_starts_total", "Calls that were the first of their instance.", |s| s.cold),
        ("xcloud_instance_starts_total", "Instances that were started.", |s| s.starts),
        ("xcloud_memory_kills_total", "Instances ended because of their memory.", |s| s.memory_kills),
    ];
    for (name, help, value) in counters {
        family(&mut out, name, "counter", help);
        series.iter().for_each(|(app, s)| line(&mut out, name, &labels(app, s), value(s)));
    }
    family(&mut out, "xcloud_cpu_seconds_total", "counter", "Processor time of all instances.");
    for (app, s) in series {
        line(&mut out, "xcloud_cpu_seconds_total", &labels(app, s), s.cpu.as_secs_f64());
    }
    family(&mut out, "xcloud_peak_memory_bytes", "gauge", "The most memory that an instance has used.");
    for (app, s) in series {
        line(&mut out, "xcloud_peak_memory_bytes", &labels(app, s), s.peak_memory);
    }
    histogram(&mut out, "xcloud_call_seconds", "From the instance to the last byte.", series, |s| {
        &s.durations
    });
    histogram(&mut out, "xcloud_queue_seconds", "Waiting for a place.", series, |s| &s.queued);
    out
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    // A String takes everything.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name}{{{labels}}} {value}");
}

/// Names of apps and functions hold nothing that needs an escape.
fn labels(app: &str, s: &Snapshot) -> String {
    format!("app=\"{app}\",function=\"{}\",version=\"v{}\"", s.function, s.version)
}

fn histogram(
    out: &mut String,
    name: &str,
    help: &str,
    series: &[(String, Snapshot)],
    of: fn(&Snapshot) -> &hdrhistogram::Histogram<u64>,
) {
    family(out, name, "histogram", help);
    for (app, s) in series {
        let (labels, all) = (labels(app, s), of(s));
        for bound in BUCKETS {
            let le = std::time::Duration::from_micros(bound).as_secs_f64();
            let count = all.count_between(0, bound);
            line(out, &format!("{name}_bucket"), &format!("{labels},le=\"{le}\""), count);
        }
        line(out, &format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), all.len());
        #[expect(clippy::cast_precision_loss, reason = "a sum for people, of fewer than 2^52 calls")]
        let sum = all.mean() * all.len() as f64 / 1_000_000.0;
        line(out, &format!("{name}_sum"), &labels, sum);
        line(out, &format!("{name}_count"), &labels, all.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::metrics::{Call, Meter, Outcome};
    use std::time::{Duration, Instant};

    #[test]
    fn buckets_grow_and_every_line_is_a_sample() {
        let meter = Meter::new(("http".to_owned(), 2));
        for n in 0..20 {
            let begun = Instant::now().checked_sub(Duration::from_millis(n * 10)).unwrap();
            let (id, queued) = (String::new(), Duration::from_micros(10));
            meter.record(Call { id, outcome: Outcome::Ok, begun, queued, cold: n == 0, instance: 1 });
        }
        let text = text(&[("shop.dev".to_owned(), meter.snapshot())]);
        let sample =
            "xcloud_calls_total{app=\"shop.dev\",function=\"http\",version=\"v2\",outcome=\"ok\"} 20";
        assert!(text.contains(sample), "{text}");
        let buckets: Vec<u64> = text
            .lines()
            .filter(|l| l.starts_with("xcloud_call_seconds_bucket"))
            .map(|l| l.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!((buckets.len(), buckets[14]), (15, 20));
        assert!(buckets.windows(2).all(|pair| pair[0] <= pair[1]), "{buckets:?}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok() && name.ends_with('}'), "{line}");
        }
    }
}
