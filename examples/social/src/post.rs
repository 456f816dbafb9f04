//! The shapes: a post, what was found out about it, and what is asked.

use serde::{Deserialize, Serialize};
use xcloud::{Error, Result};

/// The longest text.
const MAX_TEXT: usize = 10_000;

/// What a client sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Post {
    pub id: String,
    pub author: String,
    pub text: String,
}

impl Post {
    /// Checks the rules. The id becomes the key of the insight, and part of a path.
    pub fn check(&self) -> Result<()> {
        let is_plain = |name: &str| {
            (1..=100).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !is_plain(&self.id) {
            return Err(Error::unprocessable("id is not 1 to 100 letters, digits, `-` or `_`"));
        }
        if !is_plain(&self.author) {
            return Err(Error::unprocessable("author is not 1 to 100 letters, digits, `-` or `_`"));
        }
        if self.text.trim().is_empty() || self.text.len() > MAX_TEXT {
            return Err(Error::unprocessable(format!("text is empty or longer than {MAX_TEXT} bytes")));
        }
        Ok(())
    }
}

/// A post on its way, with the time when it was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Taken {
    pub post: Post,
    /// Milliseconds since 1970.
    pub sent_ms: u64,
}

/// Which way a post leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    Positive,
    Neutral,
    Negative,
}

/// What was found out about a post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    pub id: String,
    pub author: String,
    /// The words that tell most of it, most frequent first.
    pub keywords: Vec<String>,
    pub mood: Mood,
    /// From -1 to 1.
    pub score: f64,
    /// What to do about it.
    pub recommendation: String,
    /// When the post was taken and when this was stored, in milliseconds since 1970.
    pub sent_ms: u64,
    pub stored_ms: u64,
}

impl Insight {
    /// From event to stored.
    pub fn latency_ms(&self) -> u64 {
        self.stored_ms.saturating_sub(self.sent_ms)
    }
}

/// The answer to a `POST /posts`.
#[derive(Debug, Serialize)]
pub struct Accepted {
    pub id: String,
    pub status: &'static str,
    pub sent_ms: u64,
}

/// The answer to a `GET /insights`.
#[derive(Debug, Serialize)]
pub struct Page {
    pub insights: Vec<Insight>,
    /// `after` of the next page; null on the last.
    pub next: Option<String>,
}

/// The answer to a `GET /latency`: from event to stored, in milliseconds.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub posts: usize,
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub p99_ms: u64,
    pub max_ms: u64,
}

impl Latency {
    /// Of these times.
    pub fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        // Nearest rank: the smallest time that so many percent do not exceed.
        let percentile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            posts: times.len(),
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
            max_ms: percentile(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_a_post() {
        let post = |id: &str, author: &str, text: &str| Post {
            id: id.to_owned(),
            author: author.to_owned(),
            text: text.to_owned(),
        };
        assert!(post("p-1", "ada", "hello").check().is_ok());
        let long = "x".repeat(MAX_TEXT + 1);
        for (id, author, text) in
            [("", "ada", "x"), ("a/b", "ada", "x"), ("p", "", "x"), ("p", "ada", " "), ("p", "ada", &long)]
        {
            assert!(post(id, author, text).check().is_err(), "{id:?} {author:?}");
        }
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latency = Latency::of((1..=200).rev().collect());
        assert_eq!((latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms), (100, 190, 198, 200));
        assert_eq!(Latency::of(vec![7]).p99_ms, 7);
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
