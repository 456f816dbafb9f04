//! HTTP as a client sees it through each platform's front.

use http::{Method, StatusCode};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use xcloud_tests::rooms::Room;

use crate::kit::{self, behaviours, ensure, get, post_json, request, same, text};

behaviours![
    a_route_answers,
    json_goes_in_and_out,
    path_parameters_are_decoded,
    method_path_and_body_arrive_as_sent,
    repeated_query_keys_are_kept,
    repeated_request_headers_are_kept,
    two_cookies_are_set_and_repeated_headers_survive,
    binary_bodies_pass_both_ways,
    a_body_that_looks_like_base64_stays_text,
    an_empty_body_stays_empty,
    head_is_get_without_the_body,
    a_mounted_router_answers_the_rest,
    state_is_made_once,
    a_streamed_answer_arrives_whole,
    an_empty_stream_is_an_empty_answer,
    large_bodies_pass,
];

async fn a_route_answers(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = get(&*host, "/hello").await?;
    same!(answer.status(), StatusCode::OK, "status");
    same!(text(&answer), "hello", "body");
    let media = answer.headers().get("content-type").and_then(|v| v.to_str().ok());
    same!(media, Some("text/plain; charset=utf-8"), "content type");
    Ok(())
}

async fn json_goes_in_and_out(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = post_json(&*host, "/double", r#"{"n":21}"#).await?;
    same!(answer.status(), StatusCode::OK, "status");
    same!(kit::json(&answer)?, json!({"doubled": 42}), "body");
    Ok(())
}

async fn path_parameters_are_decoded(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    same!(text(&get(&*host, "/items/caf%C3%A9%20au%20lait").await?), "café au lait", "parameter");
    Ok(())
}

async fn echo(room: Room, request: http::Request<bytes::Bytes>) -> Result<Value, Failed> {
    let host = kit::http(room).await?;
    let answer = host.http(request).await.map_err(kit::failed)?;
    same!(answer.status(), StatusCode::OK, "status of {}", text(&answer));
    kit::json(&answer)
}

async fn method_path_and_body_arrive_as_sent(room: Room) -> Result<(), Failed> {
    let seen = echo(room, request(Method::PATCH, "/echo/a/b%2Fc", &[("x-custom", "v")], "some text")).await?;
    same!(seen["method"], "PATCH", "method");
    same!(seen["path"], "/echo/a/b%2Fc", "path");
    same!(seen["body"], json!(b"some text"), "body");
    same!(seen["platform"], room.name, "platform");
    ensure!(!seen["id"].as_str().unwrap_or("").is_empty(), "no request id: {seen}");
    ensure!(header(&seen, "x-custom") == ["v"], "header: {seen}");
    Ok(())
}

fn header(seen: &Value, name: &str) -> Vec<String> {
    let pairs = seen["headers"].as_array().into_iter().flatten();
    pairs.filter(|p| p[0] == name).filter_map(|p| p[1].as_str().map(str::to_owned)).collect()
}

async fn repeated_query_keys_are_kept(room: Room) -> Result<(), Failed> {
    let seen = echo(room, request(Method::GET, "/echo/q?a=1&b=x%20y&a=2&c", &[], "")).await?;
    same!(seen["query"], json!([["a", "1"], ["b", "x y"], ["a", "2"], ["c", ""]]), "query");
    Ok(())
}

/// Fronts may join repeated headers with commas, which means the same (RFC 9110 §5.3), but not drop one.
async fn repeated_request_headers_are_kept(room: Room) -> Result<(), Failed> {
    let seen = echo(room, request(Method::GET, "/echo/h", &[("x-multi", "p"), ("x-multi", "q")], "")).await?;
    let joined = header(&seen, "x-multi").join(",").replace(' ', "");
    same!(joined, "p,q", "values");
    Ok(())
}

async fn two_cookies_are_set_and_repeated_headers_survive(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = get(&*host, "/cookies").await?;
    let values =
        |name| answer.headers().get_all(name).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>();
    same!(values("set-cookie"), ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"], "cookies");
    same!(values("x-multi").join(",").replace(' ', ""), "p,q", "repeated header");
    Ok(())
}

async fn binary_bodies_pass_both_ways(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let all: Vec<u8> = (0..=255).collect();
    let answer = get(&*host, "/bytes").await?;
    ensure!(answer.body()[..] == all[..], "response: {:?}", answer.body());
    let sent = request(Method::POST, "/bytes", &[("content-type", "application/octet-stream")], all.clone());
    let answer = host.http(sent).await.map_err(kit::failed)?;
    ensure!(answer.body()[..] == all[..], "request: {:?}", answer.body());
    Ok(())
}

async fn a_body_that_looks_like_base64_stays_text(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    for body in ["test", "dGVzdA==", "{}", "null"] {
        let sent = request(Method::POST, "/bytes", &[("content-type", "text/plain")], body);
        same!(text(&host.http(sent).await.map_err(kit::failed)?), body, "echo");
    }
    Ok(())
}

async fn an_empty_body_stays_empty(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = host.http(request(Method::POST, "/bytes", &[], "")).await.map_err(kit::failed)?;
    same!(answer.status(), StatusCode::OK, "status");
    same!(answer.body().len(), 0, "length");
    Ok(())
}

async fn head_is_get_without_the_body(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = host.http(request(Method::HEAD, "/hello", &[], "")).await.map_err(kit::failed)?;
    same!(answer.status(), StatusCode::OK, "status");
    same!(text(&answer), "", "body");
    Ok(())
}

async fn a_mounted_router_answers_the_rest(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    same!(text(&get(&*host, "/axum/hi").await?), "axum says hi", "body");
    same!(get(&*host, "/nowhere").await?.status(), StatusCode::NOT_FOUND, "unknown route");
    Ok(())
}

async fn state_is_made_once(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    for expected in ["1", "2", "3"] {
        same!(text(&get(&*host, "/count").await?), expected, "count");
    }
    Ok(())
}

async fn a_streamed_answer_arrives_whole(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    same!(text(&get(&*host, "/stream").await?), "piece 2\npiece 1\npiece 0\n", "body");
    Ok(())
}

async fn an_empty_stream_is_an_empty_answer(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = get(&*host, "/stream?kind=empty").await?;
    same!(answer.status(), StatusCode::OK, "status");
    same!(text(&answer), "", "body");
    same!(text(&get(&*host, "/hello").await?), "hello", "the next request");
    Ok(())
}

async fn large_bodies_pass(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let body = "x".repeat(1_000_000);
    let sent = request(Method::POST, "/bytes", &[("content-type", "text/plain")], body.clone());
    let answer = host.http(sent).await.map_err(kit::failed)?;
    ensure!(text(&answer) == body, "{} bytes came back: {}", answer.body().len(), answer.status());
    Ok(())
}
