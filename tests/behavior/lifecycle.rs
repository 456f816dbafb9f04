//! Start, concurrency, end.

use std::time::Instant;

use libtest_mimic::Failed;
use serde_json::Value;
use xcloud_tests::rooms::Room;

use crate::kit::{self, behaviours, ensure, get, same};

behaviours![
    the_first_call_is_the_cold_one,
    the_shutdown_hook_runs_before_the_end,
    a_failing_init_is_reported_and_ends_the_instance,
    a_panicking_init_is_reported_and_ends_the_instance,
    an_unknown_function_name_is_refused_at_start,
    calls_at_once_do_not_wait_for_each_other,
    the_remaining_time_is_known,
    a_tracing_event_is_a_json_line_of_its_call,
];

async fn the_first_call_is_the_cold_one(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    for expected in [true, false, false] {
        same!(kit::json(&get(&*host, "/echo/x").await?)?["cold_start"], expected, "cold start");
    }
    Ok(())
}

async fn the_shutdown_hook_runs_before_the_end(room: Room) -> Result<(), Failed> {
    let mut launch = kit::launch(Some("http"));
    launch.env.push(("FIXTURE_SHUTDOWN".to_owned(), "1".to_owned()));
    let host = kit::start(room, launch).await?;
    get(&*host, "/hello").await?;
    host.stop().await.map_err(kit::failed)?;
    kit::wrote(&*host, "the shutdown hook ran").await
}

/// Either the platform's start fails, or (where it starts all the same) calls do; both say why.
async fn fails_to_start(room: Room, env: &[(&str, &str)], function: &str, why: &str) -> Result<(), Failed> {
    let mut launch = kit::launch(Some(function));
    launch.env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    match (room.start)(launch).await {
        Err(error) => {
            let text = error.to_string();
            ensure!(text.contains(why), "the error does not say why: {text}");
        }
        Ok(host) => {
            let answer = get(&*host, "/hello").await;
            let answered = answer.is_ok_and(|a| a.status().is_success());
            ensure!(!answered, "an instance whose init failed answers");
            kit::wrote(&*host, why).await?;
        }
    }
    Ok(())
}

async fn a_failing_init_is_reported_and_ends_the_instance(room: Room) -> Result<(), Failed> {
    fails_to_start(room, &[("FIXTURE_INIT", "fail")], "http", "init was asked to fail").await
}

async fn a_panicking_init_is_reported_and_ends_the_instance(room: Room) -> Result<(), Failed> {
    fails_to_start(room, &[("FIXTURE_INIT", "panic")], "http", "init was asked to panic").await
}

async fn an_unknown_function_name_is_refused_at_start(room: Room) -> Result<(), Failed> {
    fails_to_start(room, &[], "no-such-function", "no-such-function").await
}

async fn calls_at_once_do_not_wait_for_each_other(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    get(&*host, "/hello").await?;
    let started = Instant::now();
    let slow = || get(&*host, "/slow?ms=500");
    let (a, b, c, d) = tokio::join!(slow(), slow(), slow(), slow());
    for answer in [a?, b?, c?, d?] {
        same!(kit::text(&answer), "slept", "answer");
    }
    ensure!(started.elapsed().as_millis() < 1500, "four calls of 500 ms took {:?}", started.elapsed());
    Ok(())
}

async fn the_remaining_time_is_known(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let remaining = kit::json(&get(&*host, "/echo/x").await?)?["remaining_ms"].as_u64();
    ensure!(remaining.is_some_and(|ms| (5_000..=10_000).contains(&ms)), "remaining: {remaining:?} of 10 s");
    Ok(())
}

/// The handler gives up its thread between the span's begin and the event: the request id is the call's all the same.
async fn a_tracing_event_is_a_json_line_of_its_call(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let (first, second) = tokio::join!(get(&*host, "/traced?order=o-1"), get(&*host, "/traced?order=o-2"));
    same!((kit::text(&first?), kit::text(&second?)), ("traced".to_owned(), "traced".to_owned()), "answers");
    kit::wrote(&*host, "o-1").await?;
    kit::wrote(&*host, "o-2").await?;
    let output = host.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["message"] == "low on stock").collect();
    same!(lines.len(), 2, "lines");
    let id = |line: &Value| line.get("request_id").or(line.get("requestId")).map(Value::to_string);
    let ids: Vec<_> = lines.iter().filter_map(id).collect();
    ensure!(ids.len() == 2 && ids[0] != ids[1], "each call has its id: {lines:?}");
    let level = |line: &Value| line.get("level").or(line.get("severity")).map(Value::to_string);
    for line in &lines {
        ensure!(line["left"] == 3 && line["handler"] == "traced", "fields: {line}");
        ensure!(level(line).is_some_and(|l| l.starts_with("\"WARN")), "level: {line}");
    }
    Ok(())
}
