//! Who may call a function: the statements of its resource policy.

use serde_json::Value;

/// One statement that xcloud has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its `Sid`.
    pub(crate) id: String,
    /// The ARN that it is bound to.
    pub(crate) source: Option<String>,
}

impl Statement {
    /// Both that a public URL needs since October 2025
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html>).
    pub(crate) const PUBLIC: [&'static str; 2] = ["xcloud-url", "xcloud-url-invoke"];
    /// Of a bucket.
    pub(crate) const OBJECTS: &'static str = "xcloud-s3";
    /// Of a topic.
    pub(crate) const TOPIC: &'static str = "xcloud-sns";

    /// The statements of a policy; none where it is not one.
    pub(crate) fn all(policy: &str) -> Vec<Self> {
        let policy: Value = serde_json::from_str(policy).unwrap_or_default();
        let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
        statements.iter().filter_map(Self::read).collect()
    }

    fn read(statement: &Value) -> Option<Self> {
        let id = statement["Sid"].as_str()?.to_owned();
        let conditions = statement["Condition"].as_object().into_iter().flatten();
        let of = |(_, condition): (_, &Value)| {
            let keys = condition.as_object()?.iter();
            let source = keys.filter(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn"));
            source.filter_map(|(_, arn)| arn.as_str()).next().map(str::to_owned)
        };
        Some(Self { id, source: conditions.filter_map(of).next() })
    }

    /// What the statement with this id is bound to.
    pub(crate) fn source_of<'a>(statements: &'a [Self], id: &str) -> Option<&'a str> {
        statements.iter().find(|statement| statement.id == id)?.source.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_lambda_writes_it() {
        let policy = r#"{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"xcloud-s3","Effect":"Allow",
            "Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:…",
            "Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012"},
            "ArnLike":{"AWS:SourceArn":"arn:aws:s3:::uploads"}}}]}"#;
        let statements = Statement::all(policy);
        assert_eq!(Statement::source_of(&statements, Statement::OBJECTS), Some("arn:aws:s3:::uploads"));
        assert_eq!(Statement::source_of(&statements, Statement::TOPIC), None);
        assert!(Statement::all("not json").is_empty());
    }
}
