//! What a run is asked for, and the settings that follow from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::super::data_folder;
use super::codec::{self, Protocol};
use super::engine::{self, Load};
use super::prepare::Plan;
use super::process::Process;
use super::push::google::Google;
use super::target::Target;
use super::{Work, ingest, markers, push, resume, run, uploads};

/// What the users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Pairs in direct conversations, both sides send.
    Direct,
    /// One group, everybody receives.
    Group,
    /// Many connections that only stay.
    Idle,
    /// Many connections that are cut off at once and come back with their cursors, while messages go on.
    Storm,
    /// One client after the other comes back after much has happened.
    Resume,
    /// Many people mark as read what was written to them.
    Markers,
    /// Many people without a connection are notified, by way of a stand-in for Google.
    Push,
    /// Messages alone, and then while files are uploaded.
    Uploads,
    /// Another service publishes system messages.
    Ingest,
}

/// Notifications a second when no rate is given.
const PUSH_RATE: f64 = 2000.0;

/// Messages a second beside uploads: a tenth of what the service carries, as in a busy hour.
const UPLOADS_RATE: f64 = 1000.0;

/// Marks a second when no rate is given.
const MARKS_RATE: f64 = 5000.0;

/// System messages a second when no rate is given.
const INGEST_RATE: f64 = 5000.0;

/// Messages a second of a storm: with groups of 20 each client misses two for each second it is away, and the
/// service delivers 10,000 a second beside what it replays.
const STORM_RATE: f64 = 500.0;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_enum, default_value = "direct")]
    shape: Shape,
    #[arg(long, value_enum, default_value = "native")]
    protocol: Protocol,
    /// Users, each with one connection; 200, 500, 5000, 5000, 101, 2000, 1900 or 200 by the shape when not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    users: Option<u32>,
    /// How many of them send; all when not given.
    #[arg(long)]
    senders: Option<u32>,
    /// Messages a second on a fixed schedule, all users together; when not given a closed loop, or 500 in a
    /// storm. Markers, ingest: marks or messages a second, 5000 when not given. Push: notifications a second, 2000
    /// when not given.
    #[arg(long, conflicts_with = "in_flight")]
    rate: Option<f64>,
    /// Messages each sender of a closed loop keeps in flight.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    in_flight: u32,
    /// How long it is measured: 10s, 2m, …
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Load before it is measured.
    #[arg(long, default_value = "2s", value_parser = duration)]
    warmup: Duration,
    /// Length of a message's content.
    #[arg(long, default_value_t = 100)]
    content_bytes: usize,
    /// Idle, storm: conversations each user is in.
    #[arg(long, default_value_t = 20)]
    conversations: u32,
    /// Idle, storm, push: members of each conversation; 2 makes direct conversations when idle, which takes longer.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000))]
    group_size: u32,
    /// Storm: those who were cut off dial evenly spread over this.
    #[arg(long, default_value = "5s", value_parser = duration)]
    window: Duration,
    /// Resume: messages that each client misses of its own; each misses those of all others as well.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    missed: u32,
    /// Resume: how often each client comes back with the same cursor.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Resume: events that a service of the run's own keeps in memory; few make it read Postgres.
    #[arg(long, value_name = "EVENTS", conflicts_with_all = ["url", "data"])]
    ring: Option<u32>,
    /// Uploads: files at once, each of a user of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    uploads: u32,
    /// Uploads: how many of them are photos of 12 megapixels, which the service makes small.
    #[arg(long, default_value_t = 0)]
    images: u32,
    /// Uploads: bytes of the others.
    #[arg(long, default_value_t = 20_000_000)]
    file_bytes: usize,
    /// One JSON object on standard output instead of tables.
    #[arg(long)]
    pub(super) json: bool,
    /// Measure the `messaging dev` that runs on this data folder.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,
    /// Measure the service at http://host:port, whose JWT_ACCESS_SECRET must be in the environment.
    #[arg(long)]
    url: Option<String>,
    /// With --url: a process to report, such as service=123 (`tree:postgres=7` with its children).
    #[arg(long = "pid", value_name = "NAME=PID", value_parser = named_pid, requires = "url")]
    pids: Vec<Process>,
    /// Where the data of a service of the run's own lies; the system's temporary folder when not given.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

impl Args {
    fn users(&self) -> u32 {
        self.users.unwrap_or(match self.shape {
            Shape::Direct | Shape::Uploads | Shape::Ingest => 200,
            Shape::Group => 500,
            Shape::Idle | Shape::Storm => 5000,
            // Each misses 100 messages of its own, and 10,000 of the other hundred.
            Shape::Resume => 101,
            // Half of them read, 5 marks a second each: within what the default limits allow.
            Shape::Markers => 2000,
            // A hundred groups of 20, in each of which one writes.
            Shape::Push => 1900,
        })
    }

    /// What to do.
    ///
    /// # Errors
    /// When these arguments do not go together.
    pub(super) fn work(&self) -> anyhow::Result<Work> {
        if self.rate.is_some_and(|rate| !(0.01..=1e6).contains(&rate)) {
            bail!("--rate must lie between 0.01 and 1000000");
        }
        match self.shape {
            Shape::Resume => Ok(Work::Resume(resume::Settings {
                protocol: self.protocol,
                clients: self.users(),
                missed: self.missed,
                rounds: self.rounds,
                content_bytes: self.content_bytes,
            })),
            Shape::Markers => self.markers().map(Work::Markers),
            Shape::Push => self.push().map(Work::Push),
            Shape::Uploads => Ok(Work::Uploads(Box::new(uploads::Settings {
                quiet: self.load()?,
                busy: self.load()?,
                uploads: self.uploads,
                file_bytes: self.file_bytes,
                images: self.images.min(self.uploads),
            }))),
            Shape::Ingest => self.ingest().map(Work::Ingest),
            _ => self.load().map(Work::Load),
        }
    }

    fn markers(&self) -> anyhow::Result<markers::Settings> {
        if self.protocol != Protocol::Native || !self.users().is_multiple_of(2) {
            bail!("markers need --protocol native and an even number of --users");
        }
        let settings = markers::Settings {
            readers: self.users() / 2,
            rate: self.rate.unwrap_or(MARKS_RATE),
            warmup: self.warmup,
            duration: self.duration,
        };
        markers::check(&settings)?;
        Ok(settings)
    }

    fn push(&self) -> anyhow::Result<push::Settings> {
        if self.url.is_some() || self.data.is_some() {
            bail!("push is measured with a service of the run's own, which sends to a stand-in");
        }
        let settings = push::Settings {
            people: self.users(),
            group_size: self.group_size,
            rate: self.rate.unwrap_or(PUSH_RATE),
            warmup: self.warmup,
            duration: self.duration,
        };
        push::sane(&settings)?;
        Ok(settings)
    }

    fn ingest(&self) -> anyhow::Result<ingest::Settings> {
        let settings = ingest::Settings {
            conversations: self.users() / 2,
            rate: self.rate.unwrap_or(INGEST_RATE),
            warmup: self.warmup,
            duration: self.duration,
        };
        ingest::check(&settings)?;
        Ok(settings)
    }

    fn load(&self) -> anyhow::Result<run::Settings> {
        let users = self.users();
        let senders = self.senders.unwrap_or(users).min(users);
        if self.content_bytes < codec::MIN_CONTENT_BYTES {
            bail!("--content-bytes must be at least {}", codec::MIN_CONTENT_BYTES);
        }
        let (shape, plan) = match self.shape {
            Shape::Direct | Shape::Uploads if !users.is_multiple_of(2) => {
                bail!("--users must be even")
            }
            Shape::Direct | Shape::Uploads => ("direct", Plan::direct(users, senders)),
            Shape::Group => ("group", Plan::group(users, senders)),
            Shape::Idle if self.group_size == 2 && users <= self.conversations => {
                bail!("--users must be more than --conversations")
            }
            Shape::Idle => ("idle", Plan::idle(users, self.conversations, self.group_size)),
            Shape::Storm if self.conversations == 0 || self.group_size < 3 => {
                bail!("a storm needs --conversations 1 or more and --group-size 3 or more")
            }
            Shape::Storm | Shape::Resume | Shape::Markers | Shape::Push | Shape::Ingest => {
                ("storm", Plan::storm(users, self.conversations, self.group_size))
            }
        };
        let is_storm = self.shape == Shape::Storm;
        let storm =
            is_storm.then_some(engine::Cut { from: plan.senders as usize, window: self.window });
        let load = match (self.shape, self.rate) {
            (Shape::Idle, _) => Load::Silent,
            (_, Some(rate)) => Load::Open { rate },
            (Shape::Uploads, None) => Load::Open { rate: UPLOADS_RATE },
            (Shape::Storm, None) => Load::Open { rate: STORM_RATE },
            (_, None) => Load::Closed { in_flight: self.in_flight },
        };
        Ok(run::Settings {
            shape,
            protocol: self.protocol,
            users: if is_storm { users + plan.senders } else { users },
            plan,
            load,
            storm,
            warmup: self.warmup,
            duration: self.duration,
            content_bytes: self.content_bytes,
        })
    }

    fn scratch(&self) -> PathBuf {
        self.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Who takes the notifications of a run that is about them.
    ///
    /// # Errors
    /// When the stand-in cannot be started.
    pub(super) async fn google(&self) -> anyhow::Result<Option<Google>> {
        match self.shape {
            Shape::Push => Google::start(&self.scratch()).await.map(Some),
            _ => Ok(None),
        }
    }

    /// What is measured: a service that runs, or one of the run's own.
    ///
    /// # Errors
    /// When it cannot be reached or started.
    pub(super) async fn target(&self, google: Option<&Google>) -> anyhow::Result<Target> {
        let secret = std::env::var("JWT_ACCESS_SECRET").ok().filter(|secret| !secret.is_empty());
        if let Some(url) = &self.url {
            let secret = secret.context("set JWT_ACCESS_SECRET to the secret of the service")?;
            return Target::at(url, secret, self.pids.clone());
        }
        if let Some(data) = &self.data {
            let secret = match secret {
                Some(secret) => secret,
                None => data_folder::read_secret(data, data_folder::JWT_SECRET)
                    .with_context(|| format!("no JWT secret in {}", data.display()))?,
            };
            return Target::running(data, secret);
        }
        let mut settings = google.map(Google::settings).unwrap_or_default();
        if self.shape == Shape::Group && self.users() > 1000 {
            settings.push(("MAX_GROUP_PARTICIPANTS", self.users().to_string()));
        }
        if let Some(events) = self.ring {
            settings.push(("MESSAGING_TAIL_RING_EVENTS", events.to_string()));
        }
        Target::start(&self.scratch(), &settings).await
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())
}

fn named_pid(text: &str) -> Result<Process, String> {
    let (name, pid) = text.split_once('=').ok_or("must be of the form name=pid")?;
    let pid = pid.parse().map_err(|_| format!("`{pid}` is no process id"))?;
    let (tree, name) = match name.strip_prefix("tree:") {
        Some(name) => (true, name),
        None => (false, name),
    };
    Ok(Process { name: name.to_owned(), pid, tree })
}
