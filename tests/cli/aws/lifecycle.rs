//! What becomes of an app's things over several deployments, and when it goes.

use serde_json::{Value, json};

use super::app::App;

/// Everything that calls functions: mappings' sources, schedules, subscriptions, buckets' notifications, URLs, and the
/// resource policy of the function `record`'s alias.
const CALLERS: &str = "[sorted(m['EventSourceArn'].split(':', 5)[5].split('/stream/')[0] for m in lambda_.list_event_source_mappings()['EventSourceMappings']), \
    sorted(s['Name'] for s in scheduler.list_schedules()['Schedules']), \
    sorted(s['TopicArn'].rsplit(':', 1)[1] for s in sns.list_subscriptions()['Subscriptions']), \
    sorted(c['Id'] for b in s3.list_buckets()['Buckets'] for c in s3.get_bucket_notification_configuration(Bucket=b['Name']).get('LambdaFunctionConfigurations', []))]";
/// How many messages a queue has, in any state.
const COUNTS: &str = "['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible']";
/// Functions, roles, log groups.
const OWN: &str = "[sorted(f['FunctionName'] for f in lambda_.list_functions()['Functions']), \
    sorted(r['RoleName'] for r in iam.list_roles(PathPrefix='/xcloud/')['Roles']), \
    sorted(g['logGroupName'].rsplit('/', 1)[1] for g in logs.describe_log_groups()['logGroups'])]";
/// Queues, buckets, tables, topics.
const DATA: &str = "[sorted(u.rsplit('/', 1)[1] for u in sqs.list_queues().get('QueueUrls', [])), \
    sorted(b['Name'].rsplit('-', 4)[0] for b in s3.list_buckets()['Buckets']), \
    sorted(dynamodb.list_tables()['TableNames']), \
    sorted(t['TopicArn'].rsplit(':', 1)[1] for t in sns.list_topics()['Topics'])]";

/// Lambda's own numbers of a function's versions.
fn numbers(app: &App, function: &str) -> Value {
    let function = app.resource(function);
    app.ask(&format!(
        "sorted(int(v['Version']) for v in lambda_.list_versions_by_function(FunctionName={function:?})['Versions'] if v['Version'] != '$LATEST')"
    ))
}

/// The alias's version.
fn serving(app: &App, function: &str) -> Value {
    app.ask(&format!(
        "int(lambda_.get_alias(FunctionName={:?}, Name='live')['FunctionVersion'])",
        app.resource(function)
    ))
}

fn count(plan: &Value, what: &str) -> u64 {
    plan["plans"][0]["summary"][what].as_u64().unwrap_or_else(|| panic!("{what}: {plan}"))
}

/// A deployment after which the next would write nothing.
fn deployed(app: &App) {
    app.data(&["deploy"]);
    let again = app.data(&["plan"]);
    assert_eq!(["create", "update", "delete"].map(|what| count(&again, what)), [0, 0, 0], "{again}");
}

#[test]
fn old_versions_go_and_one_with_traffic_stays() {
    let Some(app) = App::start("pruned", &["anything"], "") else { return };
    let version = |n: u32, arguments: &[&str]| {
        app.configure(&format!("keep_versions = 2\n[functions.anything]\nenv = {{ N = \"{n}\" }}\n"));
        app.data(&[&["deploy"], arguments].concat());
    };
    for n in 1..=4 {
        version(n, &[]);
    }
    assert_eq!((numbers(&app, "anything"), serving(&app, "anything")), (json!([3, 4]), json!(4)));
    for n in 5..=7 {
        version(n, &["--no-traffic"]);
    }
    assert_eq!((numbers(&app, "anything"), serving(&app, "anything")), (json!([4, 6, 7]), json!(4)));
    let listed = app.data(&["versions"]);
    let listed = listed["versions"].as_array().expect("a list");
    assert_eq!(listed.len(), 3, "{listed:?}");
    // What was kept can be gone to, and back.
    app.data(&["traffic", "--promote", "v7"]);
    assert_eq!(serving(&app, "anything"), 7);
    app.data(&["rollback"]);
    assert_ne!(serving(&app, "anything"), 7);
    assert_eq!(app.data(&["invoke", "anything", "-d", "{}"])["body"], json!({ "got": {} }));
}

/// Handlers of every kind go, and one stays.
#[test]
fn a_handler_that_is_removed_takes_with_it_what_was_its_own() {
    let all = ["anything", "see", "hear", "sweep", "audit", "record"];
    let Some(app) = App::start("fewer", &all, "") else { return };
    app.data(&["deploy"]);
    let named = |names: &[&str]| json!(names.iter().map(|n| app.resource(n)).collect::<Vec<_>>());
    let before = app.ask(OWN);
    assert_eq!(
        (before[0].as_array().map(Vec::len), before[1].as_array().map(Vec::len)),
        (Some(6), Some(7)),
        "{before}"
    );
    let sources = [app.resource("recorded"), format!("table/{}", app.resource("ledger"))];
    let callers = json!([sources, named(&["sweep"]), named(&["news"]), named(&["see"])]);
    assert_eq!(app.ask(CALLERS), callers);

    app.build(&["anything"], |_| ());
    let plan = app.data(&["plan"]);
    assert_eq!((count(&plan, "create"), count(&plan, "kept")), (0, 0), "{plan}");
    deployed(&app);
    assert_eq!(app.ask(OWN), json!([named(&["anything"]), named(&["anything"]), named(&["anything"])]));
    assert_eq!((app.ask(CALLERS), app.ask(DATA)), (json!([[], [], [], []]), json!([[], [], [], []])));
    assert_eq!(app.data(&["invoke", "anything", "-d", "{}"])["body"], json!({ "got": {} }));
}

/// One function is called by one thing after the other: the last is there, and nothing of those before it.
#[test]
fn a_trigger_that_becomes_another_is_followed() {
    let Some(app) = App::start("swapped", &["record"], "") else { return };
    let record = app.cloud.home.join("record");
    app.configure(&crate::fixture::record_toml(&record));
    let become_ = |trigger: Value| {
        app.build(&["record"], |function| function["trigger"] = trigger.clone());
        deployed(&app);
        app.ask(CALLERS)
    };
    let name = |name: &str| app.resource(name);
    let queue = |name: &str| json!({ "kind": "queue", "queue": name, "batch": 20 });
    assert_eq!(become_(queue("recorded")), json!([[name("recorded")], [], [], []]));
    assert_eq!(become_(queue("second")), json!([[name("second")], [], [], []]));
    let url = format!("sqs.get_queue_url(QueueName={:?})['QueueUrl']", name("second"));
    let body = json!({ "id": "by-the-second", "action": "ok" }).to_string();
    app.ask(&format!("sqs.send_message(QueueUrl={url}, MessageBody={body:?})['MessageId']"));
    let left = format!(
        "sum(int(n) for n in sqs.get_queue_attributes(QueueUrl={url}, AttributeNames={COUNTS})['Attributes'].values())"
    );
    app.until("the second queue calls it", &left, |left| left == 0);
    assert_eq!(
        crate::fixture::handled(&record).into_iter().collect::<Vec<_>>(),
        [("by-the-second".to_owned(), 1)]
    );

    let topic = |topic: &str| json!({ "kind": "topic", "topic": topic });
    assert_eq!(become_(topic("news")), json!([[], [], [name("news")], []]));
    assert_eq!(become_(topic("olds")), json!([[], [], [name("olds")], []]));
    let schedule = |schedule: &str| json!({ "kind": "schedule", "schedule": schedule });
    assert_eq!(become_(schedule("every 5 minutes")), json!([[], [name("record")], [], []]));
    assert_eq!(become_(schedule("every hour")), json!([[], [name("record")], [], []]));
    let rate = format!("scheduler.get_schedule(Name={:?})['ScheduleExpression']", name("record"));
    assert_eq!(app.ask(&rate), "rate(1 hour)");
    let object = |bucket: &str| json!({ "kind": "object", "bucket": bucket, "on": "created" });
    assert_eq!(become_(object("uploads")), json!([[], [], [], [name("record")]]));
    assert_eq!(become_(object("inbox")), json!([[], [], [], [name("record")]]));
    assert_eq!(
        become_(json!({ "kind": "change", "table": "ledger" })),
        json!([[format!("table/{}", name("ledger"))], [], [], []])
    );
    assert_eq!(become_(json!({ "kind": "raw" })), json!([[], [], [], []]));
    assert_eq!((app.ask(OWN)[1].clone(), app.ask(DATA)), (json!([name("record")]), json!([[], [], [], []])));
}

/// The ARNs that the alias's resource policy lets call it. ministack itself asks for no such right; AWS does.
fn callers(app: &App) -> Value {
    let name = app.resource("record");
    app.ask(&format!(
        "attempt(lambda: [s['Condition']['ArnLike']['AWS:SourceArn'] for s in __import__('json').loads(lambda_.get_policy(FunctionName={name:?}, Qualifier='live')['Policy'])['Statement']])"
    ))
}

/// The right to call goes with the trigger: without it AWS delivers nothing.
#[test]
fn the_right_to_call_follows_the_topic() {
    let Some(app) = App::start("rights", &["record"], "") else { return };
    let become_ = |trigger: Value| {
        app.build(&["record"], |function| function["trigger"] = trigger.clone());
        deployed(&app);
        callers(&app)
    };
    let topic = |topic: &str| json!({ "kind": "topic", "topic": topic });
    let arn = |topic: &str| format!("arn:aws:sns:eu-west-1:000000000000:{}", app.resource(topic));
    assert_eq!(become_(topic("news")), json!([arn("news")]));
    assert_eq!(become_(topic("olds")), json!([arn("olds")]));
    assert_eq!(become_(json!({ "kind": "raw" })), "ResourceNotFoundException");
}

/// The bucket that was watched holds an object: so it stays, and calls nobody.
#[test]
fn the_right_to_call_follows_the_bucket_and_the_old_one_calls_no_more() {
    let Some(app) = App::start("watched", &["record"], "") else { return };
    let become_ = |bucket: &str| {
        let trigger = json!({ "kind": "object", "bucket": bucket, "on": "created" });
        app.build(&["record"], |function| function["trigger"] = trigger.clone());
        deployed(&app);
    };
    become_("uploads");
    let bucket = |name: &str| format!("{}-000000000000-eu-west-1", app.resource(name));
    app.ask(&format!("s3.put_object(Bucket={:?}, Key='k', Body=b'1')['ETag']", bucket("uploads")));
    become_("inbox");
    let watched = "sorted(b['Name'] for b in s3.list_buckets()['Buckets'] if s3.get_bucket_notification_configuration(Bucket=b['Name']).get('LambdaFunctionConfigurations'))";
    let wanted = (json!([format!("arn:aws:s3:::{}", bucket("inbox"))]), json!([bucket("inbox")]));
    assert_eq!((callers(&app), app.ask(watched)), wanted);
}

/// How many of the alias's instances are kept warm.
fn warm(app: &App) -> Value {
    let name = app.resource("anything");
    app.ask(&format!(
        "attempt(lambda: lambda_.get_provisioned_concurrency_config(FunctionName={name:?}, Qualifier='live')['RequestedProvisionedConcurrentExecutions'])"
    ))
}

fn most(app: &App) -> Value {
    let name = app.resource("anything");
    app.ask(&format!(
        "lambda_.get_function_concurrency(FunctionName={name:?}).get('ReservedConcurrentExecutions')"
    ))
}

#[test]
fn the_least_instances_are_kept_warm_and_no_longer_when_that_is_unset() {
    let Some(app) = App::start("warm", &["anything"], "[functions.anything]\nmin_instances = 2\n") else {
        return;
    };
    deployed(&app);
    assert_eq!(warm(&app), 2);
    app.configure("[functions.anything]\nmin_instances = 1\n");
    deployed(&app);
    assert_eq!(warm(&app), 1);
    app.configure("");
    deployed(&app);
    assert_eq!(warm(&app), "ProvisionedConcurrencyConfigNotFoundException");
}

#[test]
fn the_most_instances_are_reserved_and_no_longer_when_that_is_unset() {
    let Some(app) = App::start("most", &["anything"], "[functions.anything]\nmax_instances = 3\n") else {
        return;
    };
    deployed(&app);
    assert_eq!(most(&app), 3);
    app.configure("[functions.anything]\nmax_instances = 5\n");
    deployed(&app);
    assert_eq!(most(&app), 5);
    app.configure("");
    deployed(&app);
    assert_eq!(most(&app), Value::Null);
}

/// Objects, old versions of them too, and rows stay until somebody says that they may go.
#[test]
fn what_holds_data_outlives_its_app() {
    let Some(app) = App::start("kept", &["see", "audit"], "") else { return };
    app.data(&["deploy"]);
    let bucket = app.ask("s3.list_buckets()['Buckets'][0]['Name']");
    app.ask(&format!(
        "s3.put_bucket_versioning(Bucket={bucket}, VersioningConfiguration={{'Status': 'Enabled'}})"
    ));
    for key in ["once", "twice", "twice", "gone"] {
        app.ask(&format!("s3.put_object(Bucket={bucket}, Key={key:?}, Body=b'1')['ETag']"));
    }
    app.ask(&format!("s3.delete_object(Bucket={bucket}, Key='gone')"));
    let table = app.resource("ledger");
    app.ask(&format!("dynamodb.put_item(TableName={table:?}, Item={{'key': {{'S': 'r'}}, 'id': {{'S': 'r'}}, 'action': {{'S': 'ok'}}}})"));
    let there = format!(
        "[[o['Key'] for o in s3.list_objects_v2(Bucket={bucket})['Contents']], dynamodb.scan(TableName={table:?})['Count']]"
    );
    let data = json!([["once", "twice"], 1]);

    let destroyed = app.data(&["destroy", "--yes"]);
    assert_eq!(count(&destroyed, "kept"), 2, "{destroyed}");
    assert_eq!((app.ask(OWN), app.ask(&there)), (json!([[], [], []]), data.clone()));
    // An app that comes back finds them.
    deployed(&app);
    assert_eq!(app.ask(&there), data);
    // So does one whose handlers went: they stay, also beside a deployment that may delete nothing.
    app.build(&["anything"], |_| ());
    let plan = app.data(&["plan"]);
    assert_eq!(count(&plan, "kept"), 2, "{plan}");
    app.data(&["deploy"]);
    assert_eq!(app.ask(&there), data);
    let gone = app.data(&["destroy", "--yes", "--delete-data"]);
    assert_eq!(count(&gone, "kept"), 0, "{gone}");
    assert_eq!((app.ask(OWN), app.ask(DATA)), (json!([[], [], []]), json!([[], [], [], []])));
}
