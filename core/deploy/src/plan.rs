//! A plan: the changes that lead from what is to what should be, as a value that is printed or applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret;

/// One thing at a provider: a function, a queue, a role. `fields` are the facts that a plan compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Kind and logical name, unique in a stage: `function/http`, `queue/order-placed`.
    pub id: String,
    /// Facts by dotted path: `memory_mb`, `env.LOG`, `binary_sha256`.
    pub fields: BTreeMap<String, Value>,
    /// Whether it holds the user's data: such a resource is kept when it is no longer wanted.
    #[serde(default)]
    pub data: bool,
    /// The resources that must be there before it, and may go only after it: their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// What a step does to its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is not there yet.
    Create,
    /// It differs.
    Update,
    /// It is no longer wanted.
    Delete,
    /// It is as it should be.
    Unchanged,
    /// It is no longer wanted, but holds data and stays until `--delete-data`.
    Kept,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field's dotted path.
    pub path: String,
    /// What it is now; null if unset.
    pub before: Value,
    /// What it should be; null if unset.
    pub after: Value,
}

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// The resource's id.
    pub resource: String,
    /// Why, in words.
    pub reason: String,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
    /// The changes that must be done before this one: ids of their resources. What is not in the plan, or does
    /// nothing, is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Whether the user's data goes with it: a delete of what holds some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data: bool,
}

/// The changes that lead from what is to what should be: a graph whose edges are [`Change::after`], written in an order
/// that respects them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The provider's id.
    pub provider: String,
    /// All resources, the unchanged ones too.
    pub changes: Vec<Change>,
    /// The resource whose change is made before every other that does not lead to it: a write that only one of two
    /// deployments at once can make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
}

impl Plan {
    /// The changes that do something.
    pub fn steps(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|c| !matches!(c.action, Action::Unchanged | Action::Kept))
    }

    /// Whether nothing would be done.
    pub fn is_empty(&self) -> bool {
        self.steps().next().is_none()
    }

    /// How many changes do this.
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|c| c.action == action).count()
    }
}

/// Compares resource by resource. Creates and updates come in the order of `wanted`, deletes last and in reverse.
/// A field that `wanted` does not name is left alone.
pub fn diff(provider: &str, wanted: &[Resource], observed: &[Resource], delete_data: bool) -> Plan {
    let find = |list: &'_ [Resource], id: &str| list.iter().position(|r| r.id == id);
    let mut changes: Vec<Change> = wanted
        .iter()
        .map(|resource| match find(observed, &resource.id) {
            Some(at) => compare(resource, &observed[at]),
            None => Change {
                action: Action::Create,
                resource: resource.id.clone(),
                reason: "not there yet".to_owned(),
                fields: field_changes(&resource.fields, &BTreeMap::new()),
                after: resource.needs.clone(),
                data: false,
            },
        })
        .collect();
    for resource in observed.iter().rev().filter(|r| find(wanted, &r.id).is_none()) {
        let keep = resource.data && !delete_data;
        changes.push(Change {
            action: if keep { Action::Kept } else { Action::Delete },
            resource: resource.id.clone(),
            reason: match (keep, resource.data) {
                (true, _) => "holds data; --delete-data removes it",
                (false, true) => "no longer wanted, and its data goes with it",
                (false, false) => "no longer wanted",
            }
            .to_owned(),
            fields: Vec::new(),
            // What needs it goes first.
            after: observed.iter().filter(|r| r.needs.contains(&resource.id)).map(|r| r.id.clone()).collect(),
            data: resource.data && !keep,
        });
    }
    Plan { provider: provider.to_owned(), changes, guard: None }
}

fn compare(wanted: &Resource, observed: &Resource) -> Change {
    let fields = field_changes(&wanted.fields, &observed.fields);
    let (action, reason) = if fields.is_empty() {
        (Action::Unchanged, "as it should be".to_owned())
    } else {
        let paths: Vec<_> = fields.iter().map(|f| f.path.as_str()).collect();
        (Action::Update, format!("differs in {}", paths.join(", ")))
    };
    Change { action, resource: wanted.id.clone(), reason, fields, after: wanted.needs.clone(), data: false }
}

fn field_changes(wanted: &BTreeMap<String, Value>, observed: &BTreeMap<String, Value>) -> Vec<FieldChange> {
    let before = |path: &String| observed.get(path).cloned().unwrap_or(Value::Null);
    wanted
        .iter()
        .filter(|(path, after)| before(path) != **after)
        .map(|(path, after)| {
            let (before, after) = (before(path), after.clone());
            match path.starts_with(secret::FIELD) {
                true => FieldChange {
                    path: path.clone(),
                    before: secret::shown(&before),
                    after: secret::shown(&after),
                },
                false => FieldChange { path: path.clone(), before, after },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(id: &str, memory: u32, data: bool) -> Resource {
        Resource {
            id: id.to_owned(),
            fields: BTreeMap::from([("memory_mb".to_owned(), memory.into())]),
            data,
            needs: Vec::new(),
        }
    }

    #[test]
    fn what_needs_a_resource_comes_after_it_and_goes_before_it() {
        let queue = resource("queue/q", 1, false);
        let function = Resource { needs: vec!["queue/q".to_owned()], ..resource("function/f", 1, false) };
        let both = [queue, function];
        let create = diff("local", &both, &[], false);
        assert_eq!(create.changes[1].after, ["queue/q"]);
        let delete = diff("local", &[], &both, false);
        let order: Vec<_> = delete.changes.iter().map(|c| (c.resource.as_str(), c.after.len())).collect();
        assert_eq!(order, [("function/f", 0), ("queue/q", 1)]);
    }

    #[test]
    fn a_plan_names_every_resource_and_keeps_data() {
        let wanted = [resource("function/http", 256, false), resource("function/new", 128, false)];
        let observed = [
            resource("function/http", 128, false),
            resource("function/old", 1, false),
            resource("queue/q", 0, true),
        ];
        let plan = diff("local", &wanted, &observed, false);
        let actions: Vec<_> = plan.changes.iter().map(|c| (c.action, c.resource.as_str())).collect();
        assert_eq!(
            actions,
            [
                (Action::Update, "function/http"),
                (Action::Create, "function/new"),
                (Action::Kept, "queue/q"),
                (Action::Delete, "function/old")
            ]
        );
        assert_eq!(plan.steps().count(), 3);
        assert_eq!(diff("local", &wanted, &wanted, false).steps().count(), 0);
        let all = diff("local", &[], &observed, true);
        assert_eq!(all.count(Action::Delete), 3);
        let with_data: Vec<_> = all.steps().filter(|c| c.data).map(|c| c.resource.as_str()).collect();
        assert_eq!(with_data, ["queue/q"]);
    }
}
