//! A report of what was sold, made every working day.

use serde::{Deserialize, Serialize};
use std::time::UNIX_EPOCH;
use xcloud::{App, Context, Error, Http, Json, Result, Table, Tick, handler, http::StatusCode};

/// Sales in one question to the table.
const PAGE: usize = 500;

/// One sale.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sale {
    cents: u64,
}

/// What was sold up to a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Report {
    sales: u64,
    cents: u64,
    /// Seconds after the due time at which it was made.
    late: u64,
}

/// Notes a sale.
#[handler(http = "PUT /sales/{id}", tables = "sales")]
async fn sell(sale: Http<Sale>, sales: Table<Sale>) -> Result<StatusCode> {
    let id: String = sale.param("id")?;
    sales.put(&id, &sale.into_body()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The report of a due time, in seconds since 1970; `latest` is the last one.
#[handler(http = "GET /reports/{due}", tables = "reports")]
async fn read(request: Http, reports: Table<Report>) -> Result<Json<Report>> {
    let due: String = request.param("due")?;
    Ok(Json(reports.get(&due).await?.ok_or_else(|| Error::not_found(format!("there is no report {due}")))?))
}

/// Makes the report. It is named after the time that was due and not after the time at which it runs: a tick that comes
/// again makes the same report again.
#[handler(schedule = "0 7 * * MON-FRI", tables = ["sales", "reports"])]
async fn morning(tick: Tick, sales: Table<Sale>, reports: Table<Report>, cx: Context) -> Result<()> {
    let mut report = Report { late: tick.lateness().as_secs(), ..Report::default() };
    let mut after = String::new();
    loop {
        let rows = sales.scan_after("", &after, PAGE).await?;
        report.sales += rows.len() as u64;
        report.cents = rows.iter().fold(report.cents, |sum, row| sum.saturating_add(row.value.cents));
        match rows.last() {
            Some(last) if rows.len() == PAGE => after.clone_from(&last.key),
            _ => break,
        }
    }
    let due = tick.scheduled.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    reports.put(&due.to_string(), &report).await?;
    reports.put("latest", &report).await?;
    cx.log().field("sales", report.sales).field("cents", report.cents).info("report made");
    Ok(())
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![sell, read, morning]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_report_counts_every_sale_and_comes_out_the_same_twice() {
        let (sales, reports): (Table<Sale>, Table<Report>) = (Table::for_test(), Table::for_test());
        for n in 0..1200 {
            sales.put(&format!("s-{n:04}"), &Sale { cents: 100 }).await.unwrap();
        }
        let due = UNIX_EPOCH + Duration::from_secs(1_795_464_000);
        for _ in 0..2 {
            morning(Tick::at(due), sales.clone(), reports.clone(), Context::for_test()).await.unwrap();
        }
        let report = reports.get("1795464000").await.unwrap().unwrap();
        assert_eq!((report.sales, report.cents), (1200, 120_000));
    }
}
