//! What a published version's description says: which version of the app it is, of which binary, of which whole.

use std::fmt;

use sha2::{Digest, Sha256};
use xcloud_core::spec::Spec;
use xcloud_deploy::Desired;

use crate::names::Names;
use crate::wanted;

/// `xcloud v7 <binary's sha256> <the app's digest>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// Counted per app and stage.
    pub(crate) number: u64,
    /// Lower-case hex SHA-256 of the binary.
    pub(crate) binary: String,
    /// What all functions of the version were together, without secrets: a deployment that was interrupted goes on
    /// with its number.
    pub(crate) app: String,
}

impl Label {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let ("xcloud", number) = (words.next()?, words.next()?.strip_prefix('v')?) else { return None };
        let (binary, app) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Self { number: number.parse().ok()?, binary, app })
    }

    /// `v7`.
    pub(crate) fn version(&self) -> String {
        format!("v{}", self.number)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xcloud v{} {} {}", self.number, self.binary, self.app)
    }
}

/// What all functions are together.
pub(crate) fn app_digest(desired: &Desired, names: &Names) -> String {
    let Spec { functions, .. } = &desired.spec;
    let mut hash = Sha256::new();
    for function in functions {
        hash.update(&function.name);
        for (path, value) in wanted::versioned(desired, names, function) {
            if !path.starts_with(xcloud_deploy::secret::FIELD) {
                hash.update(format!("\n{path}={value}"));
            }
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_as_it_was_written() {
        let label = Label { number: 7, binary: "ab".to_owned(), app: "cd".to_owned() };
        assert_eq!(Label::parse(&label.to_string()), Some(label));
        for other in ["", "xcloud", "xcloud 7 a b", "mine v7 a b", "xcloud v7 a"] {
            assert_eq!(Label::parse(other), None, "{other}");
        }
    }
}
