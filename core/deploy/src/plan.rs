//! A plan: the changes that lead from what is to what should be, as a value that is printed or applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
}

/// The changes that lead from what is to what should be, in the order in which they are applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The provider's id.
    pub provider: String,
    /// All resources, the unchanged ones too.
    pub changes: Vec<Change>,
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
            },
        })
        .collect();
    for resource in observed.iter().rev().filter(|r| find(wanted, &r.id).is_none()) {
        let keep = resource.data && !delete_data;
        changes.push(Change {
            action: if keep { Action::Kept } else { Action::Delete },
            resource: resource.id.clone(),
            reason: if keep { "holds data; --delete-data removes it" } else { "no longer wanted" }.to_owned(),
            fields: Vec::new(),
        });
    }
    Plan { provider: provider.to_owned(), changes }
}

fn compare(wanted: &Resource, observed: &Resource) -> Change {
    let fields = field_changes(&wanted.fields, &observed.fields);
    let (action, reason) = if fields.is_empty() {
        (Action::Unchanged, "as it should be".to_owned())
    } else {
        let paths: Vec<_> = fields.iter().map(|f| f.path.as_str()).collect();
        (Action::Update, format!("differs in {}", paths.join(", ")))
    };
    Change { action, resource: wanted.id.clone(), reason, fields }
}

fn field_changes(wanted: &BTreeMap<String, Value>, observed: &BTreeMap<String, Value>) -> Vec<FieldChange> {
    let before = |path: &String| observed.get(path).cloned().unwrap_or(Value::Null);
    wanted
        .iter()
        .filter(|(path, after)| before(path) != **after)
        .map(|(path, after)| FieldChange { path: path.clone(), before: before(path), after: after.clone() })
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
        }
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
        assert_eq!(diff("local", &[], &observed, true).count(Action::Delete), 3);
    }
}
