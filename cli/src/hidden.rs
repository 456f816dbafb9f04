//! What this program is besides the command: the local host, and the bridge of `dev --as`. Their verbs are not for typing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use xcloud_core::Result;

use crate::registry;

/// An argument of the bridge: it shows every call.
pub(crate) const SHOW: &str = "--show";

/// Runs as what the first argument says; `None` for everything else.
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next()?;
    let result = if verb == registry::HOST_VERB {
        xcloud_local_deploy::host_main(&PathBuf::from(arguments.next()?))
    } else if verb == registry::BRIDGE_VERB {
        let rest: Vec<String> = arguments.filter_map(|argument| argument.into_string().ok()).collect();
        let result = bridge(&rest);
        if let Err(error) = &result {
            // The local host keeps it, and tells whoever started it.
            drop(writeln!(std::io::stderr(), "{error}"));
        }
        result
    } else {
        return None;
    };
    Some(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `<cloud> [--show] <program>`
fn bridge(arguments: &[String]) -> Result<()> {
    let [cloud, options @ .., program] = arguments else { return Ok(()) };
    let own = registry::LOCAL;
    let cloud = if cloud == own.name { own } else { registry::host(cloud)?.0 };
    let show = options.iter().any(|option| option == SHOW);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(xcloud_local::bridge::run(cloud, Path::new(program), show))
}
