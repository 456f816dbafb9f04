//! The `xcloud` command.

mod args;
mod cargo;
mod commands;
mod config;
mod elf;
mod exit;
#[cfg(feature = "local")]
mod hidden;
mod include;
mod printer;
mod probe;
mod progress;
mod registry;
mod scaffold;

use std::process::ExitCode;

use clap::Parser;

use self::args::Args;
use self::printer::Printer;

fn main() -> ExitCode {
    #[cfg(feature = "local")]
    if let Some(code) = hidden::run() {
        return code;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return printer::usage(&error),
    };
    let printer = Printer::new(&args);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(&args, &printer)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(done) => printer.done(done),
        Err(error) => printer.failed(error, &args),
    }
}
