//! CORS: answered in process, the same in every room.

use http::{Method, Response};
use libtest_mimic::Failed;
use xcloud_serve::host::Host;
use xcloud_tests::rooms::Room;

use crate::kit::{self, behaviours, ensure, failed, same};

behaviours![
    a_preflight_is_answered_without_the_app,
    an_answer_is_marked_for_who_may_read_it,
    an_error_is_marked_too,
    without_cors_nothing_is_added,
    a_broken_setting_is_refused_at_start,
];

const ORIGIN: &str = "https://app.example";
const SETTING: &str = "origins=https://app.example;methods=GET,PUT;headers=content-type;expose=x-total;credentials=true;max_age=60";

async fn start(room: Room, setting: Option<&str>) -> Result<Box<dyn Host>, Failed> {
    let mut launch = kit::launch(Some("http"));
    launch.env.extend(setting.map(|setting| ("XCLOUD_CORS".to_owned(), setting.to_owned())));
    kit::start(room, launch).await
}

fn header<'a>(answer: &'a Response<bytes::Bytes>, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

async fn preflight(host: &dyn Host, origin: &str) -> Result<Response<bytes::Bytes>, Failed> {
    let headers = [("origin", origin), ("access-control-request-method", "PUT")];
    host.http(kit::request(Method::OPTIONS, "/hello", &headers, "")).await.map_err(failed)
}

async fn get(host: &dyn Host, target: &str, origin: &str) -> Result<Response<bytes::Bytes>, Failed> {
    host.http(kit::request(Method::GET, target, &[("origin", origin)], "")).await.map_err(failed)
}

async fn a_preflight_is_answered_without_the_app(room: Room) -> Result<(), Failed> {
    let host = start(room, Some(SETTING)).await?;
    let answer = preflight(&*host, ORIGIN).await?;
    same!(answer.status().as_u16(), 204, "status");
    for (name, value) in [
        ("access-control-allow-origin", ORIGIN),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "60"),
        ("vary", "origin"),
    ] {
        same!(header(&answer, name), Some(value), "{name}");
    }
    let refused = preflight(&*host, "https://evil.example").await?;
    same!(refused.status().as_u16(), 403, "another origin's status");
    same!(header(&refused, "access-control-allow-origin"), None, "another origin");
    Ok(())
}

async fn an_answer_is_marked_for_who_may_read_it(room: Room) -> Result<(), Failed> {
    let host = start(room, Some(SETTING)).await?;
    let answer = get(&*host, "/hello", ORIGIN).await?;
    same!(answer.status().as_u16(), 200, "status");
    same!(header(&answer, "access-control-allow-origin"), Some(ORIGIN), "origin");
    same!(header(&answer, "access-control-expose-headers"), Some("x-total"), "exposed");
    // It is about reading: the request of another origin is answered, without leave to read.
    let other = get(&*host, "/hello", "https://evil.example").await?;
    same!(other.status().as_u16(), 200, "another origin's status");
    same!(header(&other, "access-control-allow-origin"), None, "another origin");
    same!(header(&other, "vary"), Some("origin"), "a cache must know");
    Ok(())
}

async fn an_error_is_marked_too(room: Room) -> Result<(), Failed> {
    let host = start(room, Some(SETTING)).await?;
    let answer = get(&*host, "/no/such/route", ORIGIN).await?;
    same!(answer.status().as_u16(), 404, "status");
    same!(header(&answer, "access-control-allow-origin"), Some(ORIGIN), "origin");
    Ok(())
}

async fn without_cors_nothing_is_added(room: Room) -> Result<(), Failed> {
    let host = start(room, None).await?;
    let answer = preflight(&*host, ORIGIN).await?;
    same!(answer.status().as_u16(), 404, "a preflight is a request like any other, here for the router");
    let answer = get(&*host, "/hello", ORIGIN).await?;
    let added = answer.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
    ensure!(!added, "headers were added: {:?}", answer.headers());
    Ok(())
}

async fn a_broken_setting_is_refused_at_start(room: Room) -> Result<(), Failed> {
    match start(room, Some("origins=;max_age=60")).await {
        Err(error) => {
            let text = format!("{error:?}");
            ensure!(text.contains("XCLOUD_CORS"), "the error does not name the setting: {text}");
        }
        Ok(host) => {
            let answered = kit::get(&*host, "/hello").await.is_ok_and(|a| a.status().is_success());
            ensure!(!answered, "an instance with a broken setting answers");
            kit::wrote(&*host, "XCLOUD_CORS").await?;
        }
    }
    Ok(())
}
