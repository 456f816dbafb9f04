//! Two deployments at once, of different versions of an app: the second begins at each call of the first, and either runs
//! while the first is held there, or beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use xcloud_deploy::Desired;
use xcloud_tests::aws::{Aws, State};

use super::connector::{Made, Wire};
use super::sweep::{SETTINGS, deployed};
use super::{Run, account, apps, run};

/// Whether the first waits while the second runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Held,
    Beside,
}

/// How often what came of it.
#[derive(Debug, Default)]
struct Tally {
    first: usize,
    second: usize,
    both: usize,
    /// Orderings after which the winner's next run still had something to put right.
    mended: usize,
    failures: BTreeMap<String, Vec<String>>,
    /// Orderings in which one that was overtaken had asked whether it was just before it was, and moved a function's
    /// traffic just after: to a whole version of its own, which the winner then moved to its own.
    late: usize,
}

struct Contest {
    name: &'static str,
    before: State,
    desired: [Desired; 2],
    /// What each comes to alone.
    alone: [State; 2],
}

impl Contest {
    async fn of(name: &'static str, before: State, desired: [Desired; 2]) -> Self {
        let alone =
            [deployed(before.clone(), &desired[0]).await, deployed(before.clone(), &desired[1]).await];
        Self { name, before, desired, alone }
    }

    /// Every ordering; tells what came of them.
    async fn all(&self) {
        let calls = {
            let (_, wire) = account(self.before.clone());
            run(&wire, &self.desired[0]).await;
            wire.made().len()
        };
        let mut tally = Tally::default();
        for k in 1..=calls {
            for order in [Order::Held, Order::Beside] {
                self.one(k, order, &mut tally).await;
            }
        }
        let Tally { first, second, both, mended, failures, late } = tally;
        let of = 2 * calls;
        println!(
            "{}: {of} orderings tried on a simulator of AWS's control plane: the first won {first}, the second {second}, \
             both ended well {both}; after {mended} the winner's next run had something to put right; in {late} the \
             overtaken one's traffic moved once more, for the time until the winner's",
            self.name
        );
        for (failure, orderings) in &failures {
            println!("{}: {failure}: in {} orderings: {}", self.name, orderings.len(), orderings.join(", "));
        }
        assert!(failures.is_empty(), "{}: {} kinds of failure", self.name, failures.len());
    }

    async fn one(&self, k: usize, order: Order, tally: &mut Tally) {
        let (aws, first) = account(self.before.clone());
        let second = Wire::new(Arc::clone(&aws));
        for wire in [&first, &second] {
            self.watch(wire);
        }
        let gate = first.hold(k);
        let later = async {
            gate.reached.notified().await;
            if order == Order::Beside {
                gate.go.notify_one();
            }
            let run = run(&second, &self.desired[1]).await;
            gate.go.notify_one();
            run
        };
        let (earlier, later) = tokio::join!(run(&first, &self.desired[0]), later);
        let mut failures = [first.seen(), second.seen()].concat();
        failures.extend(lost(&earlier, &first.made()));
        failures.extend(lost(&later, &second.made()));
        tally.late += usize::from(is_late(&earlier, &first.made(), &second.made()));
        let fine = |run: &Run| matches!(run.result, Some(Ok(_)));
        match (fine(&earlier), fine(&later)) {
            (true, true) => tally.both += 1,
            (true, false) => tally.first += 1,
            (false, true) => tally.second += 1,
            (false, false) => failures.push(format!("neither ended: {}; {}", why(&earlier), why(&later))),
        }
        failures.extend(self.end(&aws, [fine(&earlier), fine(&later)], tally).await);
        let at = first.made().get(k - 1).map(|made| made.name.clone()).unwrap_or_default();
        for failure in failures {
            tally.failures.entry(failure).or_default().push(format!("{k} {order:?} ({at})"));
        }
    }

    /// What serves is the winner's, and its next run leaves everything as if it had been alone.
    async fn end(&self, aws: &Arc<Aws>, won: [bool; 2], tally: &mut Tally) -> Option<String> {
        let wanted = self.alone.each_ref().map(serving);
        let now = aws.look(serving);
        let winner = (0..2).find(|at| won[*at] && wanted[*at] == now);
        let Some(winner) = winner else {
            return won.contains(&true).then(|| "what serves is not the winner's".to_owned());
        };
        let again = run(&Wire::new(Arc::clone(aws)), &self.desired[winner]).await;
        tally.mended += usize::from(again.writes > 0);
        if let Some(Err(error)) = again.result {
            return Some(format!("the winner's next run failed: {error}"));
        }
        let (wanted, now) = (plain(&self.alone[winner]), aws.look(plain));
        let name = wanted.keys().chain(now.keys()).find(|name| wanted.get(*name) != now.get(*name))?;
        Some(format!("{name} is {:?} and not {:?}", now.get(name), wanted.get(name)))
    }

    /// What serves is always a whole version of somebody's.
    fn watch(&self, wire: &Wire) {
        let allowed = [serving(&self.before), serving(&self.alone[0]), serving(&self.alone[1])];
        wire.watch(move |state| {
            state.serving()?;
            let fits =
                |(name, config): (&String, &Value)| allowed.iter().any(|all| all.get(name) == Some(config));
            let wrong = serving(state).into_iter().find(|(name, config)| !fits((name, config)));
            wrong.map_or(Ok(()), |(name, config)| Err(format!("{name} serves nobody's version: {config}")))
        });
    }
}

/// What is wrong with how one lost: it says that another is under way; and whom the guard has kept out has made roles at
/// most.
fn lost(run: &Run, made: &[Made]) -> Vec<String> {
    let Some(Err(error)) = &run.result else { return Vec::new() };
    let mut failures = Vec::new();
    if !error.to_string().contains("another deployment of this stage is under way") {
        failures.push(format!("the loser says: {error}"));
    }
    let writes = || made.iter().filter(|made| made.changed());
    if !writes().any(|made| made.name.starts_with("lambda:")) {
        let others = writes().filter(|made| !made.name.starts_with("iam:"));
        failures.extend(others.map(|made| format!("the loser wrote: {}", made.name)));
    }
    failures
}

/// Whether one that was overtaken moved traffic after the other's first write.
fn is_late(run: &Run, made: &[Made], other: &[Made]) -> bool {
    let first = other.iter().find(|made| made.changed() && made.name.starts_with("lambda:"));
    let Some(first) = first.and_then(|made| made.at) else { return false };
    let moved = |made: &Made| made.changed() && made.name.contains("Alias") && made.at > Some(first);
    matches!(run.result, Some(Err(_))) && made.iter().any(moved)
}

/// Why a run failed, without the ids.
fn why(run: &Run) -> String {
    let error = run.result.as_ref().and_then(|result| result.as_ref().err()).map(ToString::to_string);
    error.unwrap_or_default().chars().take(220).collect()
}

/// What serves, whatever the app's versions are called.
fn serving(state: &State) -> BTreeMap<String, Value> {
    let all = state.serving().unwrap_or_default();
    all.into_iter().map(|(name, (config, _))| (name, nameless(config))).collect()
}

fn plain(state: &State) -> BTreeMap<String, Value> {
    state.resources().into_iter().map(|(name, value)| (name, nameless(value))).collect()
}

/// Without the app's version numbers, which depend on who was there before.
fn nameless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(all) => {
            all.retain(|key, _| key != "Description" && key != "versions");
            all.values_mut().for_each(|inner| *inner = nameless(inner.take()));
        }
        Value::Array(all) => all.iter_mut().for_each(|inner| *inner = nameless(inner.take())),
        _ => {}
    }
    value
}

#[tokio::test(start_paused = true)]
async fn two_first_deployments() {
    let contest =
        Contest::of("two first deployments", State::new(SETTINGS), [apps::orders(1), apps::orders(2)]);
    contest.await.all().await;
}

#[tokio::test(start_paused = true)]
async fn two_updates() {
    let before = deployed(State::new(SETTINGS), &apps::orders(1)).await;
    Contest::of("two updates", before, [apps::orders(2), apps::orders(3)]).await.all().await;
}
