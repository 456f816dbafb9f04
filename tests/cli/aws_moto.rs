//! A second opinion: the same deployment to moto (PyPI, Apache-2.0), which other people wrote from AWS's pages without
//! ministack. Both are asked through boto3, and what they have must be the same. It is about state only: moto runs
//! functions in docker.
//!
//! What moto 5.2.5 lacks of what we use is asserted too, so that nobody takes it for a difference of ours.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xcloud_tests::tools;

use crate::aws::Cloud;

/// Everything of the stage in boto3's eyes, without ids, times, the account and the address.
const STATE: &str = r#"
import boto3, json, sys
given = json.load(sys.stdin)
def client(name):
    return boto3.client(name, endpoint_url=given["endpoint"], region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
functions, queues, roles, logs, sts = (client(name) for name in ("lambda", "sqs", "iam", "logs", "sts"))
def pick(of, *names): return {name: of.get(name) for name in names}
def tags(of): return {key: value for key, value in of.items() if key.startswith("xcloud:")}
SETTINGS = ("FunctionName", "Runtime", "Handler", "Architectures", "MemorySize", "Timeout", "CodeSha256", "CodeSize", "Role", "PackageType", "Environment")
state = {"functions": {}, "queues": {}, "roles": {}, "logs": {}, "mappings": [], "urls": {}, "policies": {}}
for function in functions.list_functions()["Functions"]:
    name = function["FunctionName"]
    live = functions.get_function_configuration(FunctionName=name, Qualifier="live")
    state["functions"][name] = {
        "latest": pick(function, *SETTINGS),
        "live": pick(live, *SETTINGS),
        "version": functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"],
        # The app's version and the binary; after them the app's digest, which has queues' addresses in it.
        "label": live["Description"].split(" ")[:3],
        "tags": tags(functions.list_tags(Resource=function["FunctionArn"])["Tags"]),
        "reserved": functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
    }
    try:
        state["urls"][name] = pick(functions.get_function_url_config(FunctionName=name, Qualifier="live"), "AuthType", "InvokeMode")
        policy = json.loads(functions.get_policy(FunctionName=name, Qualifier="live")["Policy"])
        state["policies"][name] = sorted(json.dumps(pick(s, "Sid", "Effect", "Principal", "Action"), sort_keys=True) for s in policy["Statement"])
    except functions.exceptions.ResourceNotFoundException:
        pass
for url in queues.list_queues().get("QueueUrls", []):
    attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes.get("RedrivePolicy", "null"))
    # A number or a text: AWS takes both.
    if redrive: redrive["maxReceiveCount"] = int(redrive["maxReceiveCount"])
    state["queues"][url.rsplit("/", 1)[1]] = {
        "redrive": redrive, "tags": tags(queues.list_queue_tags(QueueUrl=url).get("Tags", {})),
        **pick(attributes, "VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds", "ReceiveMessageWaitTimeSeconds", "MaximumMessageSize", "QueueArn"),
    }
for role in roles.list_roles(PathPrefix="/xcloud/")["Roles"]:
    name = role["RoleName"]
    listed = roles.list_role_policies(RoleName=name)["PolicyNames"]
    state["roles"][role["Arn"]] = {
        "assume": role["AssumeRolePolicyDocument"],
        "inline": {policy: roles.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in listed},
        "attached": roles.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
        "tags": tags({tag["Key"]: tag["Value"] for tag in roles.list_role_tags(RoleName=name)["Tags"]}),
    }
for group in logs.describe_log_groups()["logGroups"]:
    state["logs"][group["logGroupName"]] = group.get("retentionInDays")
for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
    one = pick(mapping, "EventSourceArn", "BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "State")
    # Without what is after the name: moto puts the version there that the alias has.
    state["mappings"].append({**one, "function": mapping["FunctionArn"].split(":")[6]})
text = json.dumps(state, sort_keys=True, default=str)
text = text.replace(sts.get_caller_identity()["Account"], "ACCOUNT").replace(given["endpoint"], "ENDPOINT")
json.dump({
    "state": json.loads(text),
    "lacks": {
        "logging": sorted(f.get("LoggingConfig", {}).get("LogFormat", "none") for f in functions.list_functions()["Functions"]),
        "mapped to": sorted(m["FunctionArn"].split(":")[-1] for m in functions.list_event_source_mappings()["EventSourceMappings"]),
    },
}, sys.stdout)
"#;

struct Moto {
    child: Child,
    port: u16,
    home: PathBuf,
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.home));
    }
}

impl Moto {
    /// Its server, without what it has for services that are not asked here (`moto[server]` brings a third of a gigabyte).
    fn start(home: PathBuf) -> Option<Self> {
        let more = ["flask==3.1.3", "flask-cors==6.0.5", "docker==7.2.0", "boto3==1.43.106"];
        let programs = match tools::python("moto", "5.2.5", &more) {
            Ok(programs) => programs,
            Err(why) => {
                tools::skip(&why).unwrap_or_else(|why| panic!("{why}"));
                return None;
            }
        };
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("it has one").port();
        drop(free);
        let log = std::fs::File::create(home.join("moto.log")).expect("a file");
        let mut command = Command::new(programs.join("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("it starts");
        let this = Self { child, port, home };
        let end = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(this.home.join("moto.log")).unwrap_or_default();
            assert!(Instant::now() < end, "moto is not ready: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(this)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// `data` of a command that goes to an endpoint.
fn data(cloud: &Cloud, endpoint: &str, arguments: &[&str]) -> Value {
    let mut command = cloud.command();
    command.env("AWS_ENDPOINT_URL", endpoint);
    command.args(["-C", "examples/orders", "-p", "aws"]).args(arguments).args(["-o", "json"]);
    let output = command.output().expect("xcloud starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} at {endpoint}: {out}{err}");
    serde_json::from_str::<Value>(&out).expect("one object")["data"].clone()
}

fn seen(cloud: &Cloud, endpoint: &str) -> Value {
    let given = json!({ "endpoint": endpoint });
    tools::script(cloud.ministack.programs(), STATE, &given).unwrap_or_else(|why| panic!("{why}"))
}

/// What differs, path by path: for whoever reads why a test failed.
fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differences(&format!("{path}/{key}"), &one[key], &other[key], found);
            }
        }
        _ if one != other => found.push(format!("{path}: {one} here, {other} at moto")),
        _ => {}
    }
}

#[test]
fn moto_and_ministack_have_the_same_after_a_deployment_and_nothing_after_a_destroy() {
    let Some(cloud) = Cloud::start("aws-moto") else { return };
    let Some(moto) = Moto::start(cloud.home.clone()) else { return };
    let (one, other) = (cloud.ministack.endpoint(), moto.endpoint());
    data(&cloud, &one, &["build"]);
    for endpoint in [&one, &other] {
        let deployed = data(&cloud, endpoint, &["deploy", "--no-build"]);
        let functions = deployed["deployments"][0]["functions"].as_array().map(Vec::len);
        assert_eq!(functions, Some(2), "{endpoint}: {deployed}");
    }
    let (here, there) = (seen(&cloud, &one), seen(&cloud, &other));
    let mut found = Vec::new();
    differences("", &here["state"], &there["state"], &mut found);
    assert_eq!(found, Vec::<String>::new());
    // Not two empty ones.
    let counts = ["functions", "queues", "roles", "logs", "urls", "policies"]
        .map(|kind| there["state"][kind].as_object().map_or(0, serde_json::Map::len));
    assert_eq!((counts, there["state"]["mappings"].as_array().map(Vec::len)), ([2, 2, 2, 2, 1, 1], Some(1)));

    what_moto_lacks(&cloud, &other, &here["lacks"], &there["lacks"]);

    let gone = data(&cloud, &other, &["destroy", "--yes", "--delete-data"]);
    // The mapping that moto does not find by its function goes with nobody; at AWS it is a step of its own.
    assert_eq!(gone["plans"][0]["summary"]["delete"], 9, "{gone}");
    let left = seen(&cloud, &other);
    for kind in ["functions", "queues", "roles", "logs", "urls", "policies"] {
        assert_eq!(left["state"][kind], json!({}), "{kind} of {left}");
    }
}

/// Why a second deployment to moto is not one of nothing, and that there is no other reason.
fn what_moto_lacks(cloud: &Cloud, moto: &str, here: &Value, there: &Value) {
    // It does not keep the log format, and shows a mapping to an alias as one to its version.
    assert_eq!(here, &json!({ "logging": ["JSON", "JSON"], "mapped to": ["live"] }));
    assert_eq!(there, &json!({ "logging": ["none", "none"], "mapped to": ["1"] }));
    let planned = data(cloud, moto, &["plan", "--no-build"]);
    let changes = planned["plans"][0]["changes"].as_array().expect("a list");
    let differing = changes.iter().filter(|change| change["action"] != "unchanged").map(|change| {
        let text = |key: &str| change[key].as_str().unwrap_or_default();
        let fields = change["fields"].as_array().into_iter().flatten();
        let fields: Vec<_> = fields
            .filter(|field| text("action") == "update" && field["before"] != field["after"])
            .filter_map(|field| field["path"].as_str())
            .collect();
        format!("{} {} {}", text("action"), text("resource"), fields.join(" ")).trim().to_owned()
    });
    let wanted = [
        "update function/http log_format",
        // A version with another log format is not the one that is wanted.
        "create version/http",
        "update function/fulfil log_format",
        "create version/fulfil",
        // It is looked for by its function and alias.
        "create mapping/fulfil",
    ];
    assert_eq!(differing.collect::<Vec<_>>(), wanted, "{planned}");
}
