//! The values of secrets: fetched by the verbs that deploy, and by no other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Secret, Secrets};

use super::extras::Extras;
use super::manifest::Origin;
use super::toml::Placed;

impl Extras {
    /// Fetches every value; files are looked for beside xcloud.toml, in `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: a variable or file that is not there or is no text. Never with the value.
    pub(crate) fn secrets(
        &self,
        directory: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Secrets> {
        let fetch = |(name, at): (&String, &Placed<Origin>)| {
            let value = value(&at.value, directory, &variable);
            let value = value
                .map_err(|why| Error::new(ErrorKind::Config, format!("{}: `{}`: {why}", at.place, at.key)))?;
            Ok((name.clone(), Secret::new(value)))
        };
        let function = |(function, secrets): (&String, &BTreeMap<_, _>)| {
            Ok((function.clone(), secrets.iter().map(fetch).collect::<Result<_>>()?))
        };
        self.secrets.iter().map(function).collect()
    }
}

fn value(
    origin: &Origin,
    directory: &Path,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<String, String> {
    let (value, what) = match origin {
        Origin::Env(name) => {
            let missing = || format!("the environment has no variable `{name}`: set it and deploy again");
            let value = variable(name).ok_or_else(missing)?;
            (value.into_string().map_err(drop), format!("the variable `{name}`"))
        }
        Origin::File(path) => {
            let path = directory.join(path);
            let read = std::fs::read(&path);
            let bytes = read.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            let text = String::from_utf8(bytes).map_err(drop);
            (text.map(without_newline), path.display().to_string())
        }
    };
    match value {
        Ok(value) if value.contains('\0') => {
            Err(format!("{what} holds a zero byte, which no environment variable can"))
        }
        Ok(value) => Ok(value),
        Err(()) => Err(format!("{what} is not UTF-8 text")),
    }
}

/// Editors end a file with one.
fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn fetched(origin: Origin, directory: &Path) -> Result<String> {
        let at = Placed {
            place: "xcloud.toml:2".to_owned(),
            key: "functions.f.secrets.KEY".to_owned(),
            value: origin,
        };
        let references = BTreeMap::from([("f".to_owned(), BTreeMap::from([("KEY".to_owned(), at)]))]);
        let extras = Extras { secrets: references, ..Extras::default() };
        let variable = |name: &str| match name {
            "GOOD" => Some("canary-1".into()),
            "BYTES" => Some(OsString::from_vec(b"canary-\xff".to_vec())),
            "ZERO" => Some("canary-\0".into()),
            _ => None,
        };
        let secrets = extras.secrets(directory, variable)?;
        Ok(secrets["f"]["KEY"].expose().to_owned())
    }

    #[test]
    fn values_come_from_variables_and_files() {
        let directory = std::env::temp_dir().join(format!("xcloud-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let env = |name: &str| fetched(Origin::Env(name.to_owned()), &directory);
        assert_eq!(env("GOOD").unwrap(), "canary-1");
        for (text, value) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", ""), (" a ", " a ")] {
            std::fs::write(directory.join("key"), text).unwrap();
            assert_eq!(fetched(Origin::File("key".into()), &directory).unwrap(), value);
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_is_missing_is_named_with_its_place_and_values_never() {
        let nowhere = Path::new("/nowhere/at/all");
        for (origin, part) in [
            (Origin::Env("ABSENT".to_owned()), "`ABSENT`: set it"),
            (Origin::Env("BYTES".to_owned()), "`BYTES` is not UTF-8"),
            (Origin::Env("ZERO".to_owned()), "`ZERO` holds a zero byte"),
            (Origin::File("key".into()), "/nowhere/at/all/key"),
        ] {
            let error = fetched(origin, nowhere).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("xcloud.toml:2: `functions.f.secrets.KEY`: "), "{message}");
            assert!(message.contains(part) && !message.contains("canary"), "{message}");
            assert_eq!(error.kind(), ErrorKind::Config);
        }
    }
}
