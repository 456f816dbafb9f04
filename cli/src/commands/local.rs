//! `xcloud local`

use serde_json::{Value, json};
use xcloud_core::Result;
use xcloud_local_deploy::Running;

use crate::args::LocalAction;
use crate::printer::Done;
use crate::registry;

/// Asks, starts or ends the local host. It belongs to no project.
pub(super) async fn run(action: LocalAction) -> Result<Done> {
    let local = registry::local(None)?;
    let (running, message) = match action {
        LocalAction::Status => match local.running().await? {
            Some(host) => (Some(host.clone()), describe(&host)),
            None => (None, "the local host does not run; a command that needs it starts it".to_owned()),
        },
        LocalAction::Start => {
            let host = local.start().await?;
            let message = describe(&host);
            (Some(host), message)
        }
        LocalAction::Stop => match local.stop().await? {
            Some(host) => (None, format!("the local host (process {}) has ended", host.pid)),
            None => (None, "the local host did not run".to_owned()),
        },
    };
    let mut text = format!("{message}\n");
    text.extend(running.iter().map(|host| format!("memory limits are {}\n", host.memory_limits)));
    for app in running.iter().flat_map(|host| &host.apps) {
        text += &format!("  {app}\n");
    }
    Ok(Done::new(message, data(running.as_ref()), text))
}

fn describe(host: &Running) -> String {
    let (apps, messages) = (host.apps.len(), host.messages);
    format!("the local host runs as process {}: {apps} apps, {messages} messages in queues", host.pid)
}

fn data(host: Option<&Running>) -> Value {
    match host {
        None => json!({ "running": false }),
        Some(host) => json!({
            "running": true, "pid": host.pid, "version": host.version,
            "apps": host.apps, "messages": host.messages, "memory_limits": host.memory_limits,
        }),
    }
}
