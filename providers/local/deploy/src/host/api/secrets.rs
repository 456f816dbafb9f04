//! Secrets: what the host stores and hands to processes. Nobody reads them back; whether one is a certain value is told
//! by a digest.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Manifest;
use crate::config::hex;

/// By function, by variable.
pub(crate) type Vault = BTreeMap<String, BTreeMap<String, Hidden>>;
/// By function, by variable: the digest of its value.
pub(crate) type Digests = BTreeMap<String, BTreeMap<String, String>>;

/// A value that goes to the host, its file and a process, and is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// An app's own salt: equal values of two apps have different digests.
pub(crate) fn salt() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}

/// What is told of a value.
pub(crate) fn digest(salt: &str, value: &str) -> String {
    hex(&Sha256::digest(format!("{salt} {value}")))
}

/// What is told of all of them.
pub(crate) fn digests(salt: &str, vault: &Vault) -> Digests {
    let one = |(name, Hidden(value)): (&String, &Hidden)| (name.clone(), digest(salt, value));
    vault.iter().map(|(function, secrets)| (function.clone(), secrets.iter().map(one).collect())).collect()
}

/// The secrets of a manifest's functions: the new ones, else those of before. A variable that becomes a secret is no
/// longer plain, and the other way round.
pub(crate) fn merge(mut new: Vault, old: &Vault, manifest: &mut Manifest) -> Vault {
    let mut merged = Vault::new();
    for function in &mut manifest.functions {
        let mut env = function.settings.env.as_mut();
        let secrets = match new.remove(&function.name) {
            Some(secrets) => {
                if let Some(env) = &mut env {
                    env.retain(|name, _| !secrets.contains_key(name));
                }
                secrets
            }
            None => {
                let mut secrets = old.get(&function.name).cloned().unwrap_or_default();
                secrets.retain(|name, _| env.as_ref().is_none_or(|env| !env.contains_key(name)));
                secrets
            }
        };
        if !secrets.is_empty() {
            merged.insert(function.name.clone(), secrets);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud_core::spec::{FunctionSpec, Settings, TriggerSpec};

    fn vault(secrets: &[(&str, &str)]) -> Vault {
        let secrets = secrets.iter().map(|(k, v)| ((*k).to_owned(), Hidden((*v).to_owned()))).collect();
        Vault::from([("f".to_owned(), secrets)])
    }

    fn manifest(env: Option<&[&str]>) -> Manifest {
        let env = env.map(|names| names.iter().map(|n| ((*n).to_owned(), "plain".to_owned())).collect());
        let function = FunctionSpec {
            name: "f".to_owned(),
            trigger: TriggerSpec::Raw,
            sends: Vec::new(),
            tables: Vec::new(),
            settings: Settings { env, ..Settings::default() },
        };
        Manifest { functions: vec![function], ..Manifest::default() }
    }

    #[test]
    fn absent_secrets_stay_and_empty_ones_go() {
        let old = vault(&[("A", "1")]);
        assert_eq!(merge(Vault::new(), &old, &mut manifest(None)), old);
        assert_eq!(merge(vault(&[]), &old, &mut manifest(None)), Vault::new());
        assert_eq!(merge(vault(&[("B", "2")]), &old, &mut manifest(None)), vault(&[("B", "2")]));
        let gone = Manifest::default();
        assert_eq!(merge(vault(&[("B", "2")]), &old, &mut gone.clone()), Vault::new());
    }

    #[test]
    fn a_variable_is_plain_or_secret() {
        let mut now = manifest(Some(&["A", "B"]));
        merge(vault(&[("A", "1")]), &Vault::new(), &mut now);
        let env = now.functions[0].settings.env.clone().unwrap();
        assert_eq!(env.into_keys().collect::<Vec<_>>(), ["B"]);
        let old = vault(&[("A", "1"), ("C", "3")]);
        assert_eq!(merge(Vault::new(), &old, &mut manifest(Some(&["A"]))), vault(&[("C", "3")]));
    }

    #[test]
    fn what_is_told_of_a_value_is_not_the_value() {
        let (salt, other) = (salt(), salt());
        assert_ne!(salt, other);
        let told = digests(&salt, &vault(&[("A", "canary-1")]));
        assert_eq!(told["f"]["A"], digest(&salt, "canary-1"));
        assert_ne!(told["f"]["A"], digest(&other, "canary-1"));
        assert!(!format!("{told:?} {:?}", vault(&[("A", "canary-1")])).contains("canary"));
    }
}
