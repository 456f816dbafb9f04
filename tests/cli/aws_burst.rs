//! A deployment behind microburst (PyPI, MIT), a proxy that answers as AWS does when AWS fails: the errors are made of
//! AWS's own models, in each service's own protocol, so that it is the SDK that reads them. `aws_faults` disturbs one
//! write after the other with a proxy of ours; here many things fail at once, as on a bad day, and it is somebody else
//! who says how that looks.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use xcloud_tests::tools;

use crate::aws::Cloud;
use crate::aws_faults::STATE;
use crate::root;

/// microburst as its own command starts it, but for one thing: by default it answers 413 to what has more than a megabyte,
/// such as a function with its code (aiohttp's `client_max_size`, which no option of it sets).
const START: &str = r#"
import sys
from aiohttp import web
from microburst.app import make_app
from microburst.core.pipeline import Microburst
app = make_app(Microburst(sys.argv[1]))
app._client_max_size = 64 * 1024 * 1024
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None)
"#;

/// What is asked of its control API.
const CONTROL: &str = r#"
import json, sys, urllib.request
given = json.load(sys.stdin)
body = None if given["body"] is None else json.dumps(given["body"]).encode()
request = urllib.request.Request(given["url"], data=body, method=given["method"])
print(urllib.request.urlopen(request, timeout=30).read().decode())
"#;

/// Between the command and ministack.
struct Burst {
    cloud: Cloud,
    child: Child,
    port: u16,
    programs: PathBuf,
}

impl Drop for Burst {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.cloud.home));
    }
}

impl Burst {
    fn start(name: &str) -> Option<Self> {
        let cloud = Cloud::start(name)?;
        let programs = match tools::python("microburst", "0.10.0", &["aiohttp==3.14.5", "botocore==1.44.8"]) {
            Ok(programs) => programs,
            Err(why) => {
                tools::skip(&why).unwrap_or_else(|why| panic!("{why}"));
                return None;
            }
        };
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("it has one").port();
        drop(free);
        let log = std::fs::File::create(cloud.home.join("microburst.log")).expect("a file");
        let mut command = Command::new(programs.join("python"));
        command.args(["-c", START, &cloud.ministack.endpoint(), &port.to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("it starts");
        let this = Self { cloud, child, port, programs };
        let end = Instant::now() + Duration::from_secs(60);
        while this.control("GET", "health", Value::Null).is_err() {
            let log = std::fs::read_to_string(this.cloud.home.join("microburst.log")).unwrap_or_default();
            assert!(Instant::now() < end, "microburst is not ready: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(this)
    }

    fn control(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}/_microburst/{path}", self.port);
        tools::script(&self.programs, CONTROL, &json!({ "url": url, "method": method, "body": body }))
    }

    fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        self.control(method, path, body).unwrap_or_else(|why| panic!("{why}"))
    }

    /// From now on exactly these rules, and nothing has fired yet.
    fn rules(&self, rules: Value) {
        let count = rules.as_array().map(Vec::len);
        let taken = self.ask("POST", "rules", rules);
        assert_eq!(taken.as_array().map(Vec::len), count, "microburst took every rule: {taken}");
        self.ask("DELETE", "fired", Value::Null);
    }

    /// How often each fault fired, by service and operation.
    fn fired(&self) -> Map<String, Value> {
        let mut counts = Map::new();
        for event in self.ask("GET", "fired?limit=2000", Value::Null).as_array().expect("a list") {
            let part = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
            let count =
                counts.entry(format!("{} {}", part("service"), part("operation"))).or_insert(json!(0));
            *count = json!(count.as_u64().unwrap_or(0) + 1);
        }
        counts
    }

    /// How many requests it has seen of the command's.
    fn requests(&self) -> u64 {
        let stats = self.ask("GET", "stats", Value::Null);
        stats["requests"]["total"].as_u64().expect("a number")
    }

    /// The exit code and the one object.
    fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let mut command = self.cloud.command();
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port));
        command.args(["-C", "examples/orders", "-p", "aws"]).args(arguments).args(["-o", "json"]);
        let output = command.output().expect("xcloud starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let said = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}{err}"));
        // For whoever reads why a test failed.
        println!("{arguments:?}: {:?}\n{err}", output.status.code());
        (output.status.code().unwrap_or(-1), said)
    }

    fn fine(&self, arguments: &[&str]) -> Value {
        let (code, said) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said["data"].clone()
    }

    fn state(&self) -> Value {
        self.cloud.ask(STATE.trim())
    }

    /// Nobody disturbs any more, everything is as `wanted`, and there is nothing left to write.
    fn has_converged(&self, arguments: &[&str], wanted: &Value) {
        self.rules(json!([]));
        assert_eq!(&self.state(), wanted);
        let again = self.fine(arguments);
        assert_eq!(again["deployments"][0]["calls"]["write"], 0, "{again}");
    }
}

/// A rule that fires so often and then no more.
fn rule(service: &str, operation: &str, times: u32, what: Value) -> Value {
    let mut rule = json!({ "service": service, "operation": operation, "times": times });
    rule.as_object_mut().expect("an object").extend(what.as_object().cloned().unwrap_or_default());
    rule
}

fn error(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}

/// What passes by itself, at each service that a first deployment writes to, in the words that services have for it.
fn bad_day() -> Vec<Value> {
    let role = "The role defined for the function cannot be assumed by Lambda.";
    let poll = "The provided execution role does not have permissions to call ReceiveMessage on SQS";
    let recently =
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    vec![
        rule("sts", "GetCallerIdentity", 2, error("Throttling", "Rate exceeded")),
        rule("resourcegroupstaggingapi", "GetResources", 2, error("ThrottledException", "Rate exceeded")),
        rule("sqs", "CreateQueue", 2, error("QueueDeletedRecently", recently)),
        rule("iam", "CreateRole", 2, error("Throttling", "Rate exceeded")),
        rule("iam", "PutRolePolicy", 2, json!({ "error": { "code": "ServiceFailure", "status": 500 } })),
        rule("logs", "CreateLogGroup", 2, error("ThrottlingException", "Rate exceeded")),
        rule("logs", "PutRetentionPolicy", 2, error("ServiceUnavailableException", "try again")),
        rule("lambda", "CreateFunction", 3, error("InvalidParameterValueException", role)),
        rule("lambda", "PublishVersion", 2, error("TooManyRequestsException", "Rate Exceeded.")),
        rule("lambda", "CreateAlias", 1, json!({ "reset": true })),
        rule("lambda", "CreateFunctionUrlConfig", 1, json!({ "timeout_ms": 300 })),
        // It is done, and the answer breaks off.
        rule("lambda", "AddPermission", 1, json!({ "response": { "abort_frac": 0.1 } })),
        rule("lambda", "CreateEventSourceMapping", 2, error("InvalidParameterValueException", poll)),
    ]
}

/// What the rules say will fire, in the form of [`Burst::fired`].
fn told(rules: &[Value]) -> Map<String, Value> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let one = |rule: &Value| {
        (format!("{} {}", text(&rule["service"]), text(&rule["operation"])), rule["times"].clone())
    };
    rules.iter().map(one).collect()
}

const DEPLOY: [&str; 2] = ["deploy", "--no-build"];

#[test]
fn a_first_deployment_on_a_bad_day_comes_to_the_same_end_and_counts_every_call() {
    let Some(burst) = Burst::start("aws-burst") else { return };
    burst.fine(&["build"]);
    burst.fine(&DEPLOY);
    let wanted = burst.state();
    burst.cloud.ministack.reset().expect("ministack forgets");

    let rules = bad_day();
    burst.rules(json!(rules));
    let before = burst.requests();
    let (code, said) = burst.run(&DEPLOY);
    assert_eq!((code, burst.fired()), (0, told(&rules)), "{said}");
    // What somebody else has counted: each attempt, those that failed too.
    let calls = &said["data"]["deployments"][0]["calls"];
    let counted = calls["read"].as_u64().zip(calls["write"].as_u64()).map(|(read, write)| read + write);
    assert_eq!(counted, Some(burst.requests() - before), "{calls}");
    burst.has_converged(&DEPLOY, &wanted);
}

#[test]
fn an_update_on_a_bad_day_comes_to_the_same_end() {
    let Some(burst) = Burst::start("aws-burst-update") else { return };
    let text = std::fs::read_to_string(root().join("examples/orders/xcloud.toml")).expect("it is there");
    let next = text.replace("memory = \"256MB\"", "memory = \"512MB\"\nenv = { GREETING = \"hello\" }");
    assert_ne!(text, next);
    let file = burst.cloud.home.join("next.toml");
    std::fs::write(&file, next).expect("a file");
    let file = file.display().to_string();
    let update = ["deploy", "--no-build", "--config", &file];
    burst.fine(&["build"]);
    burst.fine(&DEPLOY);
    burst.fine(&update);
    let wanted = burst.state();
    burst.cloud.ministack.reset().expect("ministack forgets");
    burst.fine(&DEPLOY);

    let busy = "The operation cannot be performed at this time. An update is in progress for resource: shop-dev-http";
    let rules = [
        rule("lambda", "GetFunctionConfiguration", 2, error("TooManyRequestsException", "Rate Exceeded.")),
        rule("lambda", "UpdateFunctionConfiguration", 2, error("ResourceConflictException", busy)),
        rule("lambda", "PublishVersion", 2, error("ResourceConflictException", busy)),
        rule("lambda", "UpdateAlias", 2, error("ServiceException", "An error occurred")),
    ];
    burst.rules(json!(rules));
    let (code, said) = burst.run(&update);
    assert_eq!((code, burst.fired()), (0, told(&rules)), "{said}");
    burst.has_converged(&update, &wanted);
}

/// Every third request of each service is throttled, in the service's own words.
fn storm() -> Value {
    let throttled = |service: &str, code: &str| json!({ "service": service, "sequence": { "fail": 1, "pass": 2 }, "error": { "code": code } });
    json!([
        throttled("iam", "Throttling"),
        throttled("lambda", "TooManyRequestsException"),
        throttled("logs", "ThrottlingException"),
        throttled("resourcegroupstaggingapi", "ThrottledException"),
        throttled("sqs", "RequestThrottled"),
        throttled("sts", "Throttling"),
    ])
}

#[test]
fn in_a_storm_of_throttling_it_is_deployed_and_taken_down_again() {
    let Some(burst) = Burst::start("aws-burst-storm") else { return };
    burst.fine(&["build"]);
    burst.fine(&DEPLOY);
    let wanted = burst.state();
    burst.cloud.ministack.reset().expect("ministack forgets");

    burst.rules(storm());
    let (code, said) = burst.run(&DEPLOY);
    let fired = burst.fired();
    let services: std::collections::BTreeSet<_> =
        fired.keys().filter_map(|key| key.split(' ').next()).collect();
    assert!(services.len() == 6 && fired.len() >= 10, "it was a storm: {fired:?}");
    // One read that is throttled four times in a row would end it: then the next deployment goes on.
    if code != 0 {
        assert_eq!((code, &said["data"]["code"]), (1, &json!("RateLimited")), "{said}");
        burst.fine(&DEPLOY);
    }
    burst.has_converged(&DEPLOY, &wanted);

    burst.rules(storm());
    let (code, said) = burst.run(&["destroy", "--yes", "--delete-data"]);
    if code != 0 {
        assert_eq!((code, &said["data"]["code"]), (1, &json!("RateLimited")), "{said}");
        burst.fine(&["destroy", "--yes", "--delete-data"]);
    }
    let left = "[len(lambda_.list_functions()['Functions']), len(iam.list_roles(PathPrefix='/xcloud/')['Roles']), len(logs.describe_log_groups()['logGroups']), len(sqs.list_queues().get('QueueUrls', []))]";
    assert_eq!(burst.cloud.ask(left), json!([0, 0, 0, 0]));
}

#[test]
fn what_does_not_pass_by_itself_ends_it_with_what_to_do_and_the_next_deployment_goes_on() {
    let Some(burst) = Burst::start("aws-burst-ends") else { return };
    burst.fine(&["build"]);
    burst.fine(&DEPLOY);
    let wanted = burst.state();
    let denied =
        "User: arn:aws:iam::000000000000:user/ada is not authorized to perform: lambda:PublishVersion";
    let full = "Code storage limit exceeded.";
    let expired = "The security token included in the request is expired";
    // The rule, the exit code, the step it ended at, and a word of the hint.
    let ends = [
        (
            rule("lambda", "PublishVersion", 9, error("AccessDeniedException", denied)),
            4,
            "version/",
            "--policy",
        ),
        (
            rule("lambda", "CreateFunction", 9, error("CodeStorageExceededException", full)),
            2,
            "function/",
            "quota",
        ),
        (rule("iam", "CreateRole", 9, error("ExpiredToken", expired)), 4, "role/", "log in again"),
        (rule("sqs", "CreateQueue", 9, error("AccessDenied", "no")), 4, "dead-letters/", "sqs:CreateQueue"),
    ];
    for (rule, wanted_code, step, hint) in ends {
        burst.cloud.ministack.reset().expect("ministack forgets");
        burst.rules(json!([rule]));
        let (code, said) = burst.run(&DEPLOY);
        let text = |key: &str| said["data"][key].as_str().unwrap_or_default();
        assert_eq!(code, wanted_code, "{rule}: {said}");
        assert!(text("resource").starts_with(step) && text("hint").contains(hint), "{rule}: {said}");
        // Nothing is tried again that will not pass: once for each function at most.
        let fired: u64 = burst.fired().values().filter_map(Value::as_u64).sum();
        assert!((1..=2).contains(&fired), "{rule}: fired {fired} times");
        burst.rules(json!([]));
        burst.fine(&DEPLOY);
        burst.has_converged(&DEPLOY, &wanted);
    }
}
