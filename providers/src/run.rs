//! `run`: describe, detect, and hand the app to its room.

use xcloud_core::error::ErrorKind;
use xcloud_core::queue::{Bindings, OpenQueue};
use xcloud_core::table::OpenTable;
use xcloud_core::{App, Error, Platform, Program, Result, env};

use crate::detect::detect;

/// Runs the app on the platform that this process finds itself on, until the platform ends it.
///
/// With `XCLOUD_DESCRIBE=<file>` in the environment it writes the app's Spec to that file and returns, before init.
///
/// # Errors
/// A wrong configuration, what the app's init returned (the platform has been told), or a platform that went away.
/// Return it from `main`: the process then ends with status 1 and the error on stderr.
pub fn run<S: Send + Sync + 'static>(app: App<S>) -> Result<()> {
    let program = app.into_program()?;
    if let Some(file) = env::var(env::DESCRIBE) {
        return describe(&program, &file);
    }
    let platform = detect(|name| std::env::var(name).ok())?;
    let bindings = bindings(&program);
    enter(platform, program, bindings)
}

fn describe(program: &Program, file: &str) -> Result<()> {
    let mut spec = program.spec().clone();
    if cfg!(feature = "bindings") && program.sends() {
        spec.sends_over = vec!["sqs".to_owned()];
    }
    let json = serde_json::to_vec_pretty(&spec)?;
    std::fs::write(file, json).map_err(|e| {
        Error::new(ErrorKind::Config, format!("{}: cannot write {file}: {e}", env::DESCRIBE)).caused_by(e)
    })
}

/// What to do about a scheme that only the feature brings; xcloud.toml is where `xcloud build` takes features from.
#[cfg(not(feature = "bindings"))]
const ABSENT: &[(&str, &str)] = &[(
    "sqs",
    "turn the feature `bindings` of the crate xcloud on, or, where the app has a feature for it, name that under `[build] features` in xcloud.toml",
)];
#[cfg(feature = "bindings")]
const ABSENT: &[(&str, &str)] = &[];

/// The schemes that `XCLOUD_QUEUE_<NAME>` and `XCLOUD_TABLE_<NAME>` may use in this build, as far as the program asks for
/// any.
fn bindings(program: &Program) -> Bindings {
    let queues: &[(_, OpenQueue)] = &[
        #[cfg(feature = "local")]
        (xcloud_local::binding::SCHEME, xcloud_local::sender::open_queue),
        #[cfg(feature = "bindings")]
        (xcloud_bindings::aws::sqs::SCHEME, xcloud_bindings::aws::sqs::open_queue),
    ];
    let tables: &[(_, OpenTable)] = &[
        #[cfg(feature = "local")]
        (xcloud_local::binding::SCHEME, xcloud_local::table::open_table),
    ];
    Bindings::new(
        if program.sends() { queues.to_vec() } else { Vec::new() },
        if program.uses_tables() { tables.to_vec() } else { Vec::new() },
    )
    .without_queues(ABSENT)
}

fn enter(platform: Platform, program: Program, bindings: Bindings) -> Result<()> {
    match platform {
        #[cfg(feature = "aws")]
        Platform::Aws => xcloud_aws::run(program, bindings),
        #[cfg(feature = "azure")]
        Platform::Azure => xcloud_azure::run(program, bindings),
        #[cfg(feature = "gcp")]
        Platform::Gcp => xcloud_gcp::run(program, bindings),
        #[cfg(feature = "gcp")]
        Platform::Http => xcloud_gcp::run_http(program, bindings),
        #[cfg(feature = "alibaba")]
        Platform::Alibaba => xcloud_alibaba::run(program, bindings),
        #[cfg(feature = "local")]
        Platform::Local => xcloud_local::run(program, bindings),
        #[allow(unreachable_patterns, reason = "reached when a room's feature is off")]
        other => {
            drop((program, bindings));
            let message =
                format!("this program was built without the `{other}` room: turn that feature of xcloud on");
            Err(Error::new(ErrorKind::Config, message))
        }
    }
}
