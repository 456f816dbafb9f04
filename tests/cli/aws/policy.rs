//! The rights that `xcloud plan --policy` prints, tried by somebody who has these and no others. With `AUTH=true` ministack
//! checks each request's action and resource against the policies of whoever has signed it.
//!
//! The user has them as a managed policy: AWS takes 6144 characters of such a one
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>), and 2048 of a user's own.

use std::process::Command;

use serde_json::{Value, json};
use xcloud_tests::tools;

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
        let length = policy.to_string().len();
        assert!(length <= 6144, "AWS takes no managed policy of {length} characters");
        let text = as_ministack_asks(policy).to_string();
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

/// What ministack checks under another name than AWS (`core/iam_actions.py`, `_lambda_action`): it goes by a part of the
/// path.
const NAMED: [(&str, &str); 6] = [
    ("lambda:GetAlias", "lambda:ListAliases"),
    ("lambda:UpdateAlias", "lambda:ListAliases"),
    ("lambda:PutProvisionedConcurrencyConfig", "lambda:UpdateFunctionCode"),
    ("lambda:DeleteProvisionedConcurrencyConfig", "lambda:DeleteFunction"),
    ("lambda:UpdateFunctionUrlConfig", "lambda:CreateFunctionUrlConfig"),
    ("lambda:DeleteFunctionUrlConfig", "lambda:CreateFunctionUrlConfig"),
];
/// What it checks on `*`, for it does not find the resource in the request; AWS does.
const ANYWHERE: [&str; 2] = ["lambda:CreateFunction", "sns:ListTagsForResource"];

/// The same rights in ministack's words: nothing is in it that the policy does not have. It knows roles without their paths.
fn as_ministack_asks(policy: &Value) -> Value {
    let statements = policy["Statement"].as_array().expect("a list");
    let mut all = statements.clone();
    for statement in statements {
        let list = |key: &str| statement[key].as_array().expect("a list").iter().filter_map(Value::as_str);
        let named = list("Action").filter_map(|action| NAMED.iter().find(|(aws, _)| *aws == action));
        let named: Vec<_> = named.map(|(_, here)| *here).collect();
        let functions: Vec<_> = list("Resource").map(|arn| arn.trim_end_matches(":live")).collect();
        let anywhere: Vec<_> = list("Action").filter(|action| ANYWHERE.contains(action)).collect();
        let roles = list("Resource").filter_map(|arn| arn.split_once(":role/"));
        let roles =
            roles.map(|(start, path)| format!("{start}:role/{}", path.rsplit('/').next().unwrap_or(path)));
        let roles: Vec<_> = roles.collect();
        let allow = |actions: Value, resources: Value| json!({ "Effect": "Allow", "Action": actions, "Resource": resources });
        all.extend((!named.is_empty()).then(|| allow(json!(named), json!(functions))));
        all.extend((!anywhere.is_empty()).then(|| allow(json!(anywhere), json!(["*"]))));
        all.extend((!roles.is_empty()).then(|| allow(statement["Action"].clone(), json!(roles))));
    }
    json!({ "Version": policy["Version"], "Statement": all })
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
    user.may(app, &app.data(&["plan", "--destroy", "--policy"])["policy"]);
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

/// The error says which right was missing, and on what; with it back, the next deployment goes on. For `iam:PassRole` ministack
/// does not ask.
#[test]
fn without_one_right_it_ends_with_that_rights_name() {
    let Some((app, user)) = start("denied", &["record"], "") else { return };
    let all = policy(&app);
    for (action, on) in [
        ("tag:GetResources", "tags"),
        ("sqs:CreateQueue", "denied-dev-recorded"),
        ("iam:PutRolePolicy", "denied-dev-record"),
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
        // What was made before is gone again, so that the next try needs every right.
        app.data(&["destroy", "--yes", "--delete-data"]);
    }
    user.may(&app, &all);
    user.data(&app, &["deploy"]);
}

/// What is wrong with a policy, by the Service Authorization Reference as policy_sentry has it: an action that there is not,
/// and one that is granted on nothing that it can be granted on.
const COMPLAINTS: &str = r#"
import json, re, sys
from policy_sentry.querying.actions import get_action_data
def fits(form, arn):
    parts = re.split(r"\$\{[^}]*\}", form)
    # Names of roles and log groups may have slashes; otherwise a part is one word.
    word = "[^ :]*" if "WithPath" in form or "LogGroupName" in form else "[^:/]*"
    return arn == "*" or re.fullmatch(word.join(re.escape(part) for part in parts), arn) is not None
def wrong(policy):
    on = {}
    for statement in policy["Statement"]:
        for action in statement["Action"]:
            on.setdefault(action, set()).update(statement["Resource"])
    for action, arns in on.items():
        known = get_action_data(*action.split(":"))
        if not known:
            yield action, "there is no such action"
            continue
        forms = {row["resource_arn_format"] for rows in known.values() for row in rows}
        # A row for condition keys alone has no form of its own.
        forms = forms - {"*"} or {"*"}
        if not any(fits(form, arn) for form in forms for arn in arns):
            yield action, f"on {min(arns)}, not {' or '.join(sorted(forms))}"
policies = json.load(sys.stdin)
actions = {action for policy in policies for s in policy["Statement"] for action in s["Action"]}
print(json.dumps({"actions": len(actions), "complaints": dict(c for policy in policies for c in wrong(policy))}))
"#;

#[test]
fn the_printed_rights_are_such_as_aws_knows() {
    let all = ["http", "record", "see", "sweep", "audit", "hear"];
    let toml = "[functions.http]\npublic = true\nmin_instances = 1\nmax_instances = 2\n";
    let Some(app) = App::start("reference", &all, toml) else { return };
    let programs = match tools::python("policy-sentry", "0.15.2", &[]) {
        Ok(programs) => programs,
        Err(why) => return tools::skip(&why).unwrap_or_else(|why| panic!("{why}")),
    };
    let mut policies = vec![policy(&app)];
    app.data(&["deploy"]);
    app.configure("[functions.http]\nmemory = \"512MB\"\n[functions.record]\nbatch = 5\n[functions.audit]\nmax_attempts = 3\n");
    policies.push(policy(&app));
    app.build(&[], |_| ());
    app.configure("");
    policies.push(policy(&app));
    let said = tools::script(&programs, COMPLAINTS, &json!(policies)).unwrap_or_else(|why| panic!("{why}"));
    assert!(said["actions"].as_u64().is_some_and(|n| n > 50), "{said}");
    assert_eq!(said["complaints"], json!({}), "{said:#}");
}

/// A queue that nobody takes from has no queue of failures; it is looked for all the same.
#[test]
fn a_queue_without_a_consumer_can_be_deployed_with_the_printed_rights() {
    let Some((app, user)) = start("sends", &["http"], "") else { return };
    let printed = policy(&app).to_string();
    assert!(printed.contains("sends-dev-outbox_dead"), "it is read when the plan is made: {printed}");
    user.may(&app, &policy(&app));
    user.data(&app, &["deploy"]);
}
