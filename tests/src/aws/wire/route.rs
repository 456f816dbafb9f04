//! Which operation a request is.

use bytes::Bytes;
use http::Request;

use super::Call;

/// Its name as in the service's model; empty for none that is known.
pub(super) fn operation(request: &Request<Bytes>, call: &Call) -> String {
    let parts: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let method = request.method().as_str();
    let known = match call.service.as_str() {
        "lambda" => lambda(method, &parts),
        "scheduler" => scheduler(method, &parts),
        "s3" => s3(method, &parts, call),
        "iam" | "sns" | "sts" => return call.text("Action").to_owned(),
        _ => return target(request),
    };
    known.map_or_else(|| format!("{method} {}", request.uri().path()), str::to_owned)
}

/// `x-amz-target: <prefix>.<operation>`
fn target(request: &Request<Bytes>) -> String {
    let header = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    header.and_then(|text| text.rsplit('.').next()).unwrap_or_default().to_owned()
}

fn lambda(method: &str, parts: &[&str]) -> Option<&'static str> {
    match parts.get(1..)? {
        ["functions", rest @ ..] => function(method, rest),
        ["event-source-mappings", rest @ ..] => mapping(method, rest),
        ["tags", ..] => match method {
            "GET" => Some("ListTags"),
            "POST" => Some("TagResource"),
            _ => None,
        },
        _ => None,
    }
}

fn function(method: &str, parts: &[&str]) -> Option<&'static str> {
    Some(match (method, parts) {
        ("POST", []) => "CreateFunction",
        ("GET", [_]) => "GetFunction",
        ("DELETE", [_]) => "DeleteFunction",
        ("GET", [_, "configuration"]) => "GetFunctionConfiguration",
        ("PUT", [_, "configuration"]) => "UpdateFunctionConfiguration",
        ("PUT", [_, "code"]) => "UpdateFunctionCode",
        ("POST", [_, "versions"]) => "PublishVersion",
        ("GET", [_, "versions"]) => "ListVersionsByFunction",
        ("POST", [_, "aliases"]) => "CreateAlias",
        ("GET", [_, "aliases", _]) => "GetAlias",
        ("PUT", [_, "aliases", _]) => "UpdateAlias",
        ("POST", [_, "policy"]) => "AddPermission",
        ("GET", [_, "policy"]) => "GetPolicy",
        ("DELETE", [_, "policy", _]) => "RemovePermission",
        ("POST", [_, "url"]) => "CreateFunctionUrlConfig",
        ("GET", [_, "url"]) => "GetFunctionUrlConfig",
        ("PUT", [_, "url"]) => "UpdateFunctionUrlConfig",
        ("DELETE", [_, "url"]) => "DeleteFunctionUrlConfig",
        ("PUT", [_, "concurrency"]) => "PutFunctionConcurrency",
        ("PUT", [_, "event-invoke-config"]) => "PutFunctionEventInvokeConfig",
        ("GET", [_, "event-invoke-config"]) => "GetFunctionEventInvokeConfig",
        ("DELETE", [_, "event-invoke-config"]) => "DeleteFunctionEventInvokeConfig",
        ("DELETE", [_, "concurrency"]) => "DeleteFunctionConcurrency",
        ("PUT", [_, "provisioned-concurrency"]) => "PutProvisionedConcurrencyConfig",
        ("GET", [_, "provisioned-concurrency"]) => "GetProvisionedConcurrencyConfig",
        ("DELETE", [_, "provisioned-concurrency"]) => "DeleteProvisionedConcurrencyConfig",
        _ => return None,
    })
}

fn mapping(method: &str, parts: &[&str]) -> Option<&'static str> {
    Some(match (method, parts) {
        ("POST", []) => "CreateEventSourceMapping",
        ("GET", []) => "ListEventSourceMappings",
        ("GET", [_]) => "GetEventSourceMapping",
        ("PUT", [_]) => "UpdateEventSourceMapping",
        ("DELETE", [_]) => "DeleteEventSourceMapping",
        _ => return None,
    })
}

fn scheduler(method: &str, parts: &[&str]) -> Option<&'static str> {
    match (method, parts) {
        ("POST", ["schedules", _]) => Some("CreateSchedule"),
        ("GET", ["schedules", _]) => Some("GetSchedule"),
        ("PUT", ["schedules", _]) => Some("UpdateSchedule"),
        ("DELETE", ["schedules", _]) => Some("DeleteSchedule"),
        _ => None,
    }
}

fn s3(method: &str, parts: &[&str], call: &Call) -> Option<&'static str> {
    let asks = |name: &str| call.query.contains_key(name);
    let [_] = parts else { return (method == "PUT" && parts.len() > 1).then_some("PutObject") };
    Some(match method {
        "PUT" if asks("tagging") => "PutBucketTagging",
        "PUT" if asks("notification") => "PutBucketNotificationConfiguration",
        "PUT" => "CreateBucket",
        "GET" if asks("tagging") => "GetBucketTagging",
        "GET" if asks("notification") => "GetBucketNotificationConfiguration",
        "GET" if asks("versions") => "ListObjectVersions",
        "GET" if asks("list-type") => "ListObjectsV2",
        "POST" if asks("delete") => "DeleteObjects",
        "DELETE" => "DeleteBucket",
        _ => return None,
    })
}
