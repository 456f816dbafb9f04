//! The same binary deployed by `cargo lambda deploy` 1.9.2, which Rust on Lambda is deployed with: what both make of it must
//! be the same function in boto3's eyes, and answer the same.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use xcloud_tests::tools;

use crate::aws::Cloud;
use crate::root;

/// A function and its package, and what it answers to an order.
const FUNCTION: &str = r#"
import boto3, hashlib, io, json, sys, urllib.request, zipfile
given = json.load(sys.stdin)
functions = boto3.client("lambda", endpoint_url=given["endpoint"], region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
target = {"FunctionName": given["name"]}
if given["alias"]: target["Qualifier"] = given["alias"]
found = functions.get_function(**target)
config = found["Configuration"]
package = zipfile.ZipFile(io.BytesIO(urllib.request.urlopen(found["Code"]["Location"]).read()))
url = functions.get_function_url_config(**target)
policy = json.loads(functions.get_policy(**target)["Policy"])
answer = functions.invoke(Payload=json.dumps(given["event"]), **target)
versions = functions.list_versions_by_function(FunctionName=given["name"])["Versions"]
same = {
    "settings": {key: config.get(key) for key in ("Runtime", "Handler", "Architectures", "MemorySize", "Timeout", "PackageType", "Role", "Environment", "Layers", "TracingConfig", "EphemeralStorage", "SnapStart")},
    "package": [[entry.filename, oct(entry.external_attr >> 16), hashlib.sha256(package.read(entry)).hexdigest()] for entry in package.infolist()],
    "url": [url["AuthType"], url["InvokeMode"]],
    "allowed": sorted(json.dumps([s["Effect"], s["Principal"], s["Action"], s["Condition"]], sort_keys=True) for s in policy["Statement"]),
    "answer": [answer["StatusCode"], answer.get("FunctionError"), json.loads(answer["Payload"].read())],
}
own = {
    "bytes": config["CodeSize"],
    "log_format": config["LoggingConfig"]["LogFormat"],
    "tags": sorted(found.get("Tags", {})),
    "versions": sorted(v["Version"] for v in versions if v["Version"] != "$LATEST"),
}
print(json.dumps({"same": same, "own": own}))
"#;

/// As a function's URL gives it.
fn order() -> Value {
    let body = json!({ "order_id": "o-1", "customer": "ada", "currency": "EUR", "items": [{ "sku": "A", "qty": 2, "price_cents": 250 }] });
    let http = json!({ "method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test" });
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/orders", "rawQueryString": "",
        "headers": { "content-type": "application/json" }, "isBase64Encoded": false, "body": body.to_string(),
        "requestContext": { "http": http, "requestId": "r-1", "stage": "$default", "domainName": "x", "accountId": "anonymous",
            "apiId": "a", "routeKey": "$default", "time": "29/Nov/2026:05:00:00 +0000", "timeEpoch": 1_795_928_400_000_u64 },
    })
}

fn seen(cloud: &Cloud, name: &str, alias: Option<&str>) -> Value {
    let endpoint = cloud.ministack.endpoint();
    let given = json!({ "endpoint": endpoint, "name": name, "alias": alias, "event": order() });
    tools::script(cloud.ministack.programs(), FUNCTION, &given).unwrap_or_else(|why| panic!("{why}"))
}

/// Deploys what `xcloud build` has built, with the settings of `wanted`: nothing else of the two is shared.
fn rival(cloud: &Cloud, program: &std::path::Path, wanted: &Value) {
    let settings = &wanted["same"]["settings"];
    let environment = settings["Environment"]["Variables"].as_object().expect("it has some");
    let directory = root().join("examples/orders");
    let mut command = Command::new(program);
    command.current_dir(&directory).envs(cloud.ministack.environment()).env_remove("AWS_PROFILE");
    command.args(["lambda", "deploy", "rival-http", "--output-format", "json", "--enable-function-url"]);
    command.args(["--endpoint-url", &cloud.ministack.endpoint()]);
    // It packs a file with the mode that it has.
    let binary = cloud.home.join("orders");
    std::fs::copy(directory.join(".xcloud/build/binary"), &binary).expect("a build leaves it");
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    command.arg("--binary-path").arg(binary);
    command.args([
        "--memory",
        &settings["MemorySize"].to_string(),
        "--timeout",
        &settings["Timeout"].to_string(),
    ]);
    command.args(["--role", settings["Role"].as_str().expect("it has one")]);
    for (name, value) in environment {
        command.args(["--env-var", &format!("{name}={}", value.as_str().unwrap_or_default())]);
    }
    let output = command.output().expect("cargo lambda starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn cargo_lambda_makes_the_same_function_of_the_same_binary() {
    let Some(cloud) = Cloud::start("aws-rival") else { return };
    let program = match tools::cargo_lambda() {
        Ok(program) => program,
        Err(why) => return tools::skip(&why).unwrap_or_else(|why| panic!("{why}")),
    };
    let deployed = cloud.data(&["deploy"]);
    let ours = seen(&cloud, "shop-dev-http", Some("live"));
    rival(&cloud, &program, &ours);
    let theirs = seen(&cloud, "rival-http", None);

    assert_eq!(ours["same"], theirs["same"], "ours first");
    let package = &ours["same"]["package"];
    assert_eq!(
        (package.as_array().map(Vec::len), &package[0][0]),
        (Some(1), &json!("bootstrap")),
        "{package}"
    );
    let built =
        std::fs::read(root().join("examples/orders/.xcloud/build/binary.json")).expect("a build leaves it");
    let built: Value = serde_json::from_slice(&built).expect("JSON");
    assert_eq!(package[0][2], built["sha256"], "the bytes that were built");
    let answer = &ours["same"]["answer"];
    assert_eq!(
        (&answer[0], &answer[2]["statusCode"]),
        (&json!(200), &json!(200)),
        "it takes the order: {answer}"
    );
    let bytes = |of: &Value| of["own"]["bytes"].as_f64().expect("a number");
    assert!(bytes(&ours) < 1.1 * bytes(&theirs), "the package is about as small: {ours} {theirs}");

    // Where they differ, and that it is on purpose.
    let (own, rivals) = (&ours["own"], &theirs["own"]);
    assert_eq!((&own["log_format"], &rivals["log_format"]), (&json!("JSON"), &json!("Text")));
    assert_eq!((&own["tags"], &rivals["tags"]), (&json!(["xcloud:project", "xcloud:stage"]), &json!([])));

    // The second time, with nothing changed: nothing here, another version there.
    let again = cloud.data(&["deploy", "--no-build"]);
    assert_eq!(again["deployments"][0]["calls"]["write"], 0, "{again}, after {deployed}");
    rival(&cloud, &program, &ours);
    let (ours, theirs) = (seen(&cloud, "shop-dev-http", Some("live")), seen(&cloud, "rival-http", None));
    assert_eq!(ours["own"]["versions"], json!(["1"]), "{ours}");
    assert_eq!(theirs["own"]["versions"].as_array().map(Vec::len), Some(2), "{theirs}");
    drop(std::fs::remove_dir_all(&cloud.home));
}
