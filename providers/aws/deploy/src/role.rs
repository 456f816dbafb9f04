//! Who may do what: a function's role says exactly what the function needs. Pure.

use serde_json::{Value, json};
use xcloud_core::spec::{FunctionSpec, TriggerSpec};

use crate::names::Names;
use crate::wanted::is_async;

/// Who may take a role on.
pub(crate) fn trust(service: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": service },
            "Action": "sts:AssumeRole",
        }],
    })
}

fn allow(actions: &[&str], resources: &[String]) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

fn document(statements: Vec<Value>) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// What a function may do: write its log, take what calls it, send where it sends, use its tables.
pub(crate) fn policy(names: &Names, function: &FunctionSpec) -> Value {
    let group = names.log_group(&names.function(&function.name));
    // The group is made before the function, which so need not be allowed to make one.
    let streams = format!("{}:*", names.log_group_arn(&group));
    let mut statements = vec![allow(&["logs:CreateLogStream", "logs:PutLogEvents"], &[streams])];
    let queue = |name: &String| names.queue_arn(&names.queue(name));
    let table = |name: &String| names.table_arn(&names.table(name));
    match &function.trigger {
        TriggerSpec::Queue { queue: name, .. } => {
            // <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
            let actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
            statements.push(allow(&actions, &[queue(name)]));
        }
        TriggerSpec::Change { table: name } => {
            // <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>
            let actions = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"];
            statements.push(allow(&actions, &[format!("{}/stream/*", table(name))]));
            statements.push(allow(&["dynamodb:ListStreams"], &["*".to_owned()]));
        }
        TriggerSpec::Object { bucket, .. } => {
            let objects = format!("{}/*", names.bucket_arn(&names.bucket(bucket)));
            statements.push(allow(&["s3:GetObject"], &[objects]));
        }
        _ => {}
    }
    if is_async(&function.trigger) {
        let failures = names.queue_arn(&names.failures(&function.name));
        statements.push(allow(&["sqs:SendMessage"], &[failures]));
    }
    if !function.sends.is_empty() {
        statements.push(allow(&["sqs:SendMessage"], &function.sends.iter().map(queue).collect::<Vec<_>>()));
    }
    if !function.tables.is_empty() {
        let actions = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Scan"];
        statements.push(allow(&actions, &function.tables.iter().map(table).collect::<Vec<_>>()));
    }
    document(statements)
}

/// What a schedule's role may do: call its function.
pub(crate) fn schedule_policy(names: &Names, function: &str) -> Value {
    let alias = names.alias_arn(&names.function(function));
    document(vec![allow(&["lambda:InvokeFunction"], &[alias])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::for_tests;
    use xcloud_core::spec::Settings;

    #[test]
    fn a_function_may_do_what_it_needs_and_nothing_else() {
        let trigger = TriggerSpec::Queue { queue: "placed".to_owned(), batch: None };
        let function = FunctionSpec {
            name: "fulfil".to_owned(),
            trigger,
            sends: vec!["shipped".to_owned()],
            tables: Vec::new(),
            settings: Settings::default(),
        };
        let policy = policy(&for_tests(), &function);
        let actions: Vec<_> = policy["Statement"].as_array().unwrap().iter().map(|s| &s["Action"]).collect();
        assert_eq!(
            actions,
            [
                &json!(["logs:CreateLogStream", "logs:PutLogEvents"]),
                &json!(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]),
                &json!(["sqs:SendMessage"]),
            ]
        );
        assert_eq!(
            policy["Statement"][2]["Resource"],
            json!(["arn:aws:sqs:eu-west-1:123456789012:shop-dev-shipped"])
        );
        assert!(!policy.to_string().contains("\"*\""));
    }
}
