//! How long a deployment takes by the number of its functions, at 50 ms a call and eight steps at once. Virtual time: the
//! same on every machine.

use std::time::Duration;

use tokio::time::Instant;
use xcloud_deploy::engine::Options;
use xcloud_tests::aws::{Settings, State};

use crate::{account, apps, run};

const CALL: Duration = Duration::from_millis(50);

/// Deploys so many functions: how long it takes and how many calls that are, then the same again when nothing changed.
async fn deployed(functions: usize) -> [(Duration, usize); 2] {
    let (_, wire) = account(State::new(Settings { settles: 0, roles: 0 }));
    let desired = apps::many(functions, 1);
    let mut all = [(Duration::ZERO, 0); 2];
    for one in &mut all {
        wire.disturb(None);
        let started = Instant::now();
        let ended = run(&wire, &desired).await;
        assert!(matches!(ended.result, Some(Ok(_))), "{functions} functions: {:?}", ended.result);
        *one = (started.elapsed(), wire.made().len());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_hundred_functions_take_their_calls_over_the_parallelism() {
    let parallel = u32::try_from(Options::default().parallel).expect("a small number");
    println!("functions  deploy s  calls  unchanged s  calls");
    let mut last = None;
    for functions in [1, 10, 25, 50, 100] {
        let [(first, calls), (again, reads)] = deployed(functions).await;
        println!(
            "{functions:9}  {:8.2}  {calls:5}  {:11.2}  {reads:5}",
            first.as_secs_f64(),
            again.as_secs_f64()
        );
        if functions == 100 {
            // What all calls take one after the other, over the parallelism; and what cannot be done beside: the guard,
            // the ends.
            let ideal = CALL * u32::try_from(calls).expect("some thousand calls") / parallel;
            assert!(first <= ideal * 3 / 2, "{first:?} for {calls} calls, {ideal:?} at best");
            // Two reads a resource at most: log group, role, function, version, alias, mapping, queue and its dead letters.
            assert!(reads <= 2 * 8 * functions, "{reads} reads for {functions} functions");
        }
        last = Some((functions, first));
    }
    assert_eq!(last.map(|(functions, _)| functions), Some(100));
}
