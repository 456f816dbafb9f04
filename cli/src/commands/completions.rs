//! `xcloud completions`

use clap::CommandFactory;
use serde_json::json;

use crate::args::{self, Args};
use crate::printer::Done;

/// The script for a shell, made from the same definition that reads the command line.
pub(super) fn run(options: &args::Completions) -> Done {
    let mut script = Vec::new();
    let mut command = Args::command();
    clap_complete::generate(options.shell, &mut command, env!("CARGO_BIN_NAME"), &mut script);
    let message = format!("completions for {}", options.shell);
    let data = json!({ "shell": options.shell.to_string(), "script": String::from_utf8_lossy(&script) });
    Done::new(message, data, script)
}
