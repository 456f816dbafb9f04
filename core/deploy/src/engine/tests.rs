use std::sync::Mutex;

use async_trait::async_trait;
use xcloud_core::spec::Spec;

use super::*;
use crate::plan::Action;
use crate::provider::{Artifact, Binary, Capability, Finding, Observed, Stage};

/// A provider whose steps take a second, or so long, fail as told, and are written down.
#[derive(Default)]
struct Scripted {
    takes: Option<Duration>,
    log: Mutex<Vec<String>>,
    /// Step, how often it fails, whether that passes.
    fails: Mutex<HashMap<String, (u32, bool)>>,
    at_once: Mutex<(usize, usize)>,
    /// What is planned when it looks again, and whether it holds its guard.
    again: Mutex<Vec<Plan>>,
    holds: bool,
}

impl Scripted {
    fn failing(step: &str, times: u32, passes: bool) -> Self {
        let this = Self::default();
        this.fails.lock().unwrap().insert(step.to_owned(), (times, passes));
        this
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl Provider for Scripted {
    fn id(&self) -> &'static str {
        "scripted"
    }
    fn capability(&self) -> Capability {
        Capability::default()
    }
    fn check(&self, _: &Stage, _: &Spec) -> Vec<Finding> {
        Vec::new()
    }
    fn package(&self, _: &Stage, _: &Binary, _: &Spec) -> Result<Artifact> {
        Err(Error::not_found("no package"))
    }
    async fn observe(&self, _: &Desired) -> Result<Observed> {
        Ok(Observed::default())
    }
    fn plan(&self, _: &Desired, _: &Observed) -> Plan {
        self.again.lock().unwrap().pop().unwrap_or_else(|| plan(&[]))
    }
    async fn holds(&self, _: &Desired) -> Result<bool> {
        Ok(self.holds)
    }
    async fn apply(&self, step: &Step<'_>) -> Result<()> {
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        tokio::time::sleep(self.takes.unwrap_or(Duration::from_secs(1))).await;
        self.at_once.lock().unwrap().0 -= 1;
        let resource = &step.change.resource;
        if let Some((times, passes)) = self.fails.lock().unwrap().get_mut(resource)
            && *times > 0
        {
            *times -= 1;
            let error = if *passes { Error::unavailable("busy") } else { Error::handler("broken") };
            return Err(if resource.starts_with("taken") {
                Error::conflict("made by another")
            } else {
                error
            });
        }
        self.log.lock().unwrap().push(resource.clone());
        Ok(())
    }
    async fn publish(&self, _: &Desired) -> Result<()> {
        if let Some((times, _)) = self.fails.lock().unwrap().get_mut("publish")
            && *times > 0
        {
            *times -= 1;
            return Err(Error::unavailable("busy"));
        }
        self.log.lock().unwrap().push("publish".to_owned());
        Ok(())
    }
    fn retries(&self, error: &Error) -> Option<Duration> {
        (error.kind() == ErrorKind::Unavailable).then_some(Duration::from_secs(60))
    }
    fn calls(&self) -> (u64, u64) {
        (0, 0)
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn step(&self, change: &Change, state: State<'_>, _: Duration) {
        let word = match state {
            State::Running => return,
            State::Warning(_) => "warning",
            State::Done => "done",
            State::Failed(_) => "failed",
            State::Skipped => "skipped",
        };
        self.0.lock().unwrap().push(format!("{word} {}", change.resource));
    }

    fn publish(&self, state: State<'_>, _: Duration) {
        let word = if matches!(state, State::Running) { "begun" } else { "done" };
        self.0.lock().unwrap().push(format!("{word} publish"));
    }
}

/// Steps by name and what they come after.
fn plan(steps: &[(&str, &[&str])]) -> Plan {
    let one = |(name, after): &(&str, &[&str])| change(name, after.iter().map(|s| (*s).to_owned()).collect());
    Plan { provider: "scripted".to_owned(), changes: steps.iter().map(one).collect(), guard: None }
}

fn change(resource: &str, after: Vec<String>) -> Change {
    let (resource, reason) = (resource.to_owned(), String::new());
    Change { action: Action::Create, resource, reason, fields: Vec::new(), after, data: false }
}

fn desired() -> Desired {
    let stage = Stage { project: "shop".to_owned(), stage: "dev".to_owned() };
    Desired::nothing(stage)
}

async fn run(provider: &Scripted, plan: &Plan, options: &Options) -> (Result<()>, Vec<String>) {
    let heard = Heard::default();
    let result = apply(provider, plan, &desired(), options, &heard).await;
    (result, heard.0.into_inner().unwrap())
}

const DIAMOND: &[(&str, &[&str])] = &[
    ("role", &[]),
    ("queue", &[]),
    ("function", &["role"]),
    ("mapping", &["function", "queue", "not in the plan"]),
];

#[tokio::test(start_paused = true)]
async fn steps_come_after_what_they_need_and_the_publish_last() {
    let provider = Scripted::default();
    let started = Instant::now();
    let (result, heard) = run(&provider, &plan(DIAMOND), &Options::default()).await;
    result.unwrap();
    assert_eq!(heard[4..], ["begun publish", "done publish"]);
    let log = provider.log();
    let at = |name: &str| log.iter().position(|n| n == name).unwrap();
    assert!(at("role") < at("function") && at("function") < at("mapping") && at("queue") < at("mapping"));
    assert_eq!(log.last().map(String::as_str), Some("publish"));
    // Three seconds deep, although it has four steps of a second.
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn time_grows_with_the_number_of_steps_over_the_parallelism() {
    let names: Vec<String> = (0..100).map(|n| format!("f{n}")).collect();
    let steps: Vec<(&str, &[&str])> = names.iter().map(|n| (n.as_str(), &[][..])).collect();
    let provider = Scripted::default();
    let started = Instant::now();
    run(&provider, &plan(&steps), &Options { parallel: 10, ..Options::default() }).await.0.unwrap();
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(provider.at_once.lock().unwrap().1, 10);
}

/// The steps of so many functions as a cloud has them: a role, the function, its version, the alias, the trigger.
fn functions(count: usize) -> Plan {
    let kinds = ["role", "function", "version", "alias", "trigger"];
    let id = |kind: &str, n: usize| format!("{kind}/f{n}");
    let mut changes = Vec::new();
    for n in 0..count {
        for (at, kind) in kinds.iter().enumerate() {
            let after = at.checked_sub(1).map(|before| id(kinds[before], n));
            changes.push(change(&id(kind, n), after.into_iter().collect()));
        }
    }
    Plan { provider: "scripted".to_owned(), changes, guard: Some("function/f0".to_owned()) }
}

/// At 50 ms a call: the time grows with the number of steps over the parallelism, whatever the graph's shape.
#[tokio::test(start_paused = true)]
async fn a_hundred_functions_take_their_steps_over_the_parallelism() {
    let call = Duration::from_millis(50);
    let mut times = Vec::new();
    for (count, parallel) in [(100, 8), (100, 16), (50, 8)] {
        let provider = Scripted { takes: Some(call), ..Scripted::default() };
        let plan = functions(count);
        let started = Instant::now();
        let options = Options { parallel, ..Options::default() };
        run(&provider, &plan, &options).await.0.unwrap();
        let took = started.elapsed();
        let rounds = u32::try_from((count * 5).div_ceil(parallel)).unwrap();
        assert!(took <= (call * rounds).mul_f64(1.2), "{count} functions at {parallel}: {took:?}");
        assert!(took >= call * rounds, "more than {parallel} at once: {took:?}");
        assert_eq!(provider.at_once.lock().unwrap().1, parallel);
        times.push(took);
    }
    assert!(times[1] < times[0] && times[2] < times[0], "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_and_told() {
    let provider = Scripted::failing("function", 3, true);
    let (result, heard) = run(&provider, &plan(DIAMOND), &Options::default()).await;
    result.unwrap();
    assert_eq!(heard.iter().filter(|line| *line == "warning function").count(), 3);
    assert_eq!(provider.log().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_fails_in_a_way_that_passes_is_tried_again() {
    let provider = Scripted::failing("publish", 2, true);
    let (result, _) = run(&provider, &plan(&[("a", &[])]), &Options::default()).await;
    result.unwrap();
    assert_eq!(provider.log(), ["a", "publish"]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_keeps_what_comes_after_it_and_the_publish_from_beginning() {
    let provider = Scripted::failing("function", 1, false);
    let (result, heard) = run(&provider, &plan(DIAMOND), &Options::default()).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("broken") && error.contains("function"), "{error}");
    assert!(heard.contains(&"failed function".to_owned()) && heard.contains(&"skipped mapping".to_owned()));
    assert!(!provider.log().contains(&"publish".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_steps_limit() {
    let provider = Scripted::failing("role", u32::MAX, true);
    let started = Instant::now();
    let options = Options { step: Duration::from_secs(20), ..Options::default() };
    let (result, _) = run(&provider, &plan(DIAMOND), &options).await;
    assert!(result.unwrap_err().to_string().contains("busy"));
    assert!(started.elapsed() <= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_nothing_begins_and_what_runs_ends() {
    let (sender, stop) = watch::channel(false);
    let provider = Scripted::default();
    let plan = plan(DIAMOND);
    let options = Options { stop, ..Options::default() };
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sender.send_replace(true);
    };
    let ((result, heard), ()) = tokio::join!(run(&provider, &plan, &options), stopping);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    let mut log = provider.log();
    log.sort();
    assert_eq!(log, ["queue", "role"]);
    assert!(heard.contains(&"skipped function".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_guarded_step_and_what_leads_to_it_come_before_every_other() {
    let provider = Scripted::failing("function", 1, false);
    let guarded = Plan { guard: Some("function".to_owned()), ..plan(DIAMOND) };
    let (result, _) = run(&provider, &guarded, &Options::default()).await;
    assert!(result.is_err());
    // The other deployment has won: nothing but what led to the guard was written.
    assert_eq!(provider.log(), ["role"]);
}

#[tokio::test(start_paused = true)]
async fn a_circle_is_refused_before_anything_begins() {
    let provider = Scripted::default();
    let circle = plan(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]);
    let error = run(&provider, &circle, &Options::default()).await.0.unwrap_err();
    assert!(error.message().contains("a, b"), "{error}");
    assert!(provider.log().is_empty());
    assert!(run(&provider, &plan(&[]), &Options::default()).await.0.is_ok() && provider.log().is_empty());
}

/// A plan that meets with another deployment's queue: seen again, the queue is there.
async fn met(times: u32, holds: bool) -> (Result<()>, Vec<String>, usize) {
    let steps = plan(&[("function", &[]), ("taken", &["function"]), ("alias", &["taken"])]);
    let mut again = vec![plan(&[("alias", &[])])];
    again.resize(if times > 1 { 9 } else { 1 }, steps.clone());
    let provider = Scripted { again: Mutex::new(again), holds, ..Scripted::failing("taken", times, false) };
    struct Again(Mutex<usize>);
    impl Progress for Again {
        fn step(&self, _: &Change, _: State<'_>, _: Duration) {}
        fn again(&self, error: &Error, _: &Plan) {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            *self.0.lock().unwrap() += 1;
        }
    }
    let heard = Again(Mutex::new(0));
    let result = deploy(&provider, &steps, &desired(), &Options::default(), &heard).await;
    (result, provider.log(), heard.0.into_inner().unwrap())
}

#[tokio::test(start_paused = true)]
async fn who_holds_the_guard_looks_again_after_a_conflict_and_who_does_not_ends() {
    let (result, log, again) = met(1, true).await;
    assert!(result.is_ok() && again == 1, "{result:?}");
    assert_eq!(log, ["function", "alias", "publish"]);
    let (result, log, again) = met(1, false).await;
    assert_eq!((result.unwrap_err().kind(), again), (ErrorKind::Conflict, 0));
    assert_eq!(log, ["function"]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_does_not_end_is_told_in_the_end() {
    let (result, log, again) = met(u32::MAX, true).await;
    assert_eq!((result.unwrap_err().kind(), again), (ErrorKind::Conflict, 5));
    assert!(!log.contains(&"alias".to_owned()), "{log:?}");
}
