//! `xcloud queue`

use std::io::{IsTerminal, Write};

use serde_json::json;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_deploy::{Peek, Peeked, QueueStatus};

use super::Project;
use crate::args::{Args, Queue, QueueVerb};
use crate::printer::Done;

/// Looks at queues or changes what they hold.
pub(super) async fn run(project: &Project, args: &Args, options: &Queue) -> Result<Done> {
    let operated = project.operated(args).await?;
    let provider = operated.provider.as_queues()?;
    let stage = &project.stage;
    match &options.verb {
        QueueVerb::Ls => Ok(listed(&provider.queues(stage).await?)),
        QueueVerb::Peek { name, dead, n } => {
            let peek = Peek { queue: name.clone(), dead: *dead, limit: *n };
            Ok(peeked(&provider.peek(stage, peek).await?))
        }
        QueueVerb::Redrive { name } => {
            let moved = provider.redrive(stage, name).await?;
            let message = format!("{} of queue {name} wait again", messages(moved));
            Ok(Done::new(&message, json!({ "queue": name, "redriven": moved }), format!("{message}\n")))
        }
        QueueVerb::Purge { name, dead } => {
            let what = if *dead { "put aside" } else { "waiting" };
            let queues = provider.queues(stage).await?;
            let queue = queues.iter().find(|queue| queue.name == *name);
            let held = queue.map_or(0, |queue| if *dead { queue.dead } else { queue.waiting });
            if held > 0 {
                confirm(args, &format!("Remove {} {what} in queue {name}?", messages(held)), name)?;
            }
            let gone = provider.purge(stage, name, *dead).await?;
            let message = format!("{} {what} removed from queue {name}", messages(gone));
            Ok(Done::new(&message, json!({ "queue": name, "purged": gone }), format!("{message}\n")))
        }
    }
}

fn messages(n: u64) -> String {
    if n == 1 { "1 message".to_owned() } else { format!("{n} messages") }
}

fn listed(queues: &[QueueStatus]) -> Done {
    let mut text = String::new();
    for queue in queues {
        let in_flight = queue.in_flight.map_or("-".to_owned(), |n| n.to_string());
        let oldest = queue.oldest.as_deref().unwrap_or("-");
        text += &format!(
            "{}\twaiting {}\tin flight {in_flight}\tdead {}\toldest {oldest}\n",
            queue.name, queue.waiting, queue.dead
        );
    }
    Done::new(format!("{} queues", queues.len()), json!({ "queues": queues }), text)
}

fn peeked(found: &[Peeked]) -> Done {
    let mut text = String::new();
    for message in found {
        let sent = message.sent.as_deref().unwrap_or("-");
        text += &format!("{}\t{sent}\tattempts {}\t{}", message.id, message.attempts, message.state);
        text += &message.due.as_ref().map(|due| format!(" until {due}")).unwrap_or_default();
        text += &message.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        text += &format!("\n    {}\n", message.body);
    }
    Done::new(messages(found.len() as u64), json!({ "messages": found }), text)
}

fn confirm(args: &Args, question: &str, name: &str) -> Result<()> {
    if args.global.yes {
        return Ok(());
    }
    let no = |why: &str| Err(Error::new(ErrorKind::Config, format!("nothing was removed: {why}")));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return no("there is no terminal to ask on; --yes says yes");
    }
    write!(std::io::stderr(), "{question} Type its name to go on: ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == name { Ok(()) } else { no("the name was not typed") }
}
