//! Google's functions-framework as an oracle: the same request to it and to our decoder, the events compared.

use std::process::{Command, Stdio};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use xcloud_core::cloudevents;
use xcloud_serve::host::free_port;
use xcloud_tests::tools;

use crate::{Running, listens, post};

const FUNCTION: &str = "import functions_framework, json, os
@functions_framework.cloud_event
def seen(e):
    fields = {k: e.get(k) for k in ('id', 'source', 'type', 'subject')}
    fields['data'] = e.data if isinstance(e.data, (dict, list, str, int, type(None))) else e.data.decode()
    open(os.environ['SEEN'], 'w').write(json.dumps(fields))
";

type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CASES: &[Case] = &[
    (
        "binary",
        &[
            ("ce-id", "1"),
            ("ce-source", "//storage.googleapis.com/projects/_/buckets/b"),
            ("ce-specversion", "1.0"),
            ("ce-type", "google.cloud.storage.object.v1.finalized"),
            ("ce-subject", "objects/folder/Test.cs"),
            ("content-type", "application/json"),
        ],
        r#"{"bucket":"b","name":"folder/Test.cs"}"#,
    ),
    (
        "structured",
        &[("content-type", "application/cloudevents+json")],
        r#"{"specversion":"1.0","id":"2","source":"//s","type":"t","subject":"x y","data":{"a":[1,"é"]}}"#,
    ),
    (
        "structured with a charset",
        &[("content-type", "application/cloudevents+json; charset=utf-8")],
        r#"{"specversion":"1.0","id":"3","source":"//s","type":"t","datacontenttype":"application/json","data":{"n":7}}"#,
    ),
];

fn ours(headers: &[(&str, &str)], body: &str) -> Result<Value, String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).map_err(|e| e.to_string())?;
        map.insert(name, HeaderValue::try_from(*value).map_err(|e| e.to_string())?);
    }
    let mode = cloudevents::mode(&map).ok_or("not recognised as a CloudEvent")?;
    let events =
        cloudevents::from_request(mode, &map, Bytes::from(body.to_owned())).map_err(|e| e.to_string())?;
    let event = events.first().ok_or("no event")?;
    let data: Value = serde_json::from_slice(&event.data).map_err(|e| e.to_string())?;
    Ok(
        json!({ "id": event.id, "source": event.source, "type": event.ty, "subject": event.subject, "data": data }),
    )
}

pub(crate) fn cloud_events_mean_the_same() -> Result<(), String> {
    let programs = match tools::python("functions-framework", "3.10.2") {
        Ok(programs) => programs,
        Err(why) => return tools::skip(&why),
    };
    let folder = std::env::temp_dir().join(format!("xcloud-oracle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    std::fs::write(folder.join("main.py"), FUNCTION).map_err(|e| e.to_string())?;
    let seen = folder.join("seen.json");
    let port = free_port().map_err(|e| e.to_string())?;
    let mut command = Command::new(programs.join("functions-framework"));
    command.current_dir(&folder).env("SEEN", &seen).stdout(Stdio::null()).stderr(Stdio::null());
    command.args([
        "--target",
        "seen",
        "--signature-type",
        "cloudevent",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    let _running = Running(command.spawn().map_err(|e| e.to_string())?);
    listens(port)?;
    for (name, headers, body) in CASES {
        drop(std::fs::remove_file(&seen));
        let (status, answer) = post(port, "/", headers, body.as_bytes()).map_err(|e| e.to_string())?;
        let theirs = std::fs::read(&seen)
            .map_err(|e| format!("{name}: the oracle answered {status} {answer}: {e}"))?;
        let theirs: Value = serde_json::from_slice(&theirs).map_err(|e| e.to_string())?;
        let ours = ours(headers, body).map_err(|e| format!("{name}: {e}"))?;
        if ours != theirs {
            return Err(format!("{name}: the oracle saw {theirs}, we saw {ours}"));
        }
    }
    drop(std::fs::remove_dir_all(&folder));
    // What both must refuse.
    let broken = r#"{"specversion":"1.0","id":"4"}"#;
    let headers = [("content-type", "application/cloudevents+json")];
    let (status, _) = post(port, "/", &headers, broken.as_bytes()).map_err(|e| e.to_string())?;
    if status < 400 || ours(&headers, broken).is_ok() {
        return Err(format!("an event without source and type: the oracle answered {status}"));
    }
    Ok(())
}
