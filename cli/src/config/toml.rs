//! Reading TOML so that every error says file, line, key, and the nearest key that exists.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use xcloud_core::{Error, ErrorKind, Result};

/// A file being read.
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let message = format!(
                "cannot read {}: {e}; a project has an xcloud.toml, `-C DIR` says where",
                path.display()
            );
            Error::new(ErrorKind::Config, message).caused_by(e)
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self { path: "xcloud.toml".into(), text: text.to_owned() }
    }

    /// Hands the file's table to `read`.
    ///
    /// # Errors
    /// What is wrong, with file, line and key.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Table<'_>) -> Result<T>) -> Result<T> {
        let table = DeTable::parse(&self.text).map_err(|e| {
            let at = e.span().unwrap_or_default();
            self.error(&at, e.message())
        })?;
        read(&Table::of(self, String::new(), table.get_ref(), false))
    }

    /// What `read` asks a file for, whatever the file says: the keys and their kinds, in the order of asking. So the
    /// schema is made from the reader itself.
    ///
    /// # Errors
    /// Whatever `read` finds wrong with a file that has nothing in it.
    pub(crate) fn keys(read: impl FnOnce(&Table<'_>) -> Result<()>) -> Result<Vec<Key>> {
        let source = Self { path: PathBuf::new(), text: String::new() };
        let empty = DeTable::new();
        let table = Table::of(&source, String::new(), &empty, true);
        read(&table)?;
        Ok(table.asked.into_inner().unwrap_or_default())
    }

    fn error(&self, at: &Range<usize>, message: &str) -> Error {
        let line = self.line(at);
        Error::new(ErrorKind::Config, format!("{}:{line}: {message}", self.path.display()))
    }

    fn line(&self, at: &Range<usize>) -> usize {
        self.text.as_bytes()[..at.start.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }
}

/// A key that a table may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
}

/// What a key takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Text in a form, in the words of its error message.
    Form(String),
    /// True or false.
    Flag,
    /// A whole number from here.
    Number(u32),
    /// A list of texts.
    Texts,
    /// Names and texts.
    Map,
    /// Names, and texts in a form, in the words of its error message.
    Forms(String),
    /// A table with these keys.
    Table(Vec<Key>),
    /// Tables with these keys, each under a name of the user's.
    Named(Vec<Key>),
}

/// A value, and where the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed<T> {
    /// File and line.
    pub place: String,
    /// The dotted key.
    pub key: String,
    /// What it is.
    pub value: T,
}

/// A table of the file. Keys that nobody asked for are errors: see [`Table::end`].
pub(crate) struct Table<'a> {
    source: &'a Source,
    path: String,
    /// Where its value is written.
    at: Range<usize>,
    table: &'a DeTable<'a>,
    read: RefCell<Vec<&'static str>>,
    /// What was asked for, where that is the question.
    asked: RefCell<Option<Vec<Key>>>,
}

impl<'a> Table<'a> {
    fn of(source: &'a Source, path: String, table: &'a DeTable<'a>, recording: bool) -> Self {
        let asked = RefCell::new(recording.then(Vec::new));
        Self { source, path, at: 0..0, table, read: RefCell::default(), asked }
    }
}

impl Table<'_> {
    /// The keys that `read` asks an inner table for, while recording.
    fn inner(&self, name: &str, read: impl FnOnce(&Table<'_>) -> Result<()>) -> Result<Vec<Key>> {
        if self.asked.borrow().is_none() {
            return Ok(Vec::new());
        }
        let empty = DeTable::new();
        let table = Table::of(self.source, self.key(name), &empty, true);
        read(&table)?;
        Ok(table.asked.into_inner().unwrap_or_default())
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn value(&self, name: &'static str, kind: Kind) -> Option<&Spanned<DeValue<'_>>> {
        self.read.borrow_mut().push(name);
        if let Some(asked) = self.asked.borrow_mut().as_mut() {
            asked.push(Key { name, kind });
        }
        self.table.get(name)
    }

    fn place(&self, at: &Range<usize>) -> String {
        format!("{}:{}", self.source.path.display(), self.source.line(at))
    }

    fn wrong(&self, name: &str, at: &Range<usize>, wanted: &str) -> Error {
        self.source.error(at, &format!("`{}` must be {wanted}", self.key(name)))
    }

    /// Refuses what is in the table and was not asked for.
    ///
    /// # Errors
    /// The key, and the nearest that exists.
    pub(crate) fn end(&self) -> Result<()> {
        let known = self.read.borrow();
        let unknown =
            self.table.keys().find(|key| !known.iter().any(|known| *known == key.get_ref().as_ref()));
        let Some(key) = unknown else { return Ok(()) };
        let name = key.get_ref().as_ref();
        Err(self.source.error(&key.span(), &unknown_key(&self.key(name), name, &known)))
    }

    /// A table in it; an absent one is `None`.
    ///
    /// # Errors
    /// When it is something else, and what `read` finds wrong.
    pub(crate) fn table<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Table<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.asked.borrow().is_some() {
            let keys = self.inner(name, |table| read(table).map(drop))?;
            self.value(name, Kind::Table(keys));
            return Ok(None);
        }
        let Some(value) = self.value(name, Kind::Table(Vec::new())) else { return Ok(None) };
        self.inside(name, value, read).map(Some)
    }

    fn inside<T>(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        read: impl FnOnce(&Table<'_>) -> Result<T>,
    ) -> Result<T> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(name, &value.span(), "a table"));
        };
        let table = Table { at: value.span(), ..Table::of(self.source, self.key(name), table, false) };
        let result = read(&table)?;
        table.end()?;
        Ok(result)
    }

    /// A table of tables by name, each with the place of its name.
    ///
    /// # Errors
    /// As [`Table::table`].
    pub(crate) fn named<T>(
        &self,
        name: &'static str,
        mut read: impl FnMut(&str, &Table<'_>) -> Result<T>,
    ) -> Result<BTreeMap<String, (String, T)>> {
        let keys = self.inner(name, |table| read("<name>", table).map(drop))?;
        let Some(value) = self.value(name, Kind::Named(keys)) else { return Ok(BTreeMap::new()) };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(name, &value.span(), "a table"));
        };
        let outer = Table::of(self.source, self.key(name), table, false);
        let mut found = BTreeMap::new();
        for (key, value) in table {
            let key_name = key.get_ref().as_ref();
            let inner = outer.inside(key_name, value, |inner| read(key_name, inner))?;
            let place = self.place(&key.span());
            found.insert(key_name.to_owned(), (place, inner));
        }
        Ok(found)
    }

    /// Text.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>> {
        let Some(value) = self.value(name, Kind::Text) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some(text.to_string())),
            _ => Err(self.wrong(name, &value.span(), "text")),
        }
    }

    /// Text in a form of its own.
    ///
    /// # Errors
    /// When it is not `wanted`.
    pub(crate) fn parsed<T>(
        &self,
        name: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name, Kind::Form(wanted.to_owned())) else { return Ok(None) };
        let text = match value.get_ref() {
            DeValue::String(text) => parse(text),
            _ => None,
        };
        text.map(Some).ok_or_else(|| self.wrong(name, &value.span(), wanted))
    }

    /// Yes or no.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        let Some(value) = self.value(name, Kind::Flag) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(Some(*flag)),
            _ => Err(self.wrong(name, &value.span(), "true or false")),
        }
    }

    /// A whole number, not below `least`.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn number(&self, name: &'static str, least: u32) -> Result<Option<u32>> {
        let Some(value) = self.value(name, Kind::Number(least)) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Integer(n) => u32::from_str_radix(n.as_str(), n.radix()).ok(),
            _ => None,
        };
        let wanted = || self.wrong(name, &value.span(), &format!("a whole number from {least}"));
        number.filter(|n| *n >= least).map(Some).ok_or_else(wanted)
    }

    /// A list of texts.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn texts(&self, name: &'static str) -> Result<Vec<String>> {
        Ok(self.list(name)?.unwrap_or_default())
    }

    /// A list of texts; an absent one is `None`.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn list(&self, name: &'static str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.value(name, Kind::Texts) else { return Ok(None) };
        let wrong = || self.wrong(name, &value.span(), "a list of texts");
        let DeValue::Array(items) = value.get_ref() else { return Err(wrong()) };
        let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(wrong()),
        };
        items.iter().map(text).collect::<Result<_>>().map(Some)
    }

    /// Refuses a table whose values do not go together.
    ///
    /// # Errors
    /// What `check` says, at the table.
    pub(crate) fn sound(&self, check: impl FnOnce() -> Result<(), String>) -> Result<()> {
        if self.asked.borrow().is_some() {
            return Ok(());
        }
        check().map_err(|why| self.source.error(&self.at, &format!("`{}`: {why}", self.path)))
    }

    /// Names, and texts in a form of their own. What is wrong is named and not repeated: it may be a secret that was
    /// written where a reference belongs.
    ///
    /// # Errors
    /// When a text is not `wanted`.
    pub(crate) fn forms<T>(
        &self,
        name: &'static str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<BTreeMap<String, Placed<T>>>> {
        let Some(value) = self.value(name, Kind::Forms(wanted.to_owned())) else { return Ok(None) };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(name, &value.span(), "a table of texts"));
        };
        let mut found = BTreeMap::new();
        for (key, value) in table {
            let key: &str = key.get_ref().as_ref();
            let path = format!("{name}.{key}");
            let parsed = match value.get_ref() {
                DeValue::String(text) => parse(text),
                _ => None,
            };
            let parsed = parsed.ok_or_else(|| self.wrong(&path, &value.span(), wanted))?;
            let placed = Placed { place: self.place(&value.span()), key: self.key(&path), value: parsed };
            found.insert(key.to_owned(), placed);
        }
        Ok(Some(found))
    }

    /// Names and texts.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn map(&self, name: &'static str) -> Result<Option<BTreeMap<String, String>>> {
        let Some(value) = self.value(name, Kind::Map) else { return Ok(None) };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.wrong(name, &value.span(), "a table of texts"));
        };
        let pair = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| match value.get_ref() {
            DeValue::String(text) => {
                let key: &toml::de::DeString<'_> = key.get_ref();
                Ok((key.to_string(), text.to_string()))
            }
            _ => Err(self.wrong(name, &value.span(), "a table of texts")),
        };
        table.iter().map(pair).collect::<Result<_>>().map(Some)
    }
}

fn unknown_key(path: &str, name: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown key `{path}`: did you mean `{near}`? (known: {list})"),
        None => format!("unknown key `{path}` (known: {list})"),
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|k| (strsim::damerau_levenshtein(name, k), k));
    scored.filter(|(distance, k)| *distance <= k.len().max(3) / 3 + 1).min().map(|(_, k)| k)
}
