//! What CloudWatch has counted of calls
//! (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use xcloud_core::Result;
use xcloud_deploy::metrics::{Distribution, FunctionMetrics};
use xcloud_deploy::{Metrics, MetricsQuery, Stage};

use super::live::{live, one};
use crate::Aws;
use crate::client::Session;
use crate::error::failed;

/// A day: percentiles of several periods cannot be put together, so that one holds all of them.
const DAY: u64 = 86_400;

/// Name in the answer, CloudWatch's metric, its statistic.
const ASKED: &[(&str, &str, &str)] = &[
    ("calls", "Invocations", "Sum"),
    ("errors", "Errors", "Sum"),
    ("throttles", "Throttles", "Sum"),
    ("mean", "Duration", "Average"),
    ("p50", "Duration", "p50"),
    ("p95", "Duration", "p95"),
    ("p99", "Duration", "p99"),
    ("max", "Duration", "Maximum"),
];

/// By function, since midnight UTC. Lambda tells neither versions' nor single calls' numbers apart here.
pub(crate) async fn metrics(aws: &Aws, stage: &Stage, query: &MetricsQuery) -> Result<Metrics> {
    let (session, names) = aws.session(stage).await?;
    let functions = match &query.function {
        Some(name) => vec![one(session, &names, name).await?],
        None => live(session, &names).await?,
    };
    let mut all = Metrics::default();
    for function in functions {
        let numbers = numbers(session, &function.resource).await?;
        all.functions.push(told(function.name, &numbers));
    }
    Ok(all)
}

async fn numbers(session: &Session, function: &str) -> Result<BTreeMap<String, f64>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let midnight = now - Duration::from_secs(now.as_secs() % DAY);
    let at = |time: Duration| DateTime::from_secs(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let queries = ASKED.iter().map(|(name, metric, statistic)| {
        let dimension = Dimension::builder().name("FunctionName").value(function).build();
        let metric =
            Metric::builder().namespace("AWS/Lambda").metric_name(*metric).dimensions(dimension).build();
        let stat = MetricStat::builder().metric(metric).period(86_400).stat(*statistic).build();
        MetricDataQuery::builder().id(*name).metric_stat(stat).build()
    });
    let asked = session.read.cloudwatch().get_metric_data();
    let asked = asked.set_metric_data_queries(Some(queries.collect()));
    let asked = asked.start_time(at(midnight));
    let asked = asked.end_time(at(now + Duration::from_secs(60))).send().await;
    let asked = asked.map_err(failed("cloudwatch:GetMetricData", function))?;
    let results = asked.metric_data_results.unwrap_or_default();
    let one = |r: aws_sdk_cloudwatch::types::MetricDataResult| Some((r.id?, *r.values?.first()?));
    Ok(results.into_iter().filter_map(one).collect())
}

fn told(function: String, numbers: &BTreeMap<String, f64>) -> FunctionMetrics {
    let number = |name: &str| numbers.get(name).copied();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let count = |name: &str| number(name).unwrap_or(0.0).max(0.0) as u64;
    let (calls, errors, throttles) = (count("calls"), count("errors"), count("throttles"));
    let outcomes = [("ok", calls.saturating_sub(errors)), ("error", errors), ("refused", throttles)];
    let duration = || {
        Some(Distribution {
            mean: number("mean")?,
            p50: number("p50")?,
            p95: number("p95")?,
            p99: number("p99")?,
            max: number("max")?,
        })
    };
    FunctionMetrics {
        provider: "aws".to_owned(),
        function,
        version: String::new(),
        current: true,
        calls,
        errors: errors + throttles,
        outcomes: outcomes.into_iter().map(|(word, n)| (word.to_owned(), n)).collect(),
        cold_starts: None,
        instance_starts: None,
        memory_kills: None,
        duration_ms: duration(),
        queued_ms: None,
        cpu_ms_total: None,
        cpu_ms_mean: None,
        peak_memory_bytes: None,
    }
}
