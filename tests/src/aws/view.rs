//! The account as tests compare it: resource by resource, without what differs each time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::State;
use super::lambda::Function;
use super::wire::xml;

impl State {
    /// Every resource as it is once everything on its way has ended. Ids, revisions and Lambda's own version numbers (an
    /// interrupted publish may have used one up) are left out, and so is the word that a run marks its guarded write with.
    pub fn resources(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for (name, function) in &self.functions {
            all.insert(format!("function/{name}"), of_function(function));
        }
        for mapping in self.mappings.values().filter(|mapping| mapping.doing != "Deleting") {
            let text = |key: &str| mapping.config[key].as_str().unwrap_or_default().to_owned();
            let mut config = without(&mapping.config, &["UUID"]);
            config["Tags"] = json!(mapping.tags);
            all.insert(format!("mapping/{} {}", text("FunctionArn"), text("EventSourceArn")), config);
        }
        self.data(&mut all);
        all
    }

    fn data(&self, all: &mut BTreeMap<String, Value>) {
        let roles = self.roles.iter().map(|(name, role)| {
            let json = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_default();
            let policies: BTreeMap<_, _> = role.policies.iter().map(|(n, p)| (n, json(p))).collect();
            let role =
                json!([role.path, role.description, json(&role.trust), policies, role.attached, role.tags]);
            (format!("role/{name}"), role)
        });
        all.extend(roles);
        let queues = self.queues.iter();
        all.extend(queues.map(|(name, q)| (format!("queue/{name}"), json!([q.attributes, q.tags]))));
        let buckets = self.buckets.iter().map(|(name, b)| {
            let entries: BTreeSet<_> = xml::all(&b.notification, "CloudFunctionConfiguration")
                .into_iter()
                .map(str::to_owned)
                .collect();
            (format!("bucket/{name}"), json!([b.tags, b.objects, entries]))
        });
        all.extend(buckets);
        let tables = self.tables.iter().filter(|(_, table)| !table.going);
        all.extend(tables.map(|(name, t)| (format!("table/{name}"), json!([t.description, t.tags]))));
        let topics = self.topics.iter().map(|(name, topic)| {
            let endpoints: BTreeSet<_> = topic.subscriptions.values().collect();
            (format!("topic/{name}"), json!([topic.tags, endpoints]))
        });
        all.extend(topics);
        let groups = self.groups.iter();
        all.extend(groups.map(|(name, g)| (format!("log-group/{name}"), json!([g.retention, g.tags]))));
        all.extend(self.schedules.iter().map(|(name, s)| (format!("schedule/{name}"), s.clone())));
    }

    /// What serves, by function: the configuration of the version that the alias `live` goes to, and whether it takes calls.
    ///
    /// # Errors
    /// It goes to none that is there.
    pub fn serving(&self) -> Result<BTreeMap<String, (Value, bool)>, String> {
        let mut all = BTreeMap::new();
        for (name, function) in &self.functions {
            let Some(alias) = function.aliases.get("live") else { continue };
            let number = alias["FunctionVersion"].as_str().and_then(|number| number.parse::<u64>().ok());
            let version = number.and_then(|number| function.versions.get(&number));
            let version = version.ok_or_else(|| format!("{name}: live goes to no version: {alias}"))?;
            all.insert(name.clone(), (bare(&version.config), version.pending == 0));
        }
        Ok(all)
    }

    /// How many published versions there are of a function.
    pub fn versions(&self, function: &str) -> usize {
        self.functions.get(function).map_or(0, |function| function.versions.len())
    }
}

fn of_function(function: &Function) -> Value {
    let aliases: BTreeMap<_, _> = function
        .aliases
        .iter()
        .map(|(name, alias)| {
            let number = alias["FunctionVersion"].as_str().and_then(|number| number.parse::<u64>().ok());
            let version = number.and_then(|number| function.versions.get(&number));
            (name, json!([alias["RoutingConfig"], version.map(|version| bare(&version.config))]))
        })
        .collect();
    let labels: BTreeSet<_> = function.versions.values().map(|version| label(&version.config)).collect();
    let policies: BTreeMap<_, _> = function
        .policies
        .iter()
        .map(|(qualifier, all)| (qualifier, all.iter().map(Value::to_string).collect::<BTreeSet<_>>()))
        .filter(|(_, all)| !all.is_empty())
        .collect();
    let warm: BTreeMap<_, _> =
        function.warm.iter().map(|(qualifier, warm)| (qualifier, warm.instances)).collect();
    json!({
        "config": without(&function.config, &["RevisionId", "Description"]),
        "tags": function.tags,
        "aliases": aliases,
        "versions": labels,
        "policies": policies,
        "urls": function.urls,
        "warm": warm,
        "reserved": function.reserved,
        "tries": function.tries,
    })
}

/// `xcloud v7`: which version of the app it is.
fn label(config: &Value) -> String {
    let words = config["Description"].as_str().unwrap_or_default().split(' ').take(2);
    words.collect::<Vec<_>>().join(" ")
}

fn bare(config: &Value) -> Value {
    let mut all = without(config, &["RevisionId", "FunctionArn", "Version"]);
    all["Description"] = label(config).into();
    all
}

fn without(value: &Value, keys: &[&str]) -> Value {
    let mut value = value.clone();
    if let Some(all) = value.as_object_mut() {
        all.retain(|key, _| !keys.contains(&key.as_str()));
    }
    value
}
