//! `docs/limits.md`: the table of limits, for people.

use xcloud_deploy::check::{Fact, Limits, Memory, Named};

/// Compares, or writes with `XCLOUD_UPDATE_GOLDENS=1`.
pub(super) fn golden(path: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("XCLOUD_UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, kept, "differs from {}; XCLOUD_UPDATE_GOLDENS=1 writes it", path.display());
}

/// What a deployment to AWS does beside the table, as `providers/aws/deploy` has it.
const AWS: &str = "
## On AWS, when it is deployed

Where xcloud.toml says nothing, Lambda's own values hold: 128 MB, 3 s. Of a queue 10 messages come in one call and 5 attempts are
made; a log is kept for 30 days, unless somebody has set another time. `max_instances` is reserved concurrency, and of a queue's
function also the most calls that its mapping makes at once; `min_instances` is provisioned concurrency, which costs by the hour.
Where neither is set, a deployment takes both away from the function, also what was set by hand; `plan` shows it first.
Objects, ticks, topics' messages and events of your own are tried up to three times by Lambda itself, `max_attempts` may make it less;
what fails to the end lies, with the event in it, in the queue `<project>-<stage>-<function>_failed` for two weeks, and such a queue is kept
like other data. A change of a table is tried until it is a day old, or `max_attempts` times, and is then passed over.
Of two deployments of a stage that begin at once one stops before it has made more than a role. One that begins while
another is halfway takes over from it: the other asks before each move of traffic and stops (a move that it had just asked for
may still come, to a whole version of its own), and this one looks again where it meets what the other had on its way, a few times. What serves in the end is its own; a queue's setting that the other was
about to write may be left to the next deployment, and `plan` shows it. A package over 50 MiB goes through a bucket of the stage.
Nothing is made that sends to functions of the kinds `event` and `raw`: who has such events calls the function.

What passes by itself is tried again, with pauses of up to 90 s in all (throttling: 180 s), by its code and a part of its message:

| code | message | sent to us in a test |
|---|---|---|
| InvalidParameterValueException | cannot be assumed by Lambda | yes |
| InvalidParameterValueException | does not have permissions to call | yes |
| InvalidParameterValueException | is not authorized to perform; Cannot access stream | no |
| ResourceConflictException | in progress | yes |
| ResourceConflictException | currently in the following state: Pending | no |
| QueueDeletedRecently | any | yes |
| ValidationException | to assume the role; must allow AWS EventBridge Scheduler to assume | no |
| InvalidArgument | Unable to validate the following destination configurations | no |
| ResourceInUseException, ConcurrentModification, OperationAborted, DeleteConflict | any | no |
| throttling, in the words of IAM, Lambda, CloudWatch Logs, tagging and STS | any | yes |
| any, with a status of 500 or more | any | yes |

Some are from AWS's reference, others what people have met. We have seen none of them at AWS itself, to which no test deploys:
those that a test sends come from microburst, which makes them of AWS's models (`tests/cli/aws_burst.rs`).
";

/// The table of limits, for people: docs/limits.md is what the rooms say.
#[test]
fn the_page_of_limits_is_what_the_rooms_say() {
    let clouds: [Limits; 4] = [
        xcloud_aws_deploy::check::LIMITS,
        xcloud_azure_deploy::check::LIMITS,
        xcloud_gcp_deploy::check::LIMITS,
        xcloud_alibaba_deploy::check::LIMITS,
    ];
    let mut page = String::from(
        "# What each cloud can do\n\nThe table that `xcloud check` reads, each value with the page that states it \
         (`providers/*/deploy/src/check.rs`).\nWritten by `XCLOUD_UPDATE_GOLDENS=1 cargo test -p xcloud-cli`.\n\n\
         Not read again when the table was made, 2026-11: the lengths of names, the limits of queues' messages and of \
         SQS's attempts, Cloud Run's memory, Pub/Sub's\nacknowledgement deadline, and Azure's package. They are from \
         memory; the pages are where to check them.\n\n",
    );
    page += &format!("| |{}\n|---|---|---|---|---|\n", clouds.map(|c| format!(" {} |", c.platform)).concat());
    let mut row = |name: &str, cell: &dyn Fn(&Limits) -> (String, &'static str)| {
        let cells = clouds.iter().map(cell).map(|(value, source)| match source {
            "" => format!(" {value} |"),
            page if page.starts_with("https://") => format!(" [{value}]({page}) |"),
            said => format!(" {value} ({said}) |"),
        });
        page += &format!("| {name} |{}\n", cells.collect::<String>());
    };
    fn said<T>(fact: Fact<T>, say: impl FnOnce(T) -> String) -> (String, &'static str) {
        (say(fact.is), fact.source)
    }
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let or = |number: Option<u64>, otherwise: &str| number.map_or(otherwise.to_owned(), |n| n.to_string());
    let range = |range: Option<Fact<(u32, u32)>>| match range {
        Some(fact) => said(fact, |(least, most)| format!("{least} to {most}")),
        None => ("any".to_owned(), ""),
    };
    row("triggers", &|c| said(c.triggers, |t| t.join(", ")));
    row("messages in one call, at most", &|c| said(c.batch, |n| or(n.map(u64::from), "any")));
    row("retry of single messages of a batch", &|c| said(c.partial_failure, yes));
    row("streamed answers", &|c| said(c.streaming, yes));
    row("longest call, seconds", &|c| said(c.timeout, |n| or(n.map(u64::from), "any")));
    row("longest call for a message, seconds", &|c| match c.queue_timeout {
        Some(fact) => said(fact, |n| n.to_string()),
        None => ("as every call".to_owned(), ""),
    });
    row("memory, MB", &|c| {
        said(c.memory, |memory| match memory {
            Memory::Range(least, most, step) => format!("{least} to {most} in steps of {step}"),
            Memory::Sizes(sizes) => sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
        })
    });
    row("calls at once in an instance, at most", &|c| said(c.concurrency, |n| n.to_string()));
    row("`max_instances`", &|c| range(c.max_instances));
    row("`max_attempts`", &|c| range(c.max_attempts));
    row("longest name", &|c| {
        said(c.name, |name| match name {
            Named::Function(most) => format!("{most}, of a function"),
            Named::App(most) => format!("{most}, of the app"),
        })
    });
    row("longest name of a queue", &|c| said(c.queue_name, |n| n.to_string()));
    row("largest request, bytes", &|c| said(c.request, |n| n.to_string()));
    row("largest buffered answer, bytes", &|c| said(c.response, |n| or(n, "any")));
    row("largest message, bytes", &|c| said(c.message, |n| n.to_string()));
    row("largest package uploaded directly, bytes", &|c| said(c.package, |n| n.to_string()));
    row("environment, bytes", &|c| match c.env {
        Some(fact) => said(fact, |n| n.to_string()),
        None => ("any".to_owned(), ""),
    });
    row("names kept in the environment", &|c| said(c.reserved_env, |names| names.join(", ")));
    page += AWS;
    golden("../docs/limits.md", &page);
}
