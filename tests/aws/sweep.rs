//! Every call, every fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;
use xcloud_core::Result;
use xcloud_deploy::{Desired, Plan};
use xcloud_tests::aws::{Aws, Settings, State};

use super::connector::{Fault, Made, Wire};
use super::{account, apps, run};

/// What is on its way is found so twice, and roles are known late.
pub(crate) const SETTINGS: Settings = Settings { settles: 2, roles: 1 };

/// What is deployed on what.
struct Scenario {
    name: &'static str,
    before: State,
    desired: Desired,
    after: State,
    calls: Vec<Made>,
    rotates: bool,
    /// Ends after which a further run had nothing to do.
    settled: Mutex<BTreeSet<String>>,
}

/// An account in which this is deployed.
pub(crate) async fn deployed(before: State, desired: &Desired) -> State {
    let (aws, wire) = account(before);
    let result = run(&wire, desired).await.result.expect("nobody kills it");
    assert!(result.is_ok(), "{:?}: {:#?}", result.err(), wire.made());
    assert_eq!(wire.seen(), Vec::<String>::new());
    aws.settle();
    aws.state()
}

impl Scenario {
    /// The undisturbed one says how it is to end, and how many calls there are.
    async fn of(name: &'static str, before: State, desired: Desired) -> Self {
        let (aws, wire) = account(before.clone());
        let result = run(&wire, &desired).await.result.expect("nobody kills it");
        assert!(result.is_ok(), "{name}: {:?}: {:#?}", result.err(), wire.made());
        assert_eq!(wire.seen(), Vec::<String>::new(), "{name}");
        let calls = wire.made();
        Self {
            name,
            before,
            desired,
            after: aws.state(),
            calls,
            rotates: name.starts_with("triggers"),
            settled: Mutex::default(),
        }
    }

    /// Tries every point; what does not come to the same end is told.
    async fn sweep(&self) {
        let started = Instant::now();
        let points: Vec<_> = self.points().collect();
        let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (k, fault) in &points {
            for failure in self.point(*k, *fault).await {
                failures.entry(failure).or_default().push(format!("{k} {fault:?}"));
            }
        }
        let (points, took) = (points.len(), started.elapsed());
        for (failure, points) in &failures {
            println!("{}: {failure}: at {} points: {}", self.name, points.len(), points.join(", "));
        }
        let calls = self.calls.len();
        let tried = format!("{points} points ({calls} calls) tried on a simulator of AWS's control plane");
        assert!(
            failures.is_empty(),
            "{}: {tried} in {took:.1?}: {} kinds of failure",
            self.name,
            failures.len()
        );
        println!("{}: {tried}, all converged, in {took:.1?}", self.name);
    }

    /// Each call with each fault; on a call that changes nothing it is the same before and after. Where it `rotates`, such
    /// calls have one of the five each, in turn, and of a service's failure and a broken connection the others have one;
    /// unless all are asked for.
    fn points(&self) -> impl Iterator<Item = (usize, Fault)> {
        let all = std::env::var("XCLOUD_FAULT_POINTS").is_ok_and(|points| points == "all");
        let rotates = self.rotates && !all;
        let of = move |(at, made): (usize, &Made)| {
            let mut faults: Vec<_> =
                Fault::ALL.into_iter().filter(|fault| !made.reads || !fault.is_after()).collect();
            if rotates && made.reads {
                faults = vec![faults[at % faults.len()]];
            } else if rotates {
                faults.retain(|fault| fault.is_reset().is_none_or(|reset| reset == (at % 2 == 0)));
            }
            faults.into_iter().map(move |fault| (at + 1, fault))
        };
        self.calls.iter().enumerate().flat_map(of)
    }

    /// What went wrong at one point.
    async fn point(&self, k: usize, fault: Fault) -> Vec<String> {
        let (aws, wire) = account(self.before.clone());
        let allowed = [self.before.serving(), self.after.serving()];
        wire.watch(move |state| complete(state, &allowed));
        wire.disturb(Some((k, fault)));
        let result = run(&wire, &self.desired).await.result;
        let Some(hit) = wire.made().get(k - 1).cloned() else { return vec!["was not reached".to_owned()] };
        let mut failures = Vec::new();
        let fine = matches!(result, Some(Ok(_)));
        match result {
            None => {}
            Some(Ok(_)) if fault == Fault::Killed => failures.push("it was not killed".to_owned()),
            Some(Ok(_)) => failures.extend(difference(&self.after, &aws.state())),
            Some(Err(error)) => failures.push(format!("the run failed: {error}")),
        }
        if !fine {
            failures.extend(self.again(&aws, &wire).await);
        }
        failures.extend(self.settles(&aws, &wire).await);
        failures.extend(wire.seen());
        failures.dedup();
        failures.into_iter().map(|failure| format!("{}: {failure}", hit.name)).collect()
    }

    /// The run after the disturbed one comes to the end.
    async fn again(&self, aws: &Aws, wire: &Wire) -> Vec<String> {
        let mut failures = Vec::new();
        wire.disturb(None);
        let second = run(wire, &self.desired).await;
        failures.extend(failed(&second.result).map(|error| format!("the second run failed: {error}")));
        failures.extend(difference(&self.after, &aws.state()));
        failures
    }

    /// The run after that has nothing to do; from the same end it is tried once.
    async fn settles(&self, aws: &Aws, wire: &Wire) -> Vec<String> {
        let mut failures = Vec::new();
        if !self.settled.lock().expect("nobody panics with it").insert(aws.look(whole)) {
            return failures;
        }
        aws.settle();
        wire.disturb(None);
        let third = run(wire, &self.desired).await;
        failures.extend(failed(&third.result).map(|error| format!("the third run failed: {error}")));
        if third.writes > 0 {
            let writes = wire.made().into_iter().filter(|made| !made.reads).map(|made| made.name);
            failures.push(format!("the third run still writes: {:?}", writes.collect::<Vec<_>>()));
        }
        failures
    }
}

fn failed(result: &Option<Result<Plan>>) -> Option<String> {
    result.as_ref()?.as_ref().err().map(ToString::to_string)
}

type Serving = std::result::Result<BTreeMap<String, (Value, bool)>, String>;

/// Whether what serves is a whole version of one of these, and takes calls where there was one that did.
fn complete(state: &State, allowed: &[Serving; 2]) -> std::result::Result<(), String> {
    for (function, (config, ready)) in state.serving()? {
        let of = |serving: &Serving| serving.as_ref().ok()?.get(&function).map(|(config, _)| config.clone());
        let served = of(&allowed[0]);
        if !ready && served.is_some() {
            return Err(format!("{function} serves with a version that takes no calls yet"));
        }
        if served.as_ref() != Some(&config) && of(&allowed[1]).as_ref() != Some(&config) {
            return Err(format!("{function} serves neither the old nor the new: {config}"));
        }
    }
    Ok(())
}

/// An end, with how many versions there are of what.
fn whole(state: &State) -> String {
    let resources = state.resources();
    let names = resources.keys().filter_map(|id| id.strip_prefix("function/"));
    let versions: Vec<_> = names.map(|name| state.versions(name)).collect();
    format!("{resources:?} {versions:?}")
}

/// The first resource that is not as it is to be.
pub(crate) fn difference(wanted: &State, now: &State) -> Option<String> {
    let (wanted, now) = (wanted.resources(), now.resources());
    let names = wanted.keys().chain(now.keys());
    let differs = |name: &&String| wanted.get(*name) != now.get(*name);
    let name = names.into_iter().find(differs)?;
    let text = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    Some(format!("{name} is {} and not {}", text(now.get(name)), text(wanted.get(name))))
}

#[tokio::test(start_paused = true)]
async fn orders_first() {
    Scenario::of("orders, first", State::new(SETTINGS), apps::orders(1)).await.sweep().await;
}

#[tokio::test(start_paused = true)]
async fn orders_update() {
    let before = deployed(State::new(SETTINGS), &apps::orders(1)).await;
    Scenario::of("orders, update", before, apps::orders(2)).await.sweep().await;
}

#[tokio::test(start_paused = true)]
async fn orders_destroy() {
    let before = deployed(State::new(SETTINGS), &apps::orders(1)).await;
    let scenario = Scenario::of("orders, destroy", before, apps::nothing()).await;
    assert!(scenario.after.resources().is_empty(), "{:?}", scenario.after.resources());
    scenario.sweep().await;
}

#[tokio::test(start_paused = true)]
async fn triggers_first() {
    Scenario::of("triggers, first", State::new(SETTINGS), apps::triggers(1)).await.sweep().await;
}

#[tokio::test(start_paused = true)]
async fn triggers_update() {
    let before = deployed(State::new(SETTINGS), &apps::triggers(1)).await;
    Scenario::of("triggers, update", before, apps::triggers(2)).await.sweep().await;
}

#[tokio::test(start_paused = true)]
async fn triggers_destroy() {
    let before = deployed(State::new(SETTINGS), &apps::triggers(1)).await;
    let scenario = Scenario::of("triggers, destroy", before, apps::nothing()).await;
    assert!(scenario.after.resources().is_empty(), "{:?}", scenario.after.resources());
    scenario.sweep().await;
}

/// What is on its way out is not what is there.
#[tokio::test(start_paused = true)]
async fn triggers_right_after_a_destroy() {
    let wanted = deployed(State::new(SETTINGS), &apps::triggers(1)).await;
    let (aws, wire) = account(wanted.clone());
    assert!(matches!(run(&wire, &apps::nothing()).await.result, Some(Ok(_))));
    let result = run(&wire, &apps::triggers(1)).await.result.expect("nobody kills it");
    assert!(result.is_ok(), "{:?}", result.err());
    assert_eq!(difference(&wanted, &aws.state()), None);
}
