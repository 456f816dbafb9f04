//! The rights that `xcloud plan --policy` prints, tried by somebody who has these and no others. With `AUTH=true` ministack
//! checks each request's action and resource against the policies of whoever has signed it.
//!
//! The user has them as a managed policy: AWS takes 6144 characters of such a one
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>), and 2048 of a user's own.

use std::process::Command;

use serde_json::{Value, json};

use super::Cloud;
use super::app::{App, object};

/// Somebody who deploys.
struct User {
    id: String,
    secret: String,
}

const POLICY: &str = "arn:aws:iam::000000000000:policy/deployer";

impl User {
    /// A user who may nothing, made by the account's owner.
    fn new(app: &App) -> Self {
        app.ask("iam.create_user(UserName='deployer')['User']['Arn']");
        let key = app.ask("iam.create_access_key(UserName='deployer')['AccessKey']");
        let text = |name: &str| key[name].as_str().expect("text").to_owned();
        Self { id: text("AccessKeyId"), secret: text("SecretAccessKey") }
    }

    /// From now on exactly these rights.
    fn may(&self, app: &App, policy: &Value) {
        let text = policy.to_string();
        assert!(text.len() <= 6144, "AWS takes no managed policy of {} characters", text.len());
        app.ask(&format!(
            "attempt(lambda: iam.detach_user_policy(UserName='deployer', PolicyArn={POLICY:?}))"
        ));
        app.ask(&format!("attempt(lambda: iam.delete_policy(PolicyArn={POLICY:?}))"));
        app.ask(&format!(
            "iam.create_policy(PolicyName='deployer', PolicyDocument={text:?})['Policy']['Arn']"
        ));
        app.ask(&format!("iam.attach_user_policy(UserName='deployer', PolicyArn={POLICY:?})"));
    }

    fn command(&self, app: &App, arguments: &[&str]) -> Command {
        let mut command = app.command(arguments);
        command.env("AWS_ACCESS_KEY_ID", &self.id).env("AWS_SECRET_ACCESS_KEY", &self.secret);
        command
    }

    /// The one object on stdout, and the exit code.
    fn object(&self, app: &App, arguments: &[&str]) -> (Value, i32) {
        let output = self.command(app, arguments).args(["-o", "json"]).output().expect("xcloud starts");
        object(&output)
    }

    fn data(&self, app: &App, arguments: &[&str]) -> Value {
        let (object, code) = self.object(app, arguments);
        assert_eq!(code, 0, "{arguments:?}: {object}");
        object["data"].clone()
    }
}

/// What the plan of now asks for.
fn policy(app: &App) -> Value {
    app.data(&["plan", "--policy"])["policy"].clone()
}

/// The policy without one action.
fn without(policy: &Value, action: &str) -> Value {
    let mut less = policy.clone();
    for statement in less["Statement"].as_array_mut().expect("a list") {
        statement["Action"].as_array_mut().expect("a list").retain(|known| known != action);
    }
    less["Statement"].as_array_mut().expect("a list").retain(|s| s["Action"] != json!([]));
    assert_ne!(&less, policy, "{action} is in it");
    less
}

fn start(name: &'static str, functions: &[&str], toml: &str) -> Option<(App, User)> {
    let cloud = Cloud::start_with(&format!("aws-{name}"), &[("AUTH", "true")])?;
    let app = App::on(cloud, name, functions, toml);
    let user = User::new(&app);
    Some((app, user))
}

/// Each kind of trigger, from nothing over an update to nothing.
fn whole_life(app: &App, user: &User, update: &str) {
    user.may(app, &policy(app));
    user.data(app, &["deploy"]);
    app.configure(update);
    user.may(app, &policy(app));
    user.data(app, &["deploy"]);
    assert_eq!(app.data(&["plan"])["plans"][0]["summary"]["update"], 0);
    // The plan of an app without functions is that of its end.
    app.build(&[], |_| ());
    app.configure("");
    user.may(app, &policy(app));
    user.data(app, &["destroy", "--yes"]);
    let left = "[len(lambda_.list_functions()['Functions']), len(iam.list_roles(PathPrefix='/xcloud/')['Roles']), len(logs.describe_log_groups()['logGroups']), len(sqs.list_queues().get('QueueUrls', []))]";
    assert_eq!(app.ask(left), json!([0, 0, 0, 0]));
}

#[test]
fn with_the_printed_rights_http_queues_and_schedules_are_deployed_changed_and_destroyed() {
    let toml = "[functions.http]\npublic = true\n";
    let Some((app, user)) = start("granted", &["http", "record", "sweep"], toml) else { return };
    // Nobody may do anything at first: that it goes on below is the policy's doing.
    let (refused, code) = user.object(&app, &["deploy"]);
    assert_eq!((code, &refused["data"]["code"]), (4, &json!("Forbidden")), "{refused}");
    let update = "[functions.http]\nmemory = \"512MB\"\nenv = { A = \"b\" }\nmax_instances = 3\n[functions.record]\nbatch = 5\nmax_attempts = 7\nmin_instances = 1\n";
    whole_life(&app, &user, update);
}

#[test]
fn with_the_printed_rights_objects_changes_and_topics_are_deployed_changed_and_destroyed() {
    let Some((app, user)) = start("allowed", &["see", "audit", "hear"], "") else { return };
    whole_life(&app, &user, "[functions.see]\ntimeout = \"20s\"\n[functions.audit]\nmax_attempts = 3\n");
}

/// The error says which right was missing, and on what; with it back, the next deployment goes on.
#[test]
fn without_one_right_it_ends_with_that_rights_name() {
    let Some((app, user)) = start("denied", &["record"], "") else { return };
    let all = policy(&app);
    for (action, on) in [
        ("tag:GetResources", "tags"),
        ("sqs:CreateQueue", "denied-dev-recorded"),
        ("iam:PassRole", "denied-dev-record"),
        ("lambda:CreateFunction", "denied-dev-record"),
        ("lambda:PublishVersion", "denied-dev-record"),
        ("lambda:CreateEventSourceMapping", "denied-dev-record"),
    ] {
        user.may(&app, &without(&all, action));
        let (said, code) = user.object(&app, &["deploy"]);
        assert_eq!((code, &said["data"]["code"]), (4, &json!("Forbidden")), "{action}: {said}");
        let text = said["message"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains(action) && text.contains(on), "{action}: {said}");
        assert!(said["data"]["hint"].as_str().is_some_and(|hint| hint.contains("--policy")), "{said}");
    }
    user.may(&app, &all);
    user.data(&app, &["deploy"]);
}
