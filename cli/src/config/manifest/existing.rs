//! `[queues.<name>]` and its like: what somebody else has made.

use std::collections::BTreeMap;

use xcloud_core::Result;

use crate::config::toml::Table;

/// By resource, `queue/order-placed`: where it is written, and the provider's name of it or its ARN.
pub(crate) type Existing = BTreeMap<String, (String, String)>;

/// Tables of the file, and the kind of resource that each is about.
const KINDS: [(&str, &str); 4] =
    [("queues", "queue"), ("buckets", "bucket"), ("tables", "table"), ("topics", "topic")];

/// What a file or a stage names.
pub(super) fn read(table: &Table<'_>) -> Result<Existing> {
    let mut found = Existing::new();
    for (section, kind) in KINDS {
        let named = table.named(section, |_, one| one.text("existing"))?;
        let of = |(name, (place, existing))| Some((format!("{kind}/{name}"), (place, existing?)));
        found.extend(named.into_iter().filter_map(of));
    }
    Ok(found)
}
