//! `examples/orders` on AWS, as ministack plays it: it runs the real binary, and takes any role. Alias weights it does
//! not follow: shares are judged by what boto3 reads back.

mod app;
mod input;
mod lifecycle;
mod metrics;
mod policy;
mod requests;
mod secrets;
mod triggers;

use std::process::{Command, Output};

use serde_json::{Value, json};
use xcloud_tests::ministack::Ministack;
use xcloud_tests::tools;

use crate::{program, root, scratch};

/// What is asked of boto3: an expression over clients by name.
const ASK: &str = r#"
import boto3, botocore, json, sys
given = json.load(sys.stdin)
def client(name):
    return boto3.client(name, endpoint_url=given["endpoint"], region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
services = ["cloudwatch", "dynamodb", "iam", "lambda", "logs", "resourcegroupstaggingapi", "s3", "scheduler", "sns", "sqs"]
# `lambda` is a word of the language.
names = {"lambda": "lambda_"}
clients = {names.get(s, s): client(s) for s in services if names.get(s, s) + "." in given["ask"]}
# Dictionaries come in any order.
clients["show"] = lambda value: json.dumps(value, sort_keys=True, default=str)
def attempt(ask):
    try:
        return ask()
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
# What is not there is an answer too: the refusal's code.
clients["attempt"] = attempt
print(json.dumps(eval(given["ask"], clients), default=str))
"#;

/// An AWS, and an app that goes there.
pub(crate) struct Cloud {
    pub(crate) ministack: Ministack,
    pub(crate) home: std::path::PathBuf,
}

impl Cloud {
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::start_with(name, &[])
    }

    /// One whose emulator has this in its environment.
    pub(crate) fn start_with(name: &str, environment: &[(&str, &str)]) -> Option<Self> {
        match Ministack::start_with(environment) {
            Ok(ministack) => Some(Self { ministack, home: scratch(name) }),
            Err(why) => {
                tools::skip(&why).unwrap_or_else(|why| panic!("{why}"));
                None
            }
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(program());
        for name in
            ["XCLOUD_PROVIDER", "XCLOUD_STAGE", "XCLOUD_CONFIG", "XCLOUD_OUTPUT", "RUSTFLAGS", "AWS_PROFILE"]
        {
            command.env_remove(name);
        }
        command.env("XCLOUD_HOME", &self.home).env("HOME", &self.home).env("NO_COLOR", "1");
        // Cargo is found by the user's home, which is another one here.
        command.env("CARGO_HOME", std::env::var("CARGO_HOME").unwrap_or_else(|_| cargo_home()));
        command.envs(rustup()).current_dir(root()).envs(self.ministack.environment());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(["-C", "examples/orders", "-p", "aws"]).args(arguments).output().expect("xcloud starts")
    }

    /// `data` of the one object on stdout, and the exit code.
    pub(crate) fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let object: Value =
            serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}{err}"));
        (object["data"].clone(), output.status.code().unwrap_or(-1))
    }

    pub(crate) fn data(&self, arguments: &[&str]) -> Value {
        let (data, code) = self.json(arguments);
        assert_eq!(code, 0, "{arguments:?}: {data}");
        data
    }

    pub(crate) fn ask(&self, ask: &str) -> Value {
        let input = json!({ "endpoint": self.ministack.endpoint(), "ask": ask });
        tools::script(self.ministack.programs(), ASK, &input).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Waits for a line of a function's log.
    pub(crate) fn logged(&self, function: &str, text: &str) {
        for _ in 0..100 {
            let data = self.data(&["logs", function]);
            let lines = data["lines"].as_array().cloned().unwrap_or_default();
            if lines.iter().any(|line| line["line"].as_str().is_some_and(|line| line.contains(text))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        panic!("{function} never logged {text}: {}", self.data(&["logs"]));
    }
}

fn cargo_home() -> String {
    format!("{}/.cargo", std::env::var("HOME").unwrap_or_default())
}

fn rustup() -> Option<(&'static str, String)> {
    let home = std::env::var("HOME").ok()?;
    Some(("RUSTUP_HOME", std::env::var("RUSTUP_HOME").unwrap_or_else(|_| format!("{home}/.rustup"))))
}

const ORDER: &str =
    r#"{"order_id":"o-1","customer":"ada","currency":"EUR","items":[{"sku":"A","qty":2,"price_cents":250}]}"#;

fn summary(plan: &Value) -> (u64, u64, u64, u64) {
    let of = |key: &str| plan["plans"][0]["summary"][key].as_u64().unwrap_or(999);
    (of("create"), of("update"), of("delete"), of("unchanged"))
}

fn fields(plan: &Value) -> Vec<String> {
    let changes = plan["plans"][0]["changes"].as_array().cloned().unwrap_or_default();
    let of = |change: &Value| {
        let list = change["fields"].as_array().cloned().unwrap_or_default();
        let differs = list.into_iter().filter(|f| f["before"] != f["after"]);
        differs.map(|f| format!("{} {}", change["resource"], f["path"]).replace('"', "")).collect::<Vec<_>>()
    };
    changes.iter().filter(|change| change["action"] == "update").flat_map(of).collect()
}

/// From nothing to a serving app and back: each step on what the one before it left.
#[test]
fn orders_are_placed_and_fulfilled_on_aws_and_nothing_is_left_behind() {
    let Some(cloud) = Cloud::start("aws-orders") else { return };
    let plan = cloud.data(&["plan"]);
    assert_eq!(summary(&plan), (14, 0, 0, 0), "{plan}");
    let policy = cloud.data(&["plan", "--no-build", "--policy"])["policy"].to_string();
    assert!(
        policy.contains("lambda:CreateFunction") && !policy.contains("lambda:DeleteFunction"),
        "{policy}"
    );
    let dry = cloud.data(&["deploy", "--no-build", "--dry-run"]);
    assert_eq!(
        (&dry["dry_run"], cloud.ask("lambda_.list_functions()['Functions']")),
        (&json!(true), json!([]))
    );

    let first = cloud.data(&["deploy", "--no-build"]);
    let url = first["deployments"][0]["url"].as_str().expect("a URL").to_owned();
    placed_and_fulfilled(&cloud, &url);
    unchanged(&cloud);
    drift(&cloud);
    versions(&cloud);
    destroyed(&cloud);
}

fn placed_and_fulfilled(cloud: &Cloud, url: &str) {
    let call = ["invoke", "http", "--method", "POST", "--path", "/orders", "-d", ORDER];
    let answer = cloud.data(&call);
    assert_eq!((&answer["status"], &answer["body"]["total_cents"]), (&json!(200), &json!(500)), "{answer}");
    cloud.logged("fulfil", "order fulfilled");
    // Its own host name does not resolve here: the same through ministack's door.
    let id = url.trim_start_matches("https://").split('.').next().unwrap_or_default();
    let ask = format!(
        "__import__('urllib.request').request.urlopen(__import__('urllib.request').request.Request('{}/_aws/lambda-url/{id}/orders', data={:?}.encode(), headers={{'content-type':'application/json'}})).status",
        cloud.ministack.endpoint(),
        ORDER.replace("o-1", "o-2"),
    );
    assert_eq!(cloud.ask(&ask), 200);
    cloud.logged("fulfil", "o-2");
    let status = cloud.data(&["status"]);
    let functions = status["functions"].as_array().expect("a list");
    assert!(functions.iter().all(|f| f["healthy"] == true && f["version"] == "v1"), "{status}");
}

fn unchanged(cloud: &Cloud) {
    let (plan, code) = cloud.json(&["plan", "--no-build", "--exit-code"]);
    assert_eq!((code, summary(&plan)), (0, (0, 0, 0, 14)), "{plan}");
    let again = cloud.data(&["deploy", "--no-build"]);
    let calls = &again["deployments"][0]["calls"];
    assert_eq!(calls["write"], 0, "{again}");
    assert!(calls["read"].as_u64().is_some_and(|reads| reads <= 2 * 14), "{again}");
    // What it says that serves was seen, and not asked for again: it is what `status` asks for.
    let status = cloud.data(&["status"]);
    let list = |of: &Value| of["functions"].as_array().cloned().expect("a list");
    let (said, asked) = (list(&again["deployments"][0]), list(&status));
    assert_eq!(said.len(), asked.len(), "{again} {status}");
    for (said, asked) in said.iter().zip(&asked) {
        for key in ["name", "resource", "version", "url"] {
            assert_eq!(said[key], asked[key], "{key}: {said} {asked}");
        }
    }
}

fn drift(cloud: &Cloud) {
    cloud.ask(
        "lambda_.update_function_configuration(FunctionName='shop-dev-http', MemorySize=512)['MemorySize']",
    );
    let (plan, code) = cloud.json(&["plan", "--no-build", "--exit-code"]);
    assert_eq!((code, fields(&plan)), (3, vec!["function/http memory_mb".to_owned()]), "{plan}");
    cloud.data(&["deploy", "--no-build"]);
    let memory = cloud.ask("lambda_.get_function_configuration(FunctionName='shop-dev-http')['MemorySize']");
    assert_eq!(memory, 256);
    let shown = cloud.data(&["versions"]);
    assert_eq!(
        shown["versions"].as_array().map(Vec::len),
        Some(1),
        "repaired without a new version: {shown}"
    );
}

fn routing(cloud: &Cloud) -> (Value, Value) {
    let alias = cloud.ask("lambda_.get_alias(FunctionName='shop-dev-http', Name='live')");
    let weights = alias["RoutingConfig"]["AdditionalVersionWeights"].clone();
    (alias["FunctionVersion"].clone(), if weights == json!({}) { Value::Null } else { weights })
}

/// A variable more makes a new version; it gets traffic, loses it, and everything goes back.
fn versions(cloud: &Cloud) {
    let config = cloud.home.join("xcloud.toml");
    let text =
        std::fs::read_to_string(root().join("examples/orders/xcloud.toml")).expect("the example's file");
    std::fs::write(&config, text.replace("public = true", "public = true\nenv = { GREETING = \"hello\" }"))
        .expect("a file");
    let config = config.display().to_string();
    let new = cloud.data(&["--config", &config, "deploy", "--no-build", "--no-traffic"]);
    assert_eq!(routing(cloud), (json!("1"), Value::Null), "no traffic yet: {new}");
    cloud.data(&["traffic", "http", "v2=10"]);
    assert_eq!(routing(cloud), (json!("1"), json!({ "2": 0.1 })));
    cloud.data(&["traffic", "--abort"]);
    assert_eq!(routing(cloud), (json!("1"), Value::Null));
    cloud.data(&["traffic", "http", "v2=10"]);
    cloud.data(&["traffic", "--promote"]);
    assert_eq!(routing(cloud), (json!("2"), Value::Null));
    let shown = cloud.data(&["versions"]);
    assert_eq!(shown["versions"][1]["current"], true, "{shown}");
    let back = cloud.data(&["rollback"]);
    assert_eq!((&back["from"], &back["to"], routing(cloud).0), (&json!("v2"), &json!("v1"), json!("1")));
    let (_, code) = cloud.json(&["traffic", "http", "v9=10"]);
    assert_eq!(code, 1);
    // Nothing is being tried.
    let (_, code) = cloud.json(&["traffic", "--promote"]);
    assert_eq!(code, 2);
}

fn destroyed(cloud: &Cloud) {
    let mine = "sqs.create_queue(QueueName='shop-dev-mine')['QueueUrl']";
    cloud.ask(mine);
    let stop = "[lambda_.update_event_source_mapping(UUID=m['UUID'], Enabled=False)['State'] for m in lambda_.list_event_source_mappings()['EventSourceMappings']]";
    cloud.ask(stop);
    cloud.ask("sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName='shop-dev-order-placed')['QueueUrl'], MessageBody='{}')['MessageId']");
    let (refused, code) = cloud.json(&["destroy"]);
    assert_eq!(code, 2, "without a terminal and --yes: {refused}");
    let kept = cloud.data(&["destroy", "--yes"]);
    assert_eq!(kept["plans"][0]["summary"]["kept"], 2, "the queue and where its failures go: {kept}");
    let queues = "sorted(url.rsplit('/', 1)[1] for url in sqs.list_queues().get('QueueUrls', []))";
    let there = cloud.ask(queues);
    assert_eq!(there, json!(["shop-dev-mine", "shop-dev-order-placed", "shop-dev-order-placed_dead"]));
    cloud.data(&["destroy", "--yes", "--delete-data"]);
    assert_eq!(cloud.ask(queues), json!(["shop-dev-mine"]), "what is not ours stays");
    let left = "[len(lambda_.list_functions()['Functions']), len(iam.list_roles(PathPrefix='/xcloud/')['Roles']), len(logs.describe_log_groups()['logGroups']), len(resourcegroupstaggingapi.get_resources(TagFilters=[{'Key': 'xcloud:project'}])['ResourceTagMappingList'])]";
    assert_eq!(cloud.ask(left), json!([0, 0, 0, 0]));
    let (_, code) = cloud.json(&["status"]);
    assert_eq!(code, 1, "nothing is deployed any more");
}

#[test]
fn a_name_that_somebody_else_has_ends_it_before_anything_is_made() {
    let Some(cloud) = Cloud::start("aws-foreign") else { return };
    cloud.ask("sqs.create_queue(QueueName='shop-dev-order-placed')['QueueUrl']");
    let (data, code) = cloud.json(&["deploy"]);
    assert_eq!((code, &data["code"]), (1, &json!("Conflict")), "{data}");
    let made = cloud
        .ask("[len(iam.list_roles(PathPrefix='/xcloud/')['Roles']), len(sqs.list_queues()['QueueUrls'])]");
    assert_eq!(made, json!([0, 1]));
    // A role's name is the account's, whatever its path; this one would come after other things have been made.
    cloud.ask("sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName='shop-dev-order-placed')['QueueUrl'])['ResponseMetadata']['HTTPStatusCode']");
    let trust = json!({ "Version": "2012-10-17", "Statement": [] }).to_string();
    cloud.ask(&format!(
        "iam.create_role(RoleName='shop-dev-fulfil', AssumeRolePolicyDocument={trust:?})['Role']['Arn']"
    ));
    let (data, code) = cloud.json(&["deploy", "--no-build"]);
    assert_eq!((code, &data["code"]), (1, &json!("Conflict")), "{data}");
    let made = cloud.ask("[r['RoleName'] for r in iam.list_roles()['Roles'] if r['RoleName'].startswith('shop-dev-')] + sqs.list_queues().get('QueueUrls', [])");
    assert_eq!(made, json!(["shop-dev-fulfil"]));
    assert_eq!(cloud.ask("iam.list_role_policies(RoleName='shop-dev-fulfil')['PolicyNames']"), json!([]));
    // A log of a function that was there before is not ours to keep for a month, or to delete.
    cloud.ask("iam.delete_role(RoleName='shop-dev-fulfil')['ResponseMetadata']['HTTPStatusCode']");
    cloud.ask("logs.create_log_group(logGroupName='/aws/lambda/shop-dev-fulfil')['ResponseMetadata']['HTTPStatusCode']");
    let (data, code) = cloud.json(&["deploy", "--no-build"]);
    assert_eq!((code, &data["code"]), (1, &json!("Conflict")), "{data}");
    assert_eq!(
        cloud.ask("[g.get('retentionInDays') for g in logs.describe_log_groups()['logGroups']]"),
        json!([null])
    );
}

#[test]
fn without_credentials_region_or_network_it_says_what_to_do() {
    let home = scratch("aws-nobody");
    let run = |environment: &[(&str, &str)]| {
        let mut command = Command::new(program());
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("XCLOUD_"))
        {
            command.env_remove(name);
        }
        command.env("HOME", &home).env("XCLOUD_HOME", &home).env("AWS_EC2_METADATA_DISABLED", "true");
        command.current_dir(root()).envs(environment.iter().copied());
        let output = command.args(["-C", "examples/orders", "-p", "aws", "status", "-o", "json"]).output();
        let output = output.expect("xcloud starts");
        let said: Value = serde_json::from_slice(&output.stdout).expect("one object");
        (output.status.code().unwrap_or(-1), said)
    };
    let (code, said) = run(&[]);
    assert!(code == 2 && said["message"].as_str().is_some_and(|m| m.contains("no AWS region")), "{said}");
    let region = ("AWS_REGION", "eu-west-1");
    let (code, said) = run(&[region]);
    assert!(code == 4 && said["data"]["hint"].as_str().is_some_and(|h| h.contains("AWS_PROFILE")), "{said}");
    let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "canary-secret")];
    let nobody = [region, keys[0], keys[1], ("AWS_ENDPOINT_URL", "http://127.0.0.1:9")];
    let (code, said) = run(&nobody);
    assert!(code == 1 && said["data"]["hint"].as_str().is_some_and(|h| h.contains("endpoint")), "{said}");
    assert!(!said.to_string().contains("canary"), "{said}");
}
