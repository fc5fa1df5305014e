//! `messaging`: the in-app messaging service. `messaging serve` runs it, `messaging dev` runs it with servers
//! of its own; the rooms of the code base are described in ARCHITECTURE.md.

mod bus;
mod cli;
mod config;
mod domain;
mod edge;
mod ingest;
mod lifecycle;
mod media;
mod outbox;
mod persister;
mod push;
mod store;
mod telemetry;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

/// A third of the service's CPU under load went into glibc's allocator, because buffers are freed by other threads
/// than took them. Of two that do better, this one keeps less for idle connections; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Parse, start telemetry, dispatch, flush; nothing else.
fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let config = match cli.load_config() {
        Ok(config) => config,
        Err(problems) => return cli::refuse(&problems),
    };
    if let Err(error) = cli::start_telemetry(&config.telemetry) {
        return cli::refuse(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::refuse(&error),
    };
    let code = runtime.block_on(cli.run(config));
    // Whatever still blocks a thread was given its time by the lifecycle.
    runtime.shutdown_background();
    code
}
