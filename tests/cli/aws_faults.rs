//! A deployment to AWS that is disturbed at one of its writes, and the one after it: both together come to what an undisturbed
//! one comes to, and what served before serves all the while. Between the command and ministack stands a proxy of ours.
//!
//! 20 points, chosen by a seed; `XCLOUD_FAULT_POINTS=all` tries every one.

pub(crate) mod proxy;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::proxy::{Fault, Proxy};
use crate::aws::Cloud;
use crate::root;

const POINTS: usize = 20;
const SEED: u64 = 7;

/// Everything of the stage, without what differs each time: ids, revisions, times, Lambda's own version numbers (an
/// interrupted publish may have used one up), and the word that a run marks its guarded write with.
pub(crate) const STATE: &str = r#"
[sorted(show([f["FunctionName"], f["CodeSha256"], f["MemorySize"], f["Timeout"], f["Role"], f["Environment"]["Variables"]]) for f in lambda_.list_functions()["Functions"]),
  sorted(show([f["FunctionName"], {k: v[k] for k in ("CodeSha256", "MemorySize", "Timeout", "Environment")}, v["Description"].split(" ")[:2],
    lambda_.get_alias(FunctionName=f["FunctionName"], Name="live").get("RoutingConfig")])
    for f in lambda_.list_functions()["Functions"]
    for v in [lambda_.get_function_configuration(FunctionName=f["FunctionName"], Qualifier="live")]),
  sorted(show([u["AuthType"], u["InvokeMode"]]) for u in lambda_.list_function_url_configs(FunctionName="shop-dev-http")["FunctionUrlConfigs"]),
  sorted(s["Sid"] for s in __import__("json").loads(lambda_.get_policy(FunctionName="shop-dev-http", Qualifier="live")["Policy"])["Statement"]),
  sorted(show([m["FunctionArn"], m["EventSourceArn"], m["BatchSize"], m["State"], m["FunctionResponseTypes"]]) for m in lambda_.list_event_source_mappings()["EventSourceMappings"]),
  sorted(show([u.rsplit("/", 1)[1]] + [sqs.get_queue_attributes(QueueUrl=u, AttributeNames=["All"])["Attributes"].get(k) for k in ("VisibilityTimeout", "RedrivePolicy", "MessageRetentionPeriod")]) for u in sqs.list_queues().get("QueueUrls", [])),
  sorted(show([r["RoleName"], r["AssumeRolePolicyDocument"], iam.get_role_policy(RoleName=r["RoleName"], PolicyName="xcloud")["PolicyDocument"]]) for r in iam.list_roles(PathPrefix="/xcloud/")["Roles"]),
  sorted(show([g["logGroupName"], g.get("retentionInDays")]) for g in logs.describe_log_groups()["logGroups"]),
  sorted(r["ResourceARN"] for r in resourcegroupstaggingapi.get_resources(TagFilters=[{"Key": "xcloud:project"}])["ResourceTagMappingList"]),
]
"#;

/// What is deployed on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// Nothing is there.
    First,
    /// A version serves, and the next has another environment and memory.
    Update,
}

struct Sweep {
    cloud: Cloud,
    /// Everything goes through it, for queues' URLs have the endpoint in them and stand in functions' environments.
    proxy: Proxy,
    next: String,
}

impl Sweep {
    fn start() -> Option<Self> {
        let cloud = Cloud::start("aws-faults")?;
        let text = std::fs::read_to_string(root().join("examples/orders/xcloud.toml")).expect("it is there");
        let next = text.replace("memory = \"256MB\"", "memory = \"512MB\"\nenv = { GREETING = \"hello\" }");
        assert_ne!(text, next);
        let file = cloud.home.join("next.toml");
        std::fs::write(&file, next).expect("a file");
        let proxy = Proxy::start(&cloud.ministack.endpoint());
        Some(Self { next: file.display().to_string(), proxy, cloud })
    }

    fn arguments(&self, scenario: Scenario) -> Vec<String> {
        let mut all = vec!["deploy".to_owned(), "--no-build".to_owned()];
        if scenario == Scenario::Update {
            all.extend(["--config".to_owned(), self.next.clone()]);
        }
        all
    }

    /// As it is before the deployment that is disturbed.
    fn prepare(&self, scenario: Scenario) {
        self.cloud.ministack.reset().expect("ministack forgets");
        if scenario == Scenario::Update {
            self.deploy(Scenario::First);
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cloud.command();
        command.env("AWS_ENDPOINT_URL", self.proxy.address());
        command.args(["-C", "examples/orders", "-p", "aws"]).args(arguments);
        command
    }

    /// `data` of a command that nobody disturbs.
    fn data(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).args(["-o", "json"]).output().expect("xcloud starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str::<Value>(&text).expect("one object")["data"].clone()
    }

    fn deploy(&self, scenario: Scenario) -> Value {
        let arguments = self.arguments(scenario);
        self.data(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn state(&self) -> Value {
        self.cloud.ask(STATE.trim())
    }

    /// Whether a disturbed deployment ended well, and how many writes it made.
    fn disturbed(&self, scenario: Scenario, fault: Option<(usize, Fault)>) -> (bool, usize) {
        let arguments = self.arguments(scenario);
        let mut command = self.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let log = std::fs::File::create(self.cloud.home.join("disturbed.log")).expect("a file");
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        self.proxy.disturb(fault);
        let mut child = command.spawn().expect("xcloud starts");
        let ended = ended(&mut child, &self.proxy);
        let writes = self.proxy.writes();
        self.proxy.disturb(None);
        (ended, writes)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.cloud.home.join("disturbed.log")).unwrap_or_default()
    }
}

/// Waits for the end, or brings it when the proxy says so: `kill -9`.
fn ended(child: &mut Child, proxy: &Proxy) -> bool {
    let end = Instant::now() + Duration::from_secs(240);
    loop {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            return status.success();
        }
        if proxy.wants_death() || Instant::now() > end {
            drop(child.kill());
            drop(child.wait());
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Which points are tried: all, or some by the seed.
fn chosen(all: Vec<(Scenario, usize, Fault)>) -> Vec<(Scenario, usize, Fault)> {
    if std::env::var("XCLOUD_FAULT_POINTS").is_ok_and(|points| points == "all") {
        return all;
    }
    let mut left = all;
    let mut random = SEED;
    let mut some = Vec::new();
    while some.len() < POINTS && !left.is_empty() {
        // Knuth's numbers for a linear congruential generator: any would do.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(random >> 33).unwrap_or(0) % left.len();
        some.push(left.swap_remove(at));
    }
    some
}

#[test]
fn a_deployment_that_is_disturbed_at_any_write_comes_to_the_same_end() {
    let Some(sweep) = Sweep::start() else { return };
    sweep.data(&["build"]);
    let mut all = Vec::new();
    let mut wanted = Vec::new();
    for scenario in [Scenario::First, Scenario::Update] {
        sweep.prepare(scenario);
        sweep.deploy(scenario);
        wanted.push((scenario, sweep.state()));
        sweep.prepare(scenario);
        let (fine, writes) = sweep.disturbed(scenario, None);
        assert!(fine && writes >= 3, "{scenario:?}: {writes} writes: {}", sweep.log());
        all.extend((1..=writes).flat_map(|k| Fault::ALL.map(|fault| (scenario, k, fault))));
    }
    let (possible, points) = (all.len(), chosen(all));
    for (scenario, k, fault) in &points {
        point(&sweep, (*scenario, *k, *fault), &wanted);
    }
    println!("{} of {possible} points tried on ministack, all converged", points.len());
    assert!(points.len() >= POINTS.min(possible));
}

fn point(sweep: &Sweep, (scenario, k, fault): (Scenario, usize, Fault), wanted: &[(Scenario, Value)]) {
    let name = format!("{scenario:?}, write {k}, {fault:?}");
    sweep.prepare(scenario);
    let (fine, _) = sweep.disturbed(scenario, Some((k, fault)));
    // What passes by itself is tried again by the same run.
    assert!(fine != (fault == Fault::Killed), "{name}: {}", sweep.log());
    if scenario == Scenario::Update {
        let answer = sweep.data(&["invoke", "http", "--path", "/nothing-here"]);
        assert_eq!(answer["status"], 404, "{name}: it serves: {answer}");
    }
    sweep.deploy(scenario);
    let wanted = wanted.iter().find(|(of, _)| *of == scenario).map(|(_, state)| state);
    assert_eq!(Some(&sweep.state()), wanted, "{name}: {}", sweep.log());
    // And there is nothing left to do.
    let again = sweep.deploy(scenario);
    assert_eq!(again["deployments"][0]["calls"]["write"], json!(0), "{name}: {again}");
}
