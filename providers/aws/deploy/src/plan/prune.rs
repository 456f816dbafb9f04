//! Versions that are no longer kept.

use std::collections::BTreeSet;

use xcloud_deploy::{Action, Plan, Resource};

use super::{Published, Target};
use crate::wanted::{Fields, id};

/// The published versions of a function that go: all but the newest `keep`, of which one may be about to be published,
/// and never one that will have traffic. A version is `version/<function>/<Lambda's number>`.
pub(super) fn old(
    name: &str,
    target: &Target,
    versions: &[(Published, &Fields)],
    (there, wanted): (&[Resource], &[Resource]),
    keep: usize,
) -> Vec<Resource> {
    let alias = id("alias", name);
    let wanted = wanted.iter().find(|r| r.id == alias).map(|r| &r.fields);
    let now = there.iter().find(|r| r.id == alias).map(|r| &r.fields);
    let moves = wanted.is_some_and(|fields| fields.contains_key("version"));
    let mut serving = BTreeSet::new();
    serving.extend(if moves { target.number } else { target.current });
    let clears = wanted.is_some_and(|fields| fields.contains_key("weights"));
    let shares = now.and_then(|fields| fields.get("weights")?.as_object()).filter(|_| !clears);
    serving.extend(shares.into_iter().flatten().filter_map(|(number, _)| number.parse::<u64>().ok()));
    let published = usize::from(target.number.is_none());
    let kept = keep.max(1) - published.min(keep.max(1));
    versions
        .iter()
        .skip(kept)
        .filter(|(version, _)| !serving.contains(&version.number))
        .map(|(version, _)| Resource {
            id: id("version", &format!("{name}/{}", version.number)),
            fields: Fields::from([("version".to_owned(), version.label.version().into())]),
            data: false,
            needs: Vec::new(),
        })
        .collect()
}

/// Says of them why they go.
pub(super) fn reasons(plan: &mut Plan, keep: usize) {
    for change in plan.changes.iter_mut().filter(|change| change.action == Action::Delete) {
        if number(&change.resource).is_some() {
            change.reason = format!("older than the {keep} versions that are kept");
        }
    }
}

/// The function and Lambda's number of a version that goes.
pub(crate) fn number(resource: &str) -> Option<(&str, &str)> {
    resource.strip_prefix("version/")?.split_once('/')
}
