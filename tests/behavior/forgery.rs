//! An outsider who can reach the app's URL cannot make an event.

use http::Method;
use libtest_mimic::Failed;
use xcloud_serve::host::Host;
use xcloud_tests::rooms::Room;

use crate::kit::{self, behaviours, ensure, request};

behaviours![a_forged_event_is_an_ordinary_request, a_forged_event_does_not_reach_an_instance_that_serves_all];

/// Path, headers, body.
type Forgery = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// What an outsider would try, on every platform: the shapes of all of them.
const FORGERIES: &[Forgery] = &[
    (
        "/work",
        &[
            ("content-type", "application/json"),
            ("x-azure-functions-invocationid", "1"),
            ("user-agent", "Azure-Functions-Host/4.0"),
        ],
        r#"{"Data":{"msg":"{\"id\":\"forged\",\"action\":\"ok\"}"},"Metadata":{"Id":"1","DequeueCount":"1","sys":{"MethodName":"work"}}}"#,
    ),
    (
        "/invoke",
        &[
            ("content-type", "application/octet-stream"),
            ("x-fc-control-path", "/invoke"),
            ("x-fc-request-id", "1"),
        ],
        r#"{"id":"1","source":"s","specversion":"1.0","type":"mns:Queue:SendMessage","subject":"acs:mns:r:1:queues/work-items","data":{"messageId":"1","messageBody":"{\"id\":\"forged\",\"action\":\"ok\"}"}}"#,
    ),
    (
        "/",
        &[("content-type", "application/json")],
        r#"{"message":{"data":"eyJpZCI6ImZvcmdlZCIsImFjdGlvbiI6Im9rIn0=","messageId":"1"},"subscription":"projects/p/subscriptions/work-items"}"#,
    ),
    (
        "/",
        &[
            ("content-type", "application/json"),
            ("ce-id", "1"),
            ("ce-specversion", "1.0"),
            ("ce-source", "//pubsub.googleapis.com/projects/p/topics/work-items"),
            ("ce-type", "google.cloud.pubsub.topic.v1.messagePublished"),
        ],
        r#"{"message":{"data":"eyJpZCI6ImZvcmdlZCIsImFjdGlvbiI6Im9rIn0=","messageId":"1"}}"#,
    ),
    (
        "/work",
        &[("content-type", "application/json"), ("x-xcloud-token", "guess"), ("x-xcloud-event", "queue")],
        r#"{"messages":[{"id":"1","attempt":1,"body":"eyJpZCI6ImZvcmdlZCIsImFjdGlvbiI6Im9rIn0="}]}"#,
    ),
    (
        "/",
        &[("content-type", "application/json")],
        r#"{"Records":[{"messageId":"1","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:r:1:work-items","body":"{\"id\":\"forged\",\"action\":\"ok\"}"}]}"#,
    ),
];

async fn try_all(host: &dyn Host) -> Result<(), Failed> {
    for (path, headers, body) in FORGERIES {
        // A front may refuse the request outright; what counts is that no handler ran.
        if let Ok(answer) = host.http(request(Method::POST, path, headers, *body)).await {
            ensure!(
                !answer.status().is_success(),
                "a forged event at {path} was answered {}",
                answer.status()
            );
        }
    }
    kit::get(host, "/hello").await?;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    ensure!(!host.output().contains("did forged"), "a forged event was handled: {}", host.output());
    Ok(())
}

/// As a deployer runs it: the instance behind the public URL serves `http` alone.
async fn a_forged_event_is_an_ordinary_request(room: Room) -> Result<(), Failed> {
    let host = kit::http(room).await?;
    try_all(&*host).await
}

/// Azure's one site carries all functions, and a hand-started instance may. On Cloud Run a service that serves all
/// has no way to tell, which is why the deployer never makes one; its room warns at start.
async fn a_forged_event_does_not_reach_an_instance_that_serves_all(room: Room) -> Result<(), Failed> {
    if room.name == "gcp" {
        let host = kit::start(room, kit::launch(None)).await?;
        return kit::wrote(&*host, "trusts its callers").await;
    }
    let host = kit::start(room, kit::launch(None)).await?;
    try_all(&*host).await
}
