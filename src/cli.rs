//! The command line: a file per command, each of which wires one thing and runs it.
//!
//! Answers go to standard output, logs and errors to standard error. Exit codes: 0 done, 1 failed, 2 refused
//! because of the command line or the configuration.

mod admin;
mod bench;
mod beside;
mod chat;
mod data_folder;
mod dev;
mod fake_google;
mod health;
mod migrate;
mod pages;
mod roles;
mod schemas;
mod serve;
mod settings;
mod token;
mod topology;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Config, LogFormat, Problems};
use crate::telemetry;

/// In-app messaging on NATS JetStream and Postgres.
#[derive(Debug, Parser)]
#[command(name = "messaging", version)]
pub struct Cli {
    /// Configuration file (TOML); the environment overrides it, key by key.
    #[arg(long, global = true, env = config::env::CONFIG_FILE, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine, NATS and Postgres included, in a data folder.
    Dev(dev::Args),
    /// Run the service against NATS and Postgres that are already there.
    Serve(serve::Args),
    /// Put the service under load, check every receiver, and measure it.
    Bench(bench::Args),
    /// Chat in a terminal, to try things out.
    Chat(chat::Args),
    /// Print a token for a user, signed with the JWT secret.
    Token(token::Args),
    /// Ask a process on this machine whether it is ready; fails when it is not.
    Health(health::Args),
    /// Bring the database to this version's schema.
    Migrate(migrate::Args),
    /// A stand-in for Firebase Cloud Messaging and its token server, for tests.
    #[command(name = "fake-fcm", hide = true)]
    FakeGoogle(fake_google::Args),
    /// Write the JSON Schemas of what is published and sent.
    Schemas(schemas::Args),
    /// Streams, buckets and consumers in NATS.
    Topology(topology::Alone),
    /// What operators ask and change.
    Admin(admin::Args),
    /// Print what makes a shell complete these commands.
    Completions(pages::Completions),
    /// Write a manual page for each command.
    Man(pages::Man),
}

impl Command {
    /// Somebody waits for its answer, and reads it; the others run until they are stopped.
    fn is_brief(&self) -> bool {
        !matches!(self, Self::Dev(_) | Self::Serve(_) | Self::FakeGoogle(_) | Self::Bench(_))
    }

    /// The data folder whose servers it is about, if one is named, and who it is in their NATS.
    fn beside(&self) -> Option<(&Path, &'static str)> {
        let (beside, user) = match self {
            Self::Admin(args) => (&args.beside, args.nats_user()),
            Self::Topology(args) => (&args.beside, topology::NATS_USER),
            Self::Migrate(args) => (&args.beside, admin::SERVICE),
            Self::Health(args) => (&args.beside, admin::SERVICE),
            _ => return None,
        };
        Some((beside.folder()?, user))
    }
}

impl Cli {
    /// Defaults, file and environment, layered; and the servers of a data folder, where the command names one.
    pub fn load_config(&self) -> Result<Config, Problems> {
        let file = self.config.as_deref().filter(|path| !path.as_os_str().is_empty());
        let mut config = config::load(file, |name| std::env::var(name).ok())?;
        if let Some((folder, user)) = self.command.beside() {
            beside::adopt(&mut config, folder, user)?;
        }
        if self.command.is_brief() && std::env::var_os(LOG).is_none_or(|level| level.is_empty()) {
            config.telemetry.log = QUIET.to_owned();
        }
        Ok(config)
    }

    /// Runs the command to its end.
    pub async fn run(self, config: Config) -> ExitCode {
        let outcome = match self.command {
            Command::Dev(args) => dev::command(args, config).await,
            Command::Serve(args) => serve::command(args, config).await,
            Command::Bench(args) => bench::command(args).await,
            Command::Chat(args) => chat::command(args).await,
            Command::Token(args) => token::command(&args, &config),
            Command::Health(args) => health::command(args, config).await,
            Command::Migrate(_) => migrate::command(config).await,
            Command::FakeGoogle(args) => fake_google::command(args, config).await,
            Command::Schemas(args) => schemas::command(&args),
            Command::Topology(alone) => topology::command(alone.args, config).await,
            Command::Admin(args) => admin::command(args, config).await,
            Command::Completions(args) => pages::completions(&args, &mut Self::command()),
            Command::Man(args) => pages::man(&args, Self::command()),
        };
        outcome.unwrap_or_else(|error| {
            if !is_unread(&error) {
                report(&sentence(&error));
            }
            ExitCode::FAILURE
        })
    }
}

/// Starts logging as configured.
pub fn start_telemetry(settings: &config::Telemetry) -> Result<(), impl Display + use<>> {
    let format = match settings.format {
        LogFormat::Auto => telemetry::Format::Auto,
        LogFormat::Pretty => telemetry::Format::Pretty,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::init(&settings.log, format)
}

/// What a command logs beside its answer that an operator or a developer types: nothing but warnings, and nothing of the
/// library, whose complaints become errors.
const QUIET: &str = "warn,async_nats=off";
/// The variable by which they log more.
const LOG: &str = "MESSAGING_LOG";

/// Says why nothing was started.
pub fn refuse(reason: &impl Display) -> ExitCode {
    report(&reason.to_string());
    ExitCode::from(2)
}

/// What an answer that could not be written fails with.
const UNWRITTEN: &str = "Standard output cannot be written to";

/// Whoever reads the answer has seen enough of it, as in `… | head`: nobody need be told.
fn is_unread(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.to_string() == UNWRITTEN && error.chain().any(broken)
}

/// The error and its causes, each once: some tell their cause themselves, and some begin as what they are the cause of.
fn sentence(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        let is_told = parts.iter().any(|part| part.contains(&cause));
        match parts.last_mut() {
            Some(last) if cause.starts_with(last.as_str()) => *last = cause,
            _ if is_told => {}
            _ => parts.push(cause),
        }
    }
    parts.join(": ")
}

/// One line of standard error for each line of `text`, for people; not a log.
fn report(text: &str) {
    for line in text.lines() {
        eprintln!("error: {line}");
    }
}
