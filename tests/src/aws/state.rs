//! What is in the account.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lambda::{Function, Mapping};

/// The account.
pub const ACCOUNT: &str = "123456789012";
/// The region.
pub const REGION: &str = "eu-west-1";
/// The only time there is.
pub(super) const NOW: &str = "2026-01-01T00:00:00.000+0000";

/// What takes how long. Time is counted in questions: whoever waits, asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// How often a thing that was made, changed or removed is still found on its way.
    pub settles: u32,
    /// How often a new role is not known where it is to be taken on.
    pub roles: u32,
}

/// Everything. Names are keys; a copy is another account in the same state.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What takes how long.
    pub settings: Settings,
    ids: u64,
    pub(super) functions: BTreeMap<String, Function>,
    /// By UUID.
    pub(super) mappings: BTreeMap<String, Mapping>,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) queues: BTreeMap<String, Queue>,
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) schedules: BTreeMap<String, Value>,
}

/// Tags, by key.
pub(super) type Tags = BTreeMap<String, String>;

#[derive(Debug, Clone, Default)]
pub(super) struct Role {
    pub(super) path: String,
    pub(super) description: String,
    pub(super) trust: String,
    /// Inline, by name.
    pub(super) policies: BTreeMap<String, String>,
    /// Managed ones, by ARN.
    pub(super) attached: Vec<String>,
    pub(super) tags: Tags,
    /// How often it is still not known elsewhere.
    pub(super) unknown: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) tags: Tags,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    pub(super) tags: Tags,
    /// Digests of what the objects hold, as Lambda writes them.
    pub(super) objects: BTreeMap<String, String>,
    /// The document as it was put.
    pub(super) notification: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) description: Value,
    pub(super) tags: Tags,
    pub(super) busy: u32,
    pub(super) going: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Topic {
    pub(super) tags: Tags,
    /// Endpoints, by the subscription's ARN.
    pub(super) subscriptions: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) retention: Option<i64>,
    pub(super) tags: Tags,
}

impl State {
    /// An empty account.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Ends what is on its way.
    pub fn settle(&mut self) {
        for function in self.functions.values_mut() {
            (function.pending, function.updating) = (0, 0);
            function.versions.values_mut().for_each(|version| version.pending = 0);
            function.warm.values_mut().for_each(|warm| warm.busy = 0);
        }
        self.roles.values_mut().for_each(|role| role.unknown = 0);
        self.mappings.retain(|_, mapping| mapping.doing != "Deleting");
        self.mappings.values_mut().for_each(|mapping| mapping.busy = 0);
        self.tables.retain(|_, table| !table.going);
        self.tables.values_mut().for_each(|table| table.busy = 0);
    }

    /// An id that nothing had before.
    pub(super) fn id(&mut self) -> String {
        self.ids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.ids)
    }

    /// Whether a role by its ARN can be taken on by a service; a new one is not known for a while.
    pub(super) fn assumable(&mut self, arn: &str, service: &str) -> bool {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let Some(role) = self.roles.get_mut(name).filter(|role| role.trust.contains(service)) else {
            return false;
        };
        let known = role.unknown == 0;
        role.unknown = role.unknown.saturating_sub(1);
        known
    }

    /// Whether a role's own policies speak of an action.
    pub(super) fn allows(&self, arn: &str, action: &str) -> bool {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let role = self.roles.get(name);
        role.is_some_and(|role| {
            !role.attached.is_empty() || role.policies.values().any(|policy| policy.contains(action))
        })
    }
}

/// One question about something that is on its way: whether it still is.
pub(super) fn still(left: &mut u32) -> bool {
    let was = *left > 0;
    *left = left.saturating_sub(1);
    was
}

/// `arn:aws:<service>:<region>:<account>:<rest>`
pub(super) fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}
