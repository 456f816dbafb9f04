//! Every call, every fault.

use std::collections::BTreeMap;

use xcloud_deploy::Desired;
use xcloud_tests::aws::{Settings, State};

use super::connector::{Fault, Made};
use super::{account, apps, run};

/// What is on its way is found so twice, and roles are known late.
const SETTINGS: Settings = Settings { settles: 2, roles: 1 };

/// What is deployed on what.
struct Scenario {
    name: &'static str,
    before: State,
    desired: Desired,
    after: State,
    calls: Vec<Made>,
}

impl Scenario {
    /// The undisturbed one says how it is to end, and how many calls there are.
    async fn of(name: &'static str, before: State, desired: Desired) -> Self {
        let (aws, wire) = account(before.clone());
        let run = run(&wire, &desired).await;
        let result = run.result.expect("nobody kills it");
        assert!(result.is_ok(), "{name}: {:?}: {:#?}", result.err(), wire.made());
        assert_eq!(wire.seen(), Vec::<String>::new(), "{name}");
        let calls = wire.made();
        Self { name, before, desired, after: aws.state(), calls }
    }

    /// Tries every point; what does not come to the same end is told.
    async fn sweep(&self) {
        let started = std::time::Instant::now();
        let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut points = 0;
        for k in 1..=self.calls.len() {
            for fault in Fault::ALL {
                points += 1;
                for failure in self.point(k, fault).await {
                    failures.entry(failure).or_default().push(format!("{k} {fault:?}"));
                }
            }
        }
        let took = started.elapsed();
        if failures.is_empty() {
            println!(
                "{}: {points} points tried on a simulator of AWS's control plane, all converged ({took:.1?})",
                self.name
            );
        }
        for (failure, points) in &failures {
            println!("{}: {failure}: at {} points: {points:?}", self.name, points.len());
        }
        assert!(failures.is_empty(), "{}: {points} points in {took:.1?}", self.name);
    }

    /// What went wrong at one point.
    async fn point(&self, k: usize, fault: Fault) -> Vec<String> {
        let mut failures = Vec::new();
        let (aws, wire) = account(self.before.clone());
        let allowed = [self.before.serving(), self.after.serving()];
        wire.watch(move |state| complete(state, &allowed));
        wire.disturb(Some((k, fault)));
        let first = run(&wire, &self.desired).await;
        let made = wire.made();
        let at = made.get(k - 1).map_or("never", |made| made.name.as_str()).to_owned();
        let mut fails = |what: String| failures.push(format!("{at}: {what}"));
        match (fault, &first.result) {
            (Fault::Killed, Some(_)) => fails("was not killed".to_owned()),
            (_, Some(Err(error))) => fails(format!("the run failed: {error}")),
            _ => {}
        }
        wire.disturb(None);
        let second = run(&wire, &self.desired).await;
        if let Some(Err(error)) = second.result {
            fails(format!("the second run failed: {error}"));
        }
        if let Some(difference) = difference(&self.after, &aws.state()) {
            fails(difference);
        }
        let third = run(&wire, &self.desired).await;
        if third.writes > 0 {
            let writes = wire.made().into_iter().filter(|made| !made.reads).map(|made| made.name);
            fails(format!("the third run still writes: {:?}", writes.collect::<Vec<_>>()));
        }
        for seen in wire.seen() {
            fails(seen);
        }
        failures
    }
}

type Serving = Result<BTreeMap<String, serde_json::Value>, String>;

/// Whether what serves is a whole version of one of these.
fn complete(state: &State, allowed: &[Serving]) -> Result<(), String> {
    let now = state.serving()?;
    for (function, config) in now {
        let fits = |serving: &Serving| serving.as_ref().is_ok_and(|all| all.get(&function) == Some(&config));
        if !allowed.iter().any(fits) {
            return Err(format!("{function} serves neither the old nor the new: {config}"));
        }
    }
    Ok(())
}

/// The first resource that is not as it is to be.
fn difference(wanted: &State, now: &State) -> Option<String> {
    let (wanted, now) = (wanted.resources(), now.resources());
    let names = wanted.keys().chain(now.keys());
    let differs = |name: &&String| wanted.get(*name) != now.get(*name);
    let name = names.into_iter().find(differs)?;
    let text = |value: Option<&serde_json::Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    Some(format!("{name} is {} and not {}", text(now.get(name)), text(wanted.get(name))))
}

#[tokio::test(start_paused = true)]
async fn a_first_deployment_of_orders() {
    Scenario::of("orders, first", State::new(SETTINGS), apps::orders(1)).await.sweep().await;
}
