//! One command for this machine and AWS: both are deployed to, and when one cannot be, the other is all the same.

use std::process::Command;

use serde_json::{Value, json};

use crate::aws::Cloud;
use crate::deploy::{good, order};

/// A cloud, and a local host whose apps are taken down with the value.
struct Both(Cloud);

impl Both {
    fn start(name: &str) -> Option<Self> {
        Cloud::start(name).map(Self)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command();
        // Ports that no other test's host takes.
        command.env("XCLOUD_FIRST_PORT", crate::first_port(&self.0.home));
        command.args(["-C", "examples/orders"]).args(arguments);
        command
    }

    /// The exit code and the one object.
    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        said(self.command(arguments))
    }

    /// The same, with an AWS at a port where nothing listens.
    fn without_aws(&self, arguments: &[&str]) -> (i32, Value) {
        let mut command = self.command(arguments);
        command.env("AWS_ENDPOINT_URL", NOBODY);
        said(command)
    }

    /// Both streams, as people see them, and the exit code.
    fn text(&self, arguments: &[&str], aws: Option<&str>) -> (i32, String, String) {
        let mut command = self.command(arguments);
        command.envs(aws.map(|url| ("AWS_ENDPOINT_URL", url)));
        let output = command.output().expect("xcloud starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        // What is said of it does not matter any more.
        drop(self.command(&["-p", "local", "destroy", "--yes", "--delete-data"]).output());
        let pid = std::fs::read_to_string(self.0.home.join("run/host.pid")).unwrap_or_default();
        if !pid.trim().is_empty() {
            drop(Command::new("kill").arg(pid.trim()).status());
        }
        drop(std::fs::remove_dir_all(&self.0.home));
    }
}

/// The discard port: nothing answers there.
const NOBODY: &str = "http://127.0.0.1:9";
const BOTH: [&str; 2] = ["-p", "local,aws"];

fn said(mut command: Command) -> (i32, Value) {
    let output = command.args(["-o", "json"]).output().expect("xcloud starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let object = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{command:?}: {e}: {out}{err}"));
    (output.status.code().unwrap_or(-1), object)
}

fn both(arguments: &[&'static str]) -> Vec<&'static str> {
    [&BOTH[..], arguments].concat()
}

/// The providers of a list, and how many entries each has.
fn whose(list: &Value) -> Value {
    let mut found = serde_json::Map::new();
    for of in list.as_array().expect("a list") {
        let name = of["provider"].as_str().expect("whose it is").to_owned();
        let count = found.get(&name).and_then(Value::as_u64).unwrap_or(0) + 1;
        found.insert(name, json!(count));
    }
    Value::Object(found)
}

#[test]
fn one_command_deploys_to_this_machine_and_to_aws_and_takes_both_down() {
    let Some(this) = Both::start("several") else { return };
    let (code, planned) = this.json(&both(&["plan", "--exit-code"]));
    assert_eq!((code, &planned["success"]), (3, &json!(true)), "{planned}");
    assert_eq!(whose(&planned["data"]["plans"]), json!({ "local": 1, "aws": 1 }), "{planned}");

    let (code, deployed) = this.json(&both(&["deploy", "--no-build"]));
    assert_eq!((code, &deployed["success"]), (0, &json!(true)), "{deployed}");
    let deployments = &deployed["data"]["deployments"];
    assert_eq!(whose(deployments), json!({ "local": 1, "aws": 1 }), "{deployed}");
    assert!(deployed["data"].get("failures").is_none(), "{deployed}");
    let url = deployments[0]["url"].as_str().expect("a URL");
    assert_eq!(order(url, "application/json", &good().to_string()).0, 200);
    assert_eq!(this.0.ask("len(lambda_.list_functions()['Functions'])"), 2);

    let (code, status) = this.json(&both(&["status"]));
    assert_eq!(code, 0, "{status}");
    assert_eq!(whose(&status["data"]["functions"]), json!({ "local": 2, "aws": 2 }), "{status}");
    let (code, versions) = this.json(&both(&["versions"]));
    assert_eq!(
        (code, whose(&versions["data"]["versions"])),
        (0, json!({ "local": 1, "aws": 1 })),
        "{versions}"
    );
    // Of the second time there is nothing to write, anywhere.
    let (code, again) = this.json(&both(&["deploy", "--no-build"]));
    let writes: Vec<_> = (0..2).map(|i| &again["data"]["deployments"][i]["calls"]["write"]).collect();
    assert_eq!((code, writes), (0, vec![&json!(0), &json!(0)]), "{again}");

    told_apart_in_text(&this);

    let (code, refused) = this.json(&both(&["destroy"]));
    assert_eq!((code, &refused["data"]["code"]), (2, &json!("Config")), "no --yes: {refused}");
    assert_eq!(this.0.ask("len(lambda_.list_functions()['Functions'])"), 2, "and nothing was destroyed");
    let (code, gone) = this.json(&both(&["destroy", "--yes", "--delete-data"]));
    assert_eq!((code, whose(&gone["data"]["plans"])), (0, json!({ "local": 1, "aws": 1 })), "{gone}");
    assert_eq!(this.0.ask("len(lambda_.list_functions()['Functions'])"), 0);
    // Both fail, and in the same way: as one alone would.
    let (code, nothing) = this.json(&both(&["status"]));
    assert_eq!((code, &nothing["data"]["functions"]), (1, &json!([])), "{nothing}");
    assert_eq!(whose(&nothing["data"]["failures"]), json!({ "local": 1, "aws": 1 }), "{nothing}");
}

fn told_apart_in_text(this: &Both) {
    let (code, out, err) = this.text(&both(&["deploy", "--no-build"]), None);
    let lines: Vec<_> = out.lines().filter_map(|line| line.split_once('\t')).collect();
    let names: Vec<_> = lines.iter().map(|(name, _)| *name).collect();
    assert_eq!((code, names), (0, vec!["local", "aws"]), "{out}{err}");
    assert!(lines[0].1.starts_with("http://127.0.0.1:") && lines[1].1.starts_with("https://"), "{out}");
    for line in ["shop is deployed to local: ", "shop is deployed to aws: "] {
        assert_eq!(err.matches(line).count(), 1, "{line}: {err}");
    }
    let (_, out, _) = this.text(&both(&["status"]), None);
    let names: Vec<_> = out.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
    assert_eq!(names, ["local", "local", "aws", "aws"], "{out}");
    let (_, out, _) = this.text(&both(&["plan", "--no-build"]), None);
    assert!(out.contains("\nlocal: 0 to create") && out.contains("\naws: 0 to create"), "{out}");
}

#[test]
fn where_one_cannot_be_reached_the_other_is_deployed_to_and_the_exit_is_5() {
    let Some(this) = Both::start("partial") else { return };
    // The one that fails comes first: it does not keep the other from it.
    let (code, said) = this.without_aws(&["-p", "aws,local", "deploy"]);
    assert_eq!((code, &said["success"]), (5, &json!(false)), "{said}");
    let data = &said["data"];
    assert_eq!(whose(&data["deployments"]), json!({ "local": 1 }), "{said}");
    assert_eq!(whose(&data["failures"]), json!({ "aws": 1 }), "{said}");
    let failure = &data["failures"][0];
    assert_eq!((&data["code"], &data["provider"]), (&failure["code"], &json!("aws")), "{said}");
    assert!(failure["hint"].as_str().is_some_and(|hint| hint.contains("endpoint")), "{said}");
    let message = said["message"].as_str().expect("a message");
    assert!(
        message.starts_with("aws failed: ") && message.contains("shop is deployed to local"),
        "{message}"
    );
    let url = data["deployments"][0]["url"].as_str().expect("a URL");
    assert_eq!(order(url, "application/json", &good().to_string()).0, 200, "it serves");
    assert_eq!(this.0.ask("len(lambda_.list_functions()['Functions'])"), 0);

    let (code, out, err) = this.text(&both(&["deploy", "--no-build"]), Some(NOBODY));
    assert_eq!((code, out.as_str()), (5, format!("local\t{url}\n").as_str()), "{err}");
    let last = err.lines().rev().nth(1).unwrap_or_default();
    assert!(
        last.starts_with("error: aws: ")
            && err.trim_end().lines().last().is_some_and(|l| l.starts_with("hint: ")),
        "{err}"
    );

    let (code, status) = this.without_aws(&both(&["status"]));
    assert_eq!((code, whose(&status["data"]["functions"])), (5, json!({ "local": 2 })), "{status}");
    let (code, plan) = this.without_aws(&both(&["plan", "--no-build", "--exit-code"]));
    assert_eq!((code, whose(&plan["data"]["plans"])), (5, json!({ "local": 1 })), "{plan}");
    // What was left undone is made up for.
    let (code, made_up) = this.json(&both(&["deploy", "--no-build"]));
    let writes = |i: usize| made_up["data"]["deployments"][i]["calls"]["write"].as_u64();
    assert_eq!((code, writes(0)), (0, Some(0)), "{made_up}");
    assert!(writes(1).is_some_and(|writes| writes > 0), "{made_up}");

    let (code, gone) = this.without_aws(&both(&["destroy", "--yes", "--delete-data"]));
    assert_eq!((code, whose(&gone["data"]["plans"])), (5, json!({ "local": 1 })), "{gone}");
    assert_eq!(this.json(&["-p", "local", "status"]).0, 1, "it is gone from here");
    assert_eq!(this.json(&["-p", "aws", "status"]).0, 0, "and not from there");
}

#[test]
fn one_that_cannot_be_deployed_to_yet_is_named_and_the_others_go_on() {
    let Some(this) = Both::start("yet") else { return };
    let (code, said) = this.json(&["-p", "gcp,local", "deploy"]);
    assert_eq!((code, whose(&said["data"]["failures"])), (5, json!({ "gcp": 1 })), "{said}");
    assert_eq!(whose(&said["data"]["deployments"]), json!({ "local": 1 }), "{said}");
    // Nobody is left: nothing is built.
    let (code, said) = this.json(&["-p", "gcp,azure", "deploy"]);
    let message = said["message"].as_str().expect("a message");
    assert!(code == 2 && message.contains("gcp yet") && message.contains("azure yet"), "{said}");
    let (code, said) = this.json(&both(&["plan", "--no-build", "--policy"]));
    assert!(code == 2 && said["message"].as_str().is_some_and(|m| m.contains("one provider")), "{said}");
}
