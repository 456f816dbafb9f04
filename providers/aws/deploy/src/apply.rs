//! One step: each makes one resource as it should be, however it was before.

mod data;
pub(crate) mod function;
mod role;
mod triggers;
mod version;

use std::time::Duration;

use serde_json::Value;
use xcloud_core::spec::FunctionSpec;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Action, Change, Desired, Step};

pub(crate) use self::version::move_alias;
use crate::client::Session;
use crate::names::{Names, PROJECT_TAG, STAGE_TAG};
use crate::provider::Memory;

/// What a step works with.
pub(crate) struct Work<'a> {
    pub(crate) session: &'a Session,
    pub(crate) names: &'a Names,
    pub(crate) desired: &'a Desired,
    pub(crate) change: &'a Change,
    /// Which try it is, from 1.
    pub(crate) attempt: u32,
    pub(crate) memory: &'a Memory,
    /// The resource's name in the app.
    pub(crate) name: &'a str,
}

/// Carries out one change.
pub(crate) async fn apply(session: &Session, names: &Names, memory: &Memory, step: &Step<'_>) -> Result<()> {
    let (kind, name) = step.change.resource.split_once('/').unwrap_or((&step.change.resource, ""));
    let work = Work {
        session,
        names,
        desired: step.desired,
        change: step.change,
        attempt: step.attempt,
        memory,
        name,
    };
    let delete = step.change.action == Action::Delete;
    match (kind, delete) {
        ("queue" | "dead-letters" | "failures", false) => data::queue(&work, kind).await,
        ("queue" | "dead-letters" | "failures", true) => data::delete_queue(&work, kind).await,
        ("async", false) => triggers::retries(&work).await,
        ("async", true) => triggers::delete_retries(&work).await,
        ("bucket" | "artifacts", false) => data::bucket(&work).await,
        ("bucket" | "artifacts", true) => data::delete_bucket(&work).await,
        ("table", false) => data::table(&work).await,
        ("table", true) => data::delete_table(&work).await,
        ("topic", false) => data::topic(&work).await,
        ("topic", true) => data::delete_topic(&work).await,
        ("role" | "schedule-role", false) => role::role(&work, kind == "schedule-role").await,
        ("role" | "schedule-role", true) => role::delete(&work, kind == "schedule-role").await,
        ("log-group", false) => role::log_group(&work).await,
        ("log-group", true) => role::delete_log_group(&work).await,
        ("function", false) => function::function(&work).await,
        ("function", true) => function::delete(&work).await,
        ("version", true) => version::delete(&work).await,
        ("version", false) => version::publish(&work).await,
        ("alias", false) => version::alias(&work).await,
        ("warm", false) => version::warm(&work).await,
        ("warm", true) => version::delete_warm(&work).await,
        ("url", false) => triggers::url(&work).await,
        ("url", true) => triggers::delete_url(&work).await,
        ("mapping", false) => triggers::mapping(&work).await,
        ("mapping", true) => triggers::delete_mapping(&work).await,
        ("schedule", false) => triggers::schedule(&work).await,
        ("schedule", true) => triggers::delete_schedule(&work).await,
        ("notification", false) => triggers::notification(&work).await,
        ("notification", true) => triggers::delete_notification(&work).await,
        ("subscription", false) => triggers::subscription(&work).await,
        ("subscription", true) => triggers::delete_subscription(&work).await,
        _ => Err(Error::handler(format!("no step makes {}", step.change.resource))),
    }
}

impl Work<'_> {
    /// The function's name at AWS.
    pub(crate) fn function(&self) -> String {
        self.names.function(self.name)
    }

    /// What the app says of the function.
    pub(crate) fn spec(&self) -> Result<&FunctionSpec> {
        let spec = self.desired.spec.function(self.name);
        spec.ok_or_else(|| Error::handler(format!("the app has no function {}", self.name)))
    }

    /// What a field is to become, if it changes.
    pub(crate) fn field(&self, path: &str) -> Option<&Value> {
        self.change.fields.iter().find(|field| field.path == path).map(|field| &field.after)
    }

    /// A number that a field is to become.
    pub(crate) fn number(&self, path: &str) -> Option<i32> {
        self.field(path)?.as_i64()?.try_into().ok()
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.field(path)?.as_str()
    }

    pub(crate) fn creates(&self) -> bool {
        self.change.action == Action::Create
    }

    /// What a create came to. That the thing is there already is another deployment's doing, unless a try before made it
    /// and its answer was lost.
    pub(crate) fn made<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(made) => Ok(Some(made)),
            Err(error) if error.kind() == ErrorKind::Conflict && self.attempt > 1 => Ok(None),
            Err(error) if error.kind() == ErrorKind::Conflict => Err(busy(error)),
            Err(error) => Err(error),
        }
    }

    /// The tags of the stage.
    pub(crate) fn tags(&self) -> [(String, String); 2] {
        let stage = &self.names.stage;
        [(PROJECT_TAG.to_owned(), stage.project.clone()), (STAGE_TAG.to_owned(), stage.stage.clone())]
    }
}

/// Somebody else is at it.
pub(crate) fn busy(error: Error) -> Error {
    let message = format!("another deployment of this stage is under way: {}", error.message());
    Error::conflict(message).with("hint", "wait until it has ended, then run this again")
}

/// Asks again and again until there is an answer, slower each time; the step's own deadline ends it.
pub(crate) async fn until<T, F, Fut>(mut ask: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let mut pause = Duration::from_millis(50);
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// What building a request of the SDK came to: only a member that is missing can be wrong.
pub(crate) fn built<T>(
    result: std::result::Result<T, aws_smithy_types::error::operation::BuildError>,
) -> Result<T> {
    result.map_err(|error| Error::handler(format!("a request was not complete: {error}")).caused_by(error))
}
