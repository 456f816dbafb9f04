//! Throws broken events at every decoder: `cargo run --release --manifest-path tests/fuzz/Cargo.toml -- <family> <executions>`.
//!
//! Inputs are the golden events of the rooms, changed at random from a seed that is printed: the same family, number and
//! seed are the same inputs. It fails on a panic, on an input that takes too long, and on a golden event that is not
//! decoded.

mod corpus;
mod families;
mod mutate;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::corpus::Input;
use crate::families::{FAMILIES, Family, Verdict};
use crate::mutate::Mutator;

const HELP: &str = "usage: fuzz <family>|all <executions> [seed]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = parse(&arguments).and_then(|(families, executions, seed)| {
        families.into_iter().try_for_each(|family| run(family, executions, seed))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<(Vec<&'static Family>, u64, u64), String> {
    let names = FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>().join(", ");
    let usage = || format!("{HELP}\nfamilies: {names}");
    let number = |text: &str| text.replace('_', "").parse::<u64>().map_err(|_| usage());
    let [name, executions, seed @ ..] = arguments else { return Err(usage()) };
    let families: Vec<_> = FAMILIES.iter().filter(|family| name == "all" || name == family.name).collect();
    if families.is_empty() || seed.len() > 1 {
        return Err(usage());
    }
    let seed = seed.first().map_or(Ok(1), |seed| number(seed))?;
    Ok((families, number(executions)?, seed))
}

#[derive(Default)]
struct Counts {
    decoded: u64,
    unknown: u64,
    refused: u64,
}

fn run(family: &Family, executions: u64, seed: u64) -> Result<(), String> {
    let seeds = (family.seeds)()?;
    println!("{}: {} golden events, seed {seed}", family.name, seeds.len());
    for (name, input) in &seeds {
        match one(family, 0, input)? {
            Verdict::Decoded => {}
            other => return Err(format!("{}: the golden event {name} is {other:?}", family.name)),
        }
    }
    let mut mutator = Mutator::new(seed, seeds.into_iter().map(|(_, input)| input).collect());
    let (start, mut counts, mut slowest) = (Instant::now(), Counts::default(), Duration::ZERO);
    for at in 1..=executions {
        let input = mutator.next();
        let (verdict, took) = timed(family, at, &input, slowest)?;
        *match verdict {
            Verdict::Decoded => &mut counts.decoded,
            Verdict::Unknown => &mut counts.unknown,
            Verdict::Refused => &mut counts.refused,
        } += 1;
        slowest = slowest.max(took);
    }
    let Counts { decoded, unknown, refused } = counts;
    println!(
        "{}: {executions} executions in {:.1} s: {decoded} decoded, {unknown} of no known shape, {refused} refused, 0 panics, \
         slowest {slowest:.1?}",
        family.name,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// One execution and its time: the least of three where it seems slow, since the machine does other things too.
fn timed(family: &Family, at: u64, input: &Input, slowest: Duration) -> Result<(Verdict, Duration), String> {
    let mut took = Duration::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        let verdict = one(family, at, input)?;
        took = took.min(begin.elapsed());
        if took <= slowest {
            return Ok((verdict, took));
        }
    }
    Ok((one(family, at, input)?, took))
}

/// One execution, watched.
fn one(family: &Family, at: u64, input: &Input) -> Result<Verdict, String> {
    let result = watch::guarded(input, || (family.decode)(input));
    result.map_err(|panic| format!("{}: execution {at} panicked: {panic}\n{}", family.name, input.show()))
}
