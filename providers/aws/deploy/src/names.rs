//! What things are called, and where they are: the same each time, so that nothing has to be remembered.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use xcloud_deploy::Stage;

/// The tag that every resource has: the project.
pub(crate) const PROJECT_TAG: &str = "xcloud:project";
/// And the stage.
pub(crate) const STAGE_TAG: &str = "xcloud:stage";
/// The alias that traffic goes to.
pub(crate) const ALIAS: &str = "live";
/// The inline policy of a function's role.
pub(crate) const POLICY: &str = "xcloud";

/// The longest name of a function, a role and a schedule.
const LONGEST: usize = 64;
/// Of a queue.
const LONGEST_QUEUE: usize = 80;
/// Of a bucket.
const LONGEST_BUCKET: usize = 63;
/// Of a table and a topic.
const LONGEST_DATA: usize = 255;

/// An account and a region, and whose resources there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) stage: Stage,
    pub(crate) account: String,
    pub(crate) region: String,
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub(crate) partition: String,
    /// Another address of SQS, whose queues have it in their URLs.
    pub(crate) queues_at: Option<String>,
    /// What somebody else has made, by resource: its name or ARN.
    pub(crate) existing: BTreeMap<String, String>,
}

impl Names {
    /// What the stage's names begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("{}-{}-", self.stage.project, self.stage.stage)
    }

    /// The name of a thing that somebody else has made.
    fn taken(&self, kind: &str, name: &str) -> Option<String> {
        let given = self.existing.get(&format!("{kind}/{name}"))?;
        // The last part of an ARN, or of a queue's URL.
        given.rsplit([':', '/']).next().map(str::to_owned)
    }

    /// The ARN of a thing that somebody else has made, perhaps in another account.
    fn taken_arn(&self, kind: &str, resource: &str) -> Option<String> {
        let named =
            |given: &&String| given.starts_with("arn:") && given.rsplit([':', '/']).next() == Some(resource);
        let all =
            self.existing.iter().filter(|(id, _)| id.split('/').next() == Some(kind)).map(|(_, given)| given);
        all.into_iter().find(named).cloned()
    }

    fn named(&self, name: &str, longest: usize) -> String {
        shorten(format!("{}{name}", self.prefix()), longest)
    }

    pub(crate) fn function(&self, name: &str) -> String {
        self.named(name, LONGEST)
    }

    /// The function's own name of a resource, where it is a plain one.
    pub(crate) fn logical<'a>(&self, resource: &'a str) -> Option<&'a str> {
        resource.strip_prefix(&self.prefix()).filter(|name| !name.is_empty())
    }

    pub(crate) fn schedule_role(&self, name: &str) -> String {
        self.named(&format!("{name}.schedule"), LONGEST)
    }

    pub(crate) fn queue(&self, name: &str) -> String {
        if let Some(name) = self.taken("queue", name) {
            return name;
        }
        self.named(name, LONGEST_QUEUE)
    }

    pub(crate) fn dead_letters(&self, name: &str) -> String {
        self.named(&format!("{name}_dead"), LONGEST_QUEUE)
    }

    /// The queue for the events that Lambda has given up on.
    pub(crate) fn failures(&self, function: &str) -> String {
        self.named(&format!("{function}{FAILURES}"), LONGEST_QUEUE)
    }

    pub(crate) fn table(&self, name: &str) -> String {
        if let Some(name) = self.taken("table", name) {
            return name;
        }
        self.named(name, LONGEST_DATA)
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        if let Some(name) = self.taken("topic", name) {
            return name;
        }
        self.named(name, LONGEST_DATA)
    }

    /// Buckets' names are everyone's: the account and region make one that nobody else has.
    pub(crate) fn bucket(&self, name: &str) -> String {
        if let Some(name) = self.taken("bucket", name) {
            return name;
        }
        shorten(format!("{}{name}-{}-{}", self.prefix(), self.account, self.region), LONGEST_BUCKET)
    }

    /// The path of the stage's roles, which proves whose they are.
    pub(crate) fn role_path(&self) -> String {
        format!("/xcloud/{}/{}/", self.stage.project, self.stage.stage)
    }

    pub(crate) fn log_group(&self, function: &str) -> String {
        format!("/aws/lambda/{function}")
    }

    fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{rest}", self.partition, self.region, self.account)
    }

    pub(crate) fn role_arn(&self, role: &str) -> String {
        format!("arn:{}:iam::{}:role{}{role}", self.partition, self.account, self.role_path())
    }

    /// A role of this name that is under no path.
    pub(crate) fn plain_role_arn(&self, role: &str) -> String {
        format!("arn:{}:iam::{}:role/{role}", self.partition, self.account)
    }

    pub(crate) fn function_arn(&self, function: &str) -> String {
        self.arn("lambda", &format!("function:{function}"))
    }

    pub(crate) fn alias_arn(&self, function: &str) -> String {
        self.arn("lambda", &format!("function:{function}:{ALIAS}"))
    }

    pub(crate) fn queue_arn(&self, queue: &str) -> String {
        self.taken_arn("queue", queue).unwrap_or_else(|| self.arn("sqs", queue))
    }

    pub(crate) fn table_arn(&self, table: &str) -> String {
        self.taken_arn("table", table).unwrap_or_else(|| self.arn("dynamodb", &format!("table/{table}")))
    }

    pub(crate) fn topic_arn(&self, topic: &str) -> String {
        self.taken_arn("topic", topic).unwrap_or_else(|| self.arn("sns", topic))
    }

    pub(crate) fn log_group_arn(&self, group: &str) -> String {
        self.arn("logs", &format!("log-group:{group}"))
    }

    pub(crate) fn schedule_arn(&self, schedule: &str) -> String {
        self.arn("scheduler", &format!("schedule/default/{schedule}"))
    }

    pub(crate) fn bucket_arn(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition)
    }

    /// <https://docs.aws.amazon.com/general/latest/gr/sqs-service.html>
    pub(crate) fn queue_url(&self, queue: &str) -> String {
        let suffix = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let given = self.taken_arn("queue", queue);
        // arn:aws:sqs:<region>:<account>:<name>
        let part = |n: usize| given.as_ref().and_then(|arn| arn.split(':').nth(n));
        let (region, account) = (part(3).unwrap_or(&self.region), part(4).unwrap_or(&self.account));
        let host = self.queues_at.clone().unwrap_or_else(|| format!("https://sqs.{region}.{suffix}"));
        format!("{}/{account}/{queue}", host.trim_end_matches('/'))
    }

    /// What stands in the description of a thing that bears no tags.
    pub(crate) fn marker(&self) -> String {
        format!("xcloud/{}/{}", self.stage.project, self.stage.stage)
    }
}

/// What the name of a function's queue of failures ends in.
pub(crate) const FAILURES: &str = "_failed";

/// A name that is too long ends in a hash of the whole instead: two long ones stay two.
fn shorten(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    let hash = Sha256::digest(name.as_bytes());
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let head: String = name.chars().take(longest - hash.len() - 1).collect();
    format!("{}-{hash}", head.trim_end_matches('-'))
}

#[cfg(test)]
pub(crate) fn for_tests() -> Names {
    Names {
        stage: Stage { project: "shop".to_owned(), stage: "dev".to_owned() },
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        partition: "aws".to_owned(),
        queues_at: None,
        existing: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_stages_and_fit() {
        let names = for_tests();
        assert_eq!(names.function("http"), "shop-dev-http");
        assert_eq!(names.logical("shop-dev-fulfil"), Some("fulfil"));
        assert_eq!(
            names.queue_url(&names.queue("placed")),
            "https://sqs.eu-west-1.amazonaws.com/123456789012/shop-dev-placed"
        );
        assert_eq!(names.bucket("uploads"), "shop-dev-uploads-123456789012-eu-west-1");
        let long = names.function(&"x".repeat(80));
        assert!(long.len() == 64 && long != names.function(&"x".repeat(81)), "{long}");
        assert_eq!(
            names.role_arn("shop-dev-http"),
            "arn:aws:iam::123456789012:role/xcloud/shop/dev/shop-dev-http"
        );
    }
}
