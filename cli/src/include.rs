//! `[build] include`: the files that lie beside the binary in every package.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::package::File;

/// What a wildcard does not go into at the top of an app: what is made there can be made again.
const NOT_SOURCES: [&str; 3] = [".git", ".xcloud", "target"];

/// The files that the patterns name, sorted by path: the same tree gives the same packages.
///
/// # Errors
/// [`ErrorKind::Config`]: a pattern is none, leaves the directory, names no file, or comes upon a symbolic link.
pub(crate) fn files(directory: &Path, patterns: &[String]) -> Result<Vec<File>> {
    let mut found = BTreeMap::new();
    for pattern in patterns {
        let parts = parts(pattern).map_err(|why| refused(pattern, &why))?;
        let mut walk = Walk { found: &mut found, matched: false };
        walk.enter(directory, "", &parts).map_err(|why| refused(pattern, &why))?;
        if !walk.matched {
            let why = format!("it names no file in {}; `DIR/**` is everything in DIR", directory.display());
            return Err(refused(pattern, &why));
        }
    }
    Ok(found.into_values().collect())
}

fn refused(pattern: &str, why: &str) -> Error {
    Error::new(ErrorKind::Config, format!("`build.include` has `{pattern}`: {why}"))
}

/// The pattern's segments. `**` twice in a row says the same as once.
fn parts(pattern: &str) -> Result<Vec<&str>, String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" => return Err("it is not a path below the app's directory".to_owned()),
            ".." => return Err("it leaves the app's directory".to_owned()),
            _ if part.contains(['[', ']', '{', '}', '\\']) => {
                return Err("only `*`, `?` and `**` stand for something".to_owned());
            }
            _ if part.contains("**") && part != "**" => {
                return Err("`**` stands alone between `/`".to_owned());
            }
            "." => {}
            "**" if parts.last() == Some(&"**") => {}
            _ => parts.push(part),
        }
    }
    Ok(parts)
}

struct Walk<'a> {
    found: &'a mut BTreeMap<String, File>,
    matched: bool,
}

impl Walk<'_> {
    /// Takes what the parts name below a directory, whose own path in the app is `within`.
    fn enter(&mut self, directory: &Path, within: &str, parts: &[&str]) -> Result<(), String> {
        let Some((first, rest)) = parts.split_first() else { return Ok(()) };
        let any = *first == "**";
        if any && !rest.is_empty() {
            self.enter(directory, within, rest)?;
        }
        let unreadable = |e: std::io::Error| format!("cannot read {}: {e}", directory.display());
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let name =
                name.to_str().ok_or_else(|| format!("the name of {} is not text", entry.path().display()))?;
            let wild = any || first.contains(['*', '?']);
            if !(any || fits(first, name)) || wild && within.is_empty() && NOT_SOURCES.contains(&name) {
                continue;
            }
            let path = if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_symlink() {
                return Err(format!("{path} is a symbolic link"));
            }
            match (kind.is_dir(), rest.is_empty()) {
                (true, _) if any => self.enter(&entry.path(), &path, parts)?,
                (true, false) => self.enter(&entry.path(), &path, rest)?,
                (false, true) if kind.is_file() => self.take(&entry.path(), path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, file: &Path, path: String) -> Result<(), String> {
        self.matched = true;
        if self.found.contains_key(&path) {
            return Ok(());
        }
        let read = || Ok((std::fs::metadata(file)?.permissions().mode(), std::fs::read(file)?));
        let (mode, bytes) = read().map_err(|e: std::io::Error| format!("cannot read {path}: {e}"))?;
        self.found.insert(path.clone(), File { path, bytes, executable: mode & 0o100 != 0 });
        Ok(())
    }
}

/// Whether a name fits a pattern of `*` and `?`. Goes back to the last `*` alone, so that no pattern takes long.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of, mut back) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some('*') => {
                back = Some((at, of));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[of] => (at, of) = (at + 1, of + 1),
            _ => {
                let Some((star, taken)) = back else { return false };
                back = Some((star, taken + 1));
                (at, of) = (star + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
