//! The query string, keys repeated as often as they were sent.

use std::borrow::Cow;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::text::form_decode;

/// A view on the query string. Keys and values are decoded (`%XX`, `+` is a space); repeated keys are kept in order.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a>(pub(crate) &'a str);

impl<'a> Query<'a> {
    /// The query as sent, without the `?`.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        self.0.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(key), form_decode(value))
        })
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        self.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Every value of a key, in order.
    pub fn all(&self, key: &str) -> Vec<Cow<'a, str>> {
        self.iter().filter(|(k, _)| k == key).map(|(_, v)| v).collect()
    }

    /// The first value of a key, parsed; `None` when the key is absent.
    ///
    /// # Errors
    /// HTTP 400 naming the key when the value does not parse.
    pub fn parse<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(Error::bad_request(format!("query parameter `{key}` has an invalid value"))),
        }
    }
}
