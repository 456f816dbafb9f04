//! What calls functions on AWS, fired for real: the event is made with boto3, ministack hands it to the real binary, and the
//! handler says what it saw.

use serde_json::{Value, json};

use super::app::App;
use crate::fixture::{handled, record_toml};

/// Text of Python for a value: JSON's is the same, but for its words.
fn python(value: &Value) -> String {
    format!("__import__('json').loads({:?})", value.to_string())
}

/// One of five messages fails by itself each time: it alone comes again, and after its attempts it lies in the queue of
/// failures. A time of visibility as AWS asks for would take half a minute for each try; the test shortens it.
#[test]
fn a_poison_message_fails_alone_and_is_put_aside() {
    let Some(app) = App::start("poison", &["record"], "") else { return };
    let record = app.cloud.home.join("record");
    app.configure(&format!("{}max_attempts = 3\n", record_toml(&record)));
    app.data(&["deploy"]);
    let queue = app.resource("recorded");
    let url = format!("sqs.get_queue_url(QueueName={queue:?})['QueueUrl']");
    let redrive =
        app.ask(&format!("sqs.get_queue_attributes(QueueUrl={url}, AttributeNames=['All'])['Attributes']"));
    assert_eq!(redrive["VisibilityTimeout"], "30", "{redrive}");
    app.ask(&format!("sqs.set_queue_attributes(QueueUrl={url}, Attributes={{'VisibilityTimeout': '2'}})"));

    // In one batch, so that the four others share its call: nobody takes them before all five are there.
    let polling = |enabled: &str, state: &str| {
        let mappings = "lambda_.list_event_source_mappings()['EventSourceMappings']";
        app.ask(&format!("[lambda_.update_event_source_mapping(UUID=m['UUID'], Enabled={enabled})['State'] for m in {mappings}]"));
        app.until("the mapping is told", &format!("[m['State'] for m in {mappings}]"), |now| {
            now == &json!([state])
        });
    };
    polling("False", "Disabled");
    let body = |id: &str, action: &str| json!({ "id": id, "action": action }).to_string();
    let entries: Vec<_> = [("a", "ok"), ("b", "ok"), ("poison", "fail"), ("c", "ok"), ("d", "ok")]
        .iter()
        .map(|(id, action)| json!({ "Id": id, "MessageBody": body(id, action) }))
        .collect();
    let sent =
        app.ask(&format!("sqs.send_message_batch(QueueUrl={url}, Entries={})", python(&json!(entries))));
    assert_eq!(sent["Successful"].as_array().map(Vec::len), Some(5), "{sent}");
    polling("True", "Enabled");

    let dead = app.resource("recorded_dead");
    let dead = format!("sqs.get_queue_url(QueueName={dead:?})['QueueUrl']");
    let aside = format!(
        "[m['Body'] for m in sqs.receive_message(QueueUrl={dead}, VisibilityTimeout=0).get('Messages', [])]"
    );
    let aside = app.until("the message is put aside", &aside, |bodies| bodies != &json!([]));
    assert_eq!(aside, json!([body("poison", "fail")]));
    let seen = handled(&record);
    let counts: Vec<_> = seen.iter().map(|(id, n)| (id.as_str(), *n)).collect();
    assert_eq!(counts, [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("poison", 3)]);
    let text = std::fs::read_to_string(&record).expect("it has written");
    let attempts: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("poison ")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    // All five came in one call: the others were not spared by being elsewhere.
    let calls = format!(
        "sum('START RequestId' in e['message'] for e in logs.filter_log_events(logGroupName='/aws/lambda/{}')['events'])",
        app.resource("record")
    );
    assert_eq!(app.ask(&calls), 3);
    let left = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let left = format!("sqs.get_queue_attributes(QueueUrl={url}, AttributeNames={left:?})['Attributes']");
    let left = app.ask(&left);
    assert!(left.as_object().is_some_and(|left| left.values().all(|n| n == "0")), "{left}");
}

/// A key arrives as it is, whatever it is made of: S3 writes it form-encoded in its events.
#[test]
fn an_object_with_an_odd_key_is_seen_under_its_own_name() {
    let Some(app) = App::start("objects", &["see"], "") else { return };
    app.data(&["deploy"]);
    let bucket = app.ask("s3.list_buckets()['Buckets'][0]['Name']");
    let keys = ["a b+c.txt", "ü/日本 100%.txt", "%41%2Fb", "q?x=1&y=2#z", "tab\"quote'"];
    for key in keys {
        let put = format!("s3.put_object(Bucket={bucket}, Key={}, Body=b'twelve bytes')['ETag']", json!(key));
        app.ask(&put);
    }
    let saw = app.saw("see", keys.len());
    let mut seen: Vec<_> = saw.iter().filter_map(|s| s["what"]["key"].as_str()).collect();
    seen.sort_unstable();
    let mut wanted = keys.to_vec();
    wanted.sort_unstable();
    assert_eq!(seen, wanted);
    for one in &saw {
        let what = &one["what"];
        assert_eq!(
            (&what["action"], &what["size"], &what["bucket"]),
            (&json!("created"), &json!(12), &bucket),
            "{one}"
        );
    }
    app.ask(&format!("s3.delete_object(Bucket={bucket}, Key={})", json!(keys[0])));
    let saw = app.saw("see", keys.len() + 1);
    let gone: Vec<_> = saw.iter().filter(|s| s["what"]["action"] == "deleted").collect();
    assert!(gone.len() == 1 && gone[0]["what"]["key"] == keys[0], "{saw:?}");
}

/// Every row's life, with the rows before and after: each change once.
#[test]
fn changes_of_rows_arrive_with_the_rows_before_and_after() {
    let Some(app) = App::start("changes", &["audit"], "") else { return };
    app.data(&["deploy"]);
    let table = app.resource("ledger");
    let row = |action: &str| json!({ "key": { "S": "r 1" }, "id": { "S": "r 1" }, "action": { "S": action }, "n": { "N": "7" } });
    for action in ["ok", "changed"] {
        app.ask(&format!("dynamodb.put_item(TableName={table:?}, Item={})", python(&row(action))));
    }
    app.ask(&format!("dynamodb.delete_item(TableName={table:?}, Key={{'key': {{'S': 'r 1'}}}})"));
    let saw = app.saw("audit", 3);
    let told: Vec<_> = saw
        .iter()
        .map(|s| {
            json!([
                s["what"]["kind"],
                s["what"]["key"],
                s["what"]["old"]["action"],
                s["what"]["new"]["action"]
            ])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["created", "r 1", null, "ok"],
            ["updated", "r 1", "ok", "changed"],
            ["deleted", "r 1", "changed", null]
        ])
    );
}

/// With what its publisher wrote beside it; and another topic's messages do not come.
#[test]
fn a_topics_message_arrives_with_its_attributes() {
    let Some(app) = App::start("topics", &["hear"], "") else { return };
    app.data(&["deploy"]);
    let topic = app.ask("sns.list_topics()['Topics'][0]['TopicArn']");
    let other = app.ask("sns.create_topic(Name='somebody-elses')['TopicArn']");
    let publish = |topic: &Value, id: &str| {
        let message = json!({ "id": id, "action": "ok" }).to_string();
        let colour = "{'colour': {'DataType': 'String', 'StringValue': 'grün'}}";
        app.ask(&format!(
            "sns.publish(TopicArn={topic}, Message={message:?}, MessageAttributes={colour})['MessageId']"
        ))
    };
    publish(&other, "not-ours");
    let id = publish(&topic, "ours");
    let saw = app.saw("hear", 1);
    assert_eq!(saw.len(), 1, "{saw:?}");
    let what = &saw[0]["what"];
    assert_eq!((&what["colour"], &what["item"]["id"]), (&json!("grün"), &json!("ours")), "{what}");
    let id = id.as_str().expect("an id");
    assert!(saw[0]["key"].as_str().is_some_and(|key| key.contains(id)), "{saw:?}");
}

/// ministack fires schedules itself (`services/scheduler.py`, every ten seconds), those that are due since they were made:
/// so this takes a minute.
#[test]
fn a_schedule_fires_its_function() {
    let Some(app) = App::start("ticks", &["sweep"], "") else { return };
    app.build(&["sweep"], |function| function["trigger"]["schedule"] = json!("every minute"));
    app.data(&["deploy"]);
    let schedule = app.ask(&format!("scheduler.get_schedule(Name={:?})", app.resource("sweep")));
    let of = |pointer: &str| schedule.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(
        json!([
            of("/ScheduleExpression"),
            of("/ScheduleExpressionTimezone"),
            of("/State"),
            of("/FlexibleTimeWindow/Mode")
        ]),
        json!(["rate(1 minute)", "UTC", "ENABLED", "OFF"]),
        "{schedule}"
    );
    let target = of("/Target/Arn");
    assert!(target.as_str().is_some_and(|arn| arn.ends_with(":function:ticks-dev-sweep:live")), "{schedule}");
    let saw = app.saw("sweep", 1);
    assert_eq!(
        (&saw[0]["what"]["name"], &saw[0]["type"]),
        (&json!("ticks-dev-sweep"), &json!("com.amazonaws.scheduled"))
    );
    assert!(saw[0]["what"]["due"].as_u64().is_some_and(|due| due > 1_700_000_000), "{saw:?}");
}

/// What Lambda has given up on lies in the function's queue of failures, with the event in it, and is data: it outlives its app.
/// ministack follows what is said of a function as a whole, and of no alias: the test says there what we said of the alias,
/// and hands the event to the whole.
#[test]
fn an_event_that_fails_to_the_end_is_put_aside() {
    let Some(app) = App::start("givenup", &["see"], "[functions.see]\nmax_attempts = 1\n") else { return };
    app.data(&["deploy"]);
    let function = app.resource("see");
    let config =
        format!("lambda_.get_function_event_invoke_config(FunctionName={function:?}, Qualifier='live')");
    let config = app.ask(&config);
    let queue = app.resource("see_failed");
    let target = config["DestinationConfig"]["OnFailure"]["Destination"].as_str().unwrap_or_default();
    assert!(config["MaximumRetryAttempts"] == 0 && target.ends_with(&format!(":{queue}")), "{config}");
    let whole = format!(
        "lambda_.put_function_event_invoke_config(FunctionName={function:?}, MaximumRetryAttempts=0, DestinationConfig={{'OnFailure': {{'Destination': {target:?}}}}})['FunctionArn']"
    );
    app.ask(&whole);

    let bucket = app.ask("s3.list_buckets()['Buckets'][0]['Name']");
    let event = python(&object_created(&bucket, "a/fail")).replace("__import__('json').loads(", "(");
    app.ask(&format!(
        "lambda_.invoke(FunctionName={function:?}, InvocationType='Event', Payload={event})['StatusCode']"
    ));
    let url = format!("sqs.get_queue_url(QueueName={queue:?})['QueueUrl']");
    let aside = format!(
        "[m['Body'] for m in sqs.receive_message(QueueUrl={url}, VisibilityTimeout=0).get('Messages', [])]"
    );
    let aside = app.until("the event is put aside", &aside, |bodies| bodies != &json!([]));
    let told: Value = serde_json::from_str(aside[0].as_str().expect("a body")).expect("JSON");
    let record = &told["requestPayload"]["Records"][0]["s3"];
    assert_eq!((&record["object"]["key"], &record["bucket"]["name"]), (&json!("a/fail"), &bucket), "{told}");

    app.configure("[functions.see]\nmax_attempts = 2\n");
    app.data(&["deploy"]);
    let gone = app.data(&["destroy", "--yes"]);
    let changes = gone["plans"][0]["changes"].as_array().expect("a list");
    let kept: Vec<_> = changes.iter().filter(|c| c["action"] == "kept").map(|c| &c["resource"]).collect();
    assert_eq!(kept, [&json!("failures/see")], "{gone}");
    let gone = app.data(&["destroy", "--yes", "--delete-data"]);
    assert_eq!(gone["plans"][0]["summary"]["delete"], 1, "{gone}");
    assert_eq!(app.ask("sqs.list_queues().get('QueueUrls', [])"), json!([]));
}

/// As S3 writes it (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).
fn object_created(bucket: &Value, key: &str) -> Value {
    let bucket = json!({ "name": bucket, "arn": "arn:aws:s3:::b", "ownerIdentity": { "principalId": "A" } });
    json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1", "eventTime": "2026-11-29T14:00:00.000Z",
        "eventName": "ObjectCreated:Put", "userIdentity": { "principalId": "A" },
        "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "R", "x-amz-id-2": "I" },
        "s3": { "s3SchemaVersion": "1.0", "configurationId": "c", "bucket": bucket,
            "object": { "key": key, "size": 1, "eTag": "e", "sequencer": "0" } },
    }]})
}
