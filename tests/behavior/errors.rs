//! Bad input and failing handlers: one documented answer each, the same in every room, and the instance lives on.

use http::{Method, StatusCode};
use libtest_mimic::Failed;
use xcloud_serve::host::Host;
use xcloud_tests::rooms::Room;

use crate::kit::{self, behaviours, ensure, get, post_json, request, same, text};

behaviours![
    malformed_json_is_400,
    a_payload_of_another_type_is_400,
    a_missing_body_is_400,
    another_content_type_is_415,
    an_oversized_body_is_413,
    an_unknown_route_is_404,
    a_wrong_method_is_404_or_405,
    an_error_kind_is_its_status,
    a_failure_is_500_and_keeps_its_secret,
    a_panic_is_500_and_the_instance_lives_on,
    a_panic_in_a_mounted_router_is_500,
    past_the_deadline_is_504_and_the_instance_lives_on,
    sending_to_an_unbound_queue_is_503,
    using_an_unbound_table_is_503,
    a_broken_stream_is_noticed_and_the_instance_lives_on,
];

async fn lives_on(host: &dyn Host) -> Result<(), Failed> {
    same!(text(&get(host, "/hello").await?), "hello", "the next request");
    Ok(())
}

/// The answer's status, and that its body is `{"error": …}`.
async fn refused(host: &dyn Host, target: &str, body: &str, status: StatusCode) -> Result<String, Failed> {
    let answer = post_json(host, target, body).await?;
    same!(answer.status(), status, "status of {}", text(&answer));
    let error = kit::json(&answer)?["error"].as_str().unwrap_or("").to_owned();
    ensure!(!error.is_empty(), "no error in {}", text(&answer));
    lives_on(host).await?;
    Ok(error)
}

async fn malformed_json_is_400(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    refused(&*host, "/double", r#"{"n":"#, StatusCode::BAD_REQUEST).await?;
    Ok(())
}

async fn a_payload_of_another_type_is_400(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let error = refused(&*host, "/double", r#"{"n":-1}"#, StatusCode::BAD_REQUEST).await?;
    ensure!(error.contains("-1"), "the answer does not say what was wrong: {error}");
    Ok(())
}

async fn a_missing_body_is_400(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    refused(&*host, "/double", "", StatusCode::BAD_REQUEST).await?;
    Ok(())
}

async fn another_content_type_is_415(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let sent = request(Method::POST, "/double", &[("content-type", "application/xml")], r#"{"n":1}"#);
    same!(host.http(sent).await.map_err(kit::failed)?.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "status");
    Ok(())
}

async fn an_oversized_body_is_413(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let sent =
        request(Method::POST, "/bytes", &[("content-type", "text/plain")], "x".repeat(6 * 1024 * 1024 + 1));
    same!(host.http(sent).await.map_err(kit::failed)?.status(), StatusCode::PAYLOAD_TOO_LARGE, "status");
    lives_on(&*host).await
}

async fn an_unknown_route_is_404(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    same!(get(&*host, "/no/such/thing").await?.status(), StatusCode::NOT_FOUND, "status");
    Ok(())
}

/// The fixture mounts a router, which then answers for the path: 404 there, 405 in an app without one.
async fn a_wrong_method_is_404_or_405(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let status = post_json(&*host, "/hello", "{}").await?.status();
    ensure!(matches!(status.as_u16(), 404 | 405), "status {status}");
    Ok(())
}

async fn an_error_kind_is_its_status(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = get(&*host, "/teapot").await?;
    same!(answer.status(), StatusCode::CONFLICT, "status");
    same!(kit::json(&answer)?["error"], "short and stout", "message");
    Ok(())
}

async fn a_failure_is_500_and_keeps_its_secret(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = get(&*host, "/fail").await?;
    same!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "status");
    ensure!(!text(&answer).contains("secret"), "the answer shows the secret: {}", text(&answer));
    kit::wrote(&*host, "secret detail of the failure").await
}

async fn a_panic_is_500_and_the_instance_lives_on(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    for _ in 0..3 {
        let answer = get(&*host, "/panic").await?;
        same!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "status");
        ensure!(!text(&answer).contains("secret"), "the answer shows the secret: {}", text(&answer));
    }
    kit::wrote(&*host, "secret detail of the panic").await?;
    lives_on(&*host).await
}

async fn a_panic_in_a_mounted_router_is_500(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    same!(get(&*host, "/axum-panic").await?.status(), StatusCode::INTERNAL_SERVER_ERROR, "status");
    lives_on(&*host).await
}

async fn past_the_deadline_is_504_and_the_instance_lives_on(room: Room) -> Result<(), Failed> {
    let mut launch = kit::launch(Some("http"));
    launch.timeout = std::time::Duration::from_secs(1);
    let host = kit::start(room, launch).await?;
    same!(get(&*host, "/slow").await?.status(), StatusCode::GATEWAY_TIMEOUT, "status");
    lives_on(&*host).await
}

async fn sending_to_an_unbound_queue_is_503(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = post_json(&*host, "/send", "{}").await?;
    same!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "status");
    ensure!(
        text(&answer).contains("XCLOUD_QUEUE_NOWHERE"),
        "the answer does not say what to set: {}",
        text(&answer)
    );
    Ok(())
}

async fn using_an_unbound_table_is_503(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    let answer = get(&*host, "/rows/a").await?;
    same!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "status");
    ensure!(
        text(&answer).contains("XCLOUD_TABLE_ROWS"),
        "the answer does not say what to set: {}",
        text(&answer)
    );
    Ok(())
}

/// The body was promised and did not come: the client must not take what came for the whole.
async fn a_broken_stream_is_noticed_and_the_instance_lives_on(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    if let Ok(answer) = host.http(request(Method::GET, "/stream?kind=broken", &[], "")).await {
        ensure!(
            answer.status().is_server_error(),
            "a broken body arrived as {} {:?}",
            answer.status(),
            text(&answer)
        );
    }
    lives_on(&*host).await
}
