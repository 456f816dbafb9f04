//! The simulator of AWS's control plane, ours, on a port of this machine: `awsim --port 4566 --delay-ms 30`. Any program that
//! takes an endpoint can deploy to it; nothing runs there. `--settles N`: what is made or changed is found on its way so
//! often; `--roles N`: so often a new role is not known to Lambda. With `AWSIM_LOG` set it tells each request on stderr.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use xcloud_tests::aws::{Aws, Settings, State, serve};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u32>().ok()
    };
    let settings =
        Settings { settles: number("--settles").unwrap_or(0), roles: number("--roles").unwrap_or(0) };
    let delay = Duration::from_millis(number("--delay-ms").unwrap_or(0).into());
    let port = u16::try_from(number("--port").unwrap_or(4566)).unwrap_or(4566);
    let aws = Arc::new(Aws::new(State::new(settings)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        serve(listener, aws, delay).await
    })
}
