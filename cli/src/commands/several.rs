//! One verb for several providers: each comes to its own end, whatever becomes of the others, and the command to what
//! all of them came to.

use std::future::Future;

use xcloud_core::{Error, ErrorKind, Result};

use super::Project;
use crate::args::Args;
use crate::exit;
use crate::printer::Done;
use crate::registry::{self, Deployable};

/// A value for each provider that is still well, an error for each that is not.
pub(super) struct Each<T> {
    fine: Vec<(&'static str, T)>,
    failed: Vec<(&'static str, Error)>,
}

impl Each<()> {
    /// These providers, with nothing done yet.
    pub(super) fn of(names: Vec<&'static str>) -> Self {
        Self { fine: names.into_iter().map(|name| (name, ())).collect(), failed: Vec::new() }
    }
}

impl Each<Box<dyn Deployable>> {
    /// Opens those that were asked for, the project's own else.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: a name that is none, or none of them can be opened, so that there is nothing to build for.
    pub(super) fn open(project: &Project, args: &Args) -> Result<Self> {
        let mut this = Self { fine: Vec::new(), failed: Vec::new() };
        for name in project.providers(args, &["local"])? {
            match registry::open(name, &project.manifest) {
                Ok(provider) => this.fine.push((name, provider)),
                Err(error) => this.failed.push((name, error)),
            }
        }
        if this.fine.is_empty() {
            let all: Vec<_> = this.failed.iter().map(|(_, error)| error.to_string()).collect();
            return Err(Error::new(ErrorKind::Config, all.join("; ")));
        }
        Ok(this)
    }

    /// One that is open already.
    pub(super) fn one(provider: Box<dyn Deployable>) -> Self {
        Self { fine: vec![(provider.id(), provider)], failed: Vec::new() }
    }
}

impl<T> Each<T> {
    /// Whether it is to be said of whom something is.
    pub(super) fn are_several(&self) -> bool {
        self.fine.len() + self.failed.len() > 1
    }

    /// What each has that is still well.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.fine.iter().map(|(_, value)| value)
    }

    /// The next thing to do, one provider after the other. One that fails does not keep the next from it; a signal does.
    pub(super) async fn then<U>(self, mut work: impl AsyncFnMut(&'static str, T) -> Result<U>) -> Each<U> {
        let mut next = Each { fine: Vec::new(), failed: self.failed };
        for (name, value) in self.fine {
            if next.failed.iter().any(|(_, error)| error.kind() == ErrorKind::Cancelled) {
                next.failed.push((name, Error::new(ErrorKind::Cancelled, "not begun: stopped before")));
                continue;
            }
            match work(name, value).await {
                Ok(value) => next.fine.push((name, value)),
                Err(error) => next.failed.push((name, error)),
            }
        }
        next
    }

    /// What the command came to, with `done` for those that came to a good end.
    ///
    /// # Errors
    /// The error of the only provider.
    pub(super) fn finish(mut self, done: impl FnOnce(Vec<(&'static str, T)>) -> Done) -> Result<Done> {
        if !self.are_several()
            && let Some((name, error)) = self.failed.pop()
        {
            return Err(error.with("provider", name));
        }
        let some = !self.fine.is_empty();
        let mut done = done(self.fine);
        if let Some(code) = code(some, &self.failed) {
            if !some {
                // There is nothing to say of nobody, but the lists are there, and empty.
                done = Done::new("", done.data, "");
            }
            done.code = code;
            done.failures = self.failed;
        }
        Ok(done)
    }
}

/// The exit code of failures: how all of them failed, if all did and in the same way; partial, if not all did.
fn code(some_are_fine: bool, failed: &[(&str, Error)]) -> Option<u8> {
    let codes: Vec<_> = failed.iter().map(|(_, error)| exit::code(error)).collect();
    let first = *codes.first()?;
    Some(if codes.contains(&exit::INTERRUPTED) {
        exit::INTERRUPTED
    } else if some_are_fine {
        exit::PARTIAL
    } else if codes.iter().all(|code| *code == first) {
        first
    } else {
        exit::FAILED
    })
}

/// Work that changes nothing, ended by a signal: once a deployment has listened for signals, they no longer end the
/// process by themselves.
///
/// # Errors
/// The work's, and [`ErrorKind::Cancelled`].
pub(super) async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let signal = xcloud_serve::terminated()?;
    tokio::select! {
        result = work => result,
        () = signal => Err(Error::new(ErrorKind::Cancelled, "stopped before anything was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What comes of these ends, in this order.
    async fn ended(ends: &[(&'static str, Option<ErrorKind>)]) -> Result<Done> {
        let each = Each::of(ends.iter().map(|(name, _)| *name).collect());
        let each = each.then(async |name, ()| {
            let end = ends.iter().find(|(of, _)| *of == name).and_then(|(_, kind)| *kind);
            end.map_or(Ok(name.len()), |kind| Err(Error::new(kind, format!("no {name}"))))
        });
        each.await.finish(|fine| Done::new("", json!(fine), ""))
    }

    #[tokio::test]
    async fn one_that_fails_does_not_keep_the_others_from_it() {
        let fine = ended(&[("local", None), ("aws", None)]).await.unwrap();
        assert_eq!((fine.code, fine.data, fine.failures.len()), (0, json!([["local", 5], ["aws", 3]]), 0));
        let some = ended(&[("aws", Some(ErrorKind::Unauthorized)), ("local", None)]).await.unwrap();
        assert_eq!((some.code, some.data, some.failures.len()), (exit::PARTIAL, json!([["local", 5]]), 1));
    }

    #[tokio::test]
    async fn when_all_fail_the_code_says_how() {
        let unavailable = Some(ErrorKind::Unavailable);
        let same =
            ended(&[("aws", Some(ErrorKind::Forbidden)), ("gcp", Some(ErrorKind::Unauthorized))]).await;
        assert_eq!(same.unwrap().code, exit::CREDENTIALS);
        let mixed = ended(&[("aws", Some(ErrorKind::Config)), ("gcp", unavailable)]).await.unwrap();
        assert_eq!((mixed.code, mixed.failures.len()), (exit::FAILED, 2));
        let Err(one) = ended(&[("aws", unavailable)]).await else { panic!("it went well") };
        assert_eq!((one.kind(), one.fact("provider")), (ErrorKind::Unavailable, Some("aws")));
    }

    #[tokio::test]
    async fn after_a_signal_nothing_more_is_begun() {
        let stopped =
            ended(&[("local", None), ("aws", Some(ErrorKind::Cancelled)), ("gcp", None)]).await.unwrap();
        assert_eq!((stopped.code, stopped.data), (exit::INTERRUPTED, json!([["local", 5]])));
        let last = stopped.failures.last().map(|(name, error)| (*name, error.message().to_owned()));
        assert_eq!(last, Some(("gcp", "not begun: stopped before".to_owned())));
    }
}
