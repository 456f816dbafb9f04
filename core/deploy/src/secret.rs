//! Values that no plan, log, error or object may show.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use serde_json::Value;

/// The beginning of the path of a secret among a resource's fields: `secrets.PAYMENT_KEY`.
pub const FIELD: &str = "secrets.";

/// By function, by the environment variable that will hold it.
pub type Secrets = BTreeMap<String, BTreeMap<String, Secret>>;

/// A value that is handed on and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one call that sets it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What a plan compares in its place. Its keys are this process's own: it says nothing to anyone else, and two values
    /// of this run are the same where their fingerprints are.
    pub fn fingerprint(&self) -> Value {
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
        let [a, b] = KEYS.each_ref().map(|key| key.hash_one(&self.0));
        Value::from(format!("{a:016x}{b:016x}"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a plan shows of a secret field's value.
pub(crate) fn shown(value: &Value) -> Value {
    if value.is_null() { Value::Null } else { "(secret)".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let canary = Secret::new("canary-4711");
        assert_eq!(canary.fingerprint(), Secret::new("canary-4711").fingerprint());
        assert_ne!(canary.fingerprint(), Secret::new("canary-4712").fingerprint());
        assert!(!format!("{canary:?} {}", canary.fingerprint()).contains("canary"));
    }
}
