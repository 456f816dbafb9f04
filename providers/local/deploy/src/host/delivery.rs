//! Delivery of a queue to its function: claim, call, settle.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xcloud_core::event::{RawMessage, neutral};
use xcloud_core::{ErrorKind, Result};
use xcloud_local::binding::{WireFailure, WireSettlement};
use xcloud_local::host::{Answer, Call};
use xcloud_serve::parts::request_id;

use super::asked_to;
use super::metrics::Outcome;
use super::pool::Lease;
use super::runner::Runner;
use super::store::{Claim, Fate, Store};

/// Above a call's timeout, what the host waits for its answer.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// Before the second delivery; doubled before each one after.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// Before trying again when the function does not start or the store fails.
const TROUBLE: Duration = Duration::from_secs(1);
/// Above the time that a delivery takes at most, for what the host itself does.
const MARGIN: Duration = Duration::from_secs(10);
/// Nothing is late by more than this, should the clock be set back.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// One queue's way to its function.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) store: Store,
    /// The queue's name in the store.
    pub(crate) queue: String,
    pub(crate) function: String,
    pub(crate) runner: Arc<Runner>,
    pub(crate) batch: usize,
    pub(crate) max_attempts: u32,
    /// The messages are events in the neutral form, for a function that takes one at a time.
    pub(crate) events: bool,
    /// One after the other.
    pub(crate) ordered: bool,
}

impl Delivery {
    /// Delivers until it is stopped, and ends the deliveries that it has begun. There are as many at once as the
    /// function's instances have places; at most one batch waits for one.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut noted = String::new();
        let mut calls = JoinSet::new();
        while !*stop.borrow() {
            while calls.try_join_next().is_some() {}
            // Before the look: what comes after it wakes.
            let changes = self.store.changes(&self.queue);
            let pause = match self.step(&mut calls).await {
                Ok(Step::Delivered) => {
                    if self.ordered {
                        calls.join_next().await;
                    }
                    continue;
                }
                Ok(Step::Stopped) => break,
                Ok(Step::Nothing(next)) => {
                    noted.clear();
                    next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
                }
                Err(error) => {
                    // Tried every second, written down once.
                    let line = format!("queue {}: {error}", self.queue);
                    if noted != line {
                        self.runner.note(&line);
                        noted = line;
                    }
                    TROUBLE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = changed(changes) => {}
                () = asked_to(&mut stop) => break,
            }
        }
        calls.join_all().await;
    }

    async fn step(&self, calls: &mut JoinSet<()>) -> Result<Step> {
        // Waiting for a process and the call each take this at most; what is not settled by then was forgotten.
        let visibility = 2 * (self.runner.timeout() + GRACE) + MARGIN;
        let claim = self.store.claim(&self.queue, self.batch, visibility).await?;
        if claim.messages.is_empty() {
            return Ok(Step::Nothing(claim.next));
        }
        // A message counts as delivered when the function may have seen it; waiting for a process does not count.
        let lease = match self.runner.lease(GRACE + self.runner.timeout()).await {
            Ok(lease) => lease,
            Err(error) => {
                let stopped = error.kind() == ErrorKind::Conflict;
                if !stopped {
                    tokio::time::sleep(TROUBLE).await;
                }
                self.store.unclaim(&self.queue, &claim);
                return Ok(if stopped { Step::Stopped } else { Step::Delivered });
            }
        };
        let delivery = self.clone();
        calls.spawn(async move {
            if let Err(error) = delivery.call(&claim, lease).await {
                delivery.runner.note(&format!("queue {}: {error}", delivery.queue));
            }
        });
        Ok(Step::Delivered)
    }

    async fn call(&self, claim: &Claim, mut lease: Lease) -> Result<()> {
        let id = request_id();
        lease.name(&id);
        let call = Call { id: &id, remaining: lease.timeout() };
        let answer = async {
            match claim.messages.as_slice() {
                [event] if self.events => {
                    let body = numbered(event);
                    Ok(match lease.wire.record(&self.function, body, call).await? {
                        Answer::Done(_) => Answer::Done(Vec::new()),
                        Answer::Failed(error) => Answer::Failed(error),
                    })
                }
                messages => lease.wire.queue(&self.function, messages, call).await,
            }
        };
        let answer = tokio::time::timeout(call.remaining + GRACE, answer).await;
        lease.end(outcome(&answer));
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                lease.broke();
                self.broken(lease.explain(error.message()))
            }
            Err(_) => {
                lease.report_stuck();
                self.broken("the function did not answer by its deadline".to_owned())
            }
        };
        drop(lease);
        let fates = fates(&claim.messages, answer, self.max_attempts);
        for (id, fate) in &fates {
            if let Fate::Dead(why) = fate {
                self.runner.note(&format!("message {id} of queue {} is put aside: {why}", self.queue));
            }
        }
        self.store.settle(&self.queue, claim.receipt, &fates).await
    }

    fn broken(&self, error: String) -> Answer<Vec<WireFailure>> {
        self.runner.note(&format!("a batch of queue {} comes again: {error}", self.queue));
        Answer::Failed(xcloud_local::binding::WireError { error, settlement: WireSettlement::Retry })
    }
}

/// An event with the number of its delivery.
fn numbered(event: &RawMessage) -> Bytes {
    let Ok(mut json) = serde_json::from_slice::<serde_json::Map<_, _>>(&event.body) else {
        // Not one of ours: the function says so.
        return event.body.clone();
    };
    json.insert(neutral::ATTEMPT.to_owned(), event.attempt.unwrap_or(1).to_string().into());
    serde_json::Value::Object(json).to_string().into()
}

/// How a batch ended, for the metrics: one message that failed is an error.
fn outcome<E>(answer: &std::result::Result<Result<Answer<Vec<WireFailure>>>, E>) -> Outcome {
    match answer {
        Ok(Ok(Answer::Done(failed))) if failed.is_empty() => Outcome::Ok,
        Ok(Ok(_)) => Outcome::Error,
        Ok(Err(_)) => Outcome::Broken,
        Err(_) => Outcome::Timeout,
    }
}

/// Resolves when the queue may have something new. A store that does not open has nothing.
async fn changed(changes: Result<watch::Receiver<()>>) {
    match changes {
        Ok(mut changes) => drop(changes.changed().await),
        Err(_) => std::future::pending().await,
    }
}

enum Step {
    Delivered,
    Nothing(Option<Duration>),
    Stopped,
}

/// What becomes of each message. A failure of the whole batch puts nothing aside at once unless the batch is one
/// message: the others may not be to blame.
fn fates(
    messages: &[RawMessage],
    answer: Answer<Vec<WireFailure>>,
    max_attempts: u32,
) -> Vec<(String, Fate)> {
    let failed: HashMap<String, (String, WireSettlement)> = match answer {
        Answer::Done(failed) => failed.into_iter().map(|f| (f.id, (f.error, f.settlement))).collect(),
        Answer::Failed(error) => {
            let settlement = if messages.len() == 1 { error.settlement } else { WireSettlement::Retry };
            messages.iter().map(|m| (m.id.clone(), (error.error.clone(), settlement))).collect()
        }
    };
    let fate = |message: &RawMessage| match failed.get(&message.id) {
        None => Fate::Done,
        Some((error, WireSettlement::DeadLetter)) => Fate::Dead(error.clone()),
        Some((error, WireSettlement::Retry)) => {
            let attempt = message.attempt.unwrap_or(1);
            if attempt >= max_attempts {
                Fate::Dead(format!("attempt {attempt} of {max_attempts} failed: {error}"))
            } else {
                Fate::Retry(retry_after(attempt))
            }
        }
    };
    messages.iter().map(|message| (message.id.clone(), fate(message))).collect()
}

/// 1 s after the first attempt, doubled after each, at most 5 min.
fn retry_after(attempt: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud_local::binding::WireError;

    fn message(id: &str, attempt: u32) -> RawMessage {
        RawMessage { id: id.to_owned(), attempt: Some(attempt), ..RawMessage::default() }
    }

    fn failure(id: &str, settlement: WireSettlement) -> WireFailure {
        WireFailure { id: id.to_owned(), settlement, error: "no".to_owned() }
    }

    #[test]
    fn only_what_failed_comes_again_or_is_put_aside() {
        let batch = [message("a", 1), message("b", 2), message("c", 5), message("d", 1)];
        let failed = vec![
            failure("b", WireSettlement::Retry),
            failure("c", WireSettlement::Retry),
            failure("d", WireSettlement::DeadLetter),
        ];
        let fates = fates(&batch, Answer::Done(failed), 5);
        assert_eq!(fates[0].1, Fate::Done);
        assert_eq!(fates[1].1, Fate::Retry(Duration::from_secs(2)));
        assert!(matches!(&fates[2].1, Fate::Dead(why) if why.contains("attempt 5 of 5")));
        assert_eq!(fates[3].1, Fate::Dead("no".to_owned()));
    }

    #[test]
    fn a_failed_batch_puts_a_message_aside_only_when_it_was_alone() {
        let failed =
            || Answer::Failed(WireError { error: "x".to_owned(), settlement: WireSettlement::DeadLetter });
        let two = fates(&[message("a", 1), message("b", 1)], failed(), 5);
        assert!(two.iter().all(|(_, fate)| matches!(fate, Fate::Retry(_))));
        assert!(matches!(fates(&[message("a", 1)], failed(), 5)[0].1, Fate::Dead(_)));
    }

    #[test]
    fn retries_wait_longer_each_time() {
        let seconds: Vec<_> = (1..=4).map(|n| retry_after(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8]);
        assert_eq!(retry_after(u32::MAX), LONGEST_RETRY);
    }
}
