//! `messaging bench`: a load generator that checks what it receives.
//!
//! It starts a service of its own (or finds one), makes users and conversations over REST, connects a
//! socket for each user, sends for a while, waits until everything has arrived and is in Postgres, and
//! reports. A run whose checks fail ends with a non-zero exit code.
//!
//! - [`args`] is what a run is asked for, [`target`] what is measured, [`prepare`] who takes part;
//! - [`engine`] is the load, [`frame`] and [`codec`] its two layers of protocol, [`verify`] its checker;
//! - [`resume`] looks at one client at a time instead, each a [`caller`], [`markers`] at reading along, [`push`] at
//!   notifications, [`uploads`] at files, and [`ingest`] at what another service says;
//! - [`process`] and [`metrics`] look at the servers, [`report`] prints.

mod args;
mod caller;
mod codec;
mod engine;
mod frame;
mod ingest;
mod markers;
mod metrics;
mod prepare;
mod process;
mod push;
mod report;
mod rest;
mod resume;
mod run;
mod target;
mod uploads;
mod verify;

use std::process::ExitCode;

use anyhow::{Context, bail};

pub use args::Args;
use push::google::Google;
use report::printed;
use target::Target;

/// Runs the load and prints what it found.
///
/// # Errors
/// When the run could not be made. A failed check is a non-zero exit code.
pub async fn command(args: Args) -> anyhow::Result<ExitCode> {
    let work = args.work()?;
    raise_open_files(work.users())?;
    let google = args.google().await?;
    let target = args.target(google.as_ref()).await?;
    let printed = tokio::select! {
        printed = work.run(&target, google.as_ref(), args.json) => printed,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let stopped = target.stop().await;
    let (text, passed) = printed?;
    stopped?;
    print!("{text}");
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a run does.
#[derive(Debug)]
enum Work {
    Load(run::Settings),
    Resume(resume::Settings),
    Markers(markers::Settings),
    Push(push::Settings),
    Uploads(Box<uploads::Settings>),
    Ingest(ingest::Settings),
}

impl Work {
    /// Sockets that may be open at once.
    fn users(&self) -> u32 {
        match self {
            // Those who come back may be there before the service has noticed that they had left.
            Self::Load(settings) if settings.storm.is_some() => 2 * settings.users,
            Self::Load(settings) => settings.users,
            Self::Resume(settings) => 2 * settings.clients,
            Self::Markers(settings) => 2 * settings.readers,
            // Requests to the stand-in, on both sides.
            Self::Push(_) => 2000,
            Self::Uploads(settings) => settings.busy.users + 2 * settings.uploads,
            Self::Ingest(settings) => settings.conversations,
        }
    }

    /// Does it: what to print, and whether everything was as it must be.
    async fn run(
        self,
        target: &Target,
        google: Option<&Google>,
        json: bool,
    ) -> anyhow::Result<(String, bool)> {
        Ok(match self {
            Self::Load(settings) => printed(&run::run(target, settings).await?, json)?,
            Self::Resume(settings) => printed(&resume::run(target, settings).await?, json)?,
            Self::Markers(settings) => printed(&markers::run(target, settings).await?, json)?,
            Self::Push(settings) => {
                let google = google.context("push is measured with a service of the run's own")?;
                printed(&push::run(target, settings, google).await?, json)?
            }
            Self::Uploads(settings) => printed(&uploads::run(target, *settings).await?, json)?,
            Self::Ingest(settings) => printed(&ingest::run(target, settings).await?, json)?,
        })
    }
}

/// Makes room for the run's sockets, and for those of a service that inherits the limit.
fn raise_open_files(users: u32) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // The rest: REST calls, the servers' files, what was inherited.
    let needed = u64::from(users) + 500;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < needed) {
        bail!("{users} users need {needed} open files, and no more than {maximum:?} are allowed");
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum.or(Some(needed)), maximum })
        .context("cannot raise the limit of open files")
}
