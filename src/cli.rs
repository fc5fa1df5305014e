//! The command line: a file per command, each of which wires one thing and runs it.
//!
//! Answers go to standard output, logs and errors to standard error. Exit codes: 0 done, 1 failed, 2 refused
//! because of the command line or the configuration.

mod admin;
mod bench;
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
use std::path::PathBuf;
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
    Migrate,
    /// A stand-in for Firebase Cloud Messaging and its token server, for tests.
    #[command(name = "fake-fcm", hide = true)]
    FakeGoogle(fake_google::Args),
    /// Write the JSON Schemas of what is published and sent.
    Schemas(schemas::Args),
    /// Streams, buckets and consumers in NATS.
    Topology(topology::Args),
    /// What operators ask and change.
    Admin(admin::Args),
    /// Print what makes a shell complete these commands.
    Completions(pages::Completions),
    /// Write a manual page for each command.
    Man(pages::Man),
}

impl Cli {
    /// Defaults, file and environment, layered.
    pub fn load_config(&self) -> Result<Config, Problems> {
        let file = self.config.as_deref().filter(|path| !path.as_os_str().is_empty());
        config::load(file, |name| std::env::var(name).ok())
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
            Command::Migrate => migrate::command(config).await,
            Command::FakeGoogle(args) => fake_google::command(args, config).await,
            Command::Schemas(args) => schemas::command(&args),
            Command::Topology(args) => topology::command(args, config).await,
            Command::Admin(args) => admin::command(args, config).await,
            Command::Completions(args) => pages::completions(&args, &mut Self::command()),
            Command::Man(args) => pages::man(&args, Self::command()),
        };
        outcome.unwrap_or_else(|error| {
            report(&sentence(&error));
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

/// Says why nothing was started.
pub fn refuse(reason: &impl Display) -> ExitCode {
    report(&reason.to_string());
    ExitCode::from(2)
}

/// The error and its causes; some tell their cause themselves, which is then not repeated.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| match cause.to_string() {
        cause if said.is_empty() => cause,
        cause if said.contains(&cause) => said,
        cause => format!("{said}: {cause}"),
    })
}

/// One line of standard error for each line of `text`, for people; not a log.
fn report(text: &str) {
    for line in text.lines() {
        eprintln!("error: {line}");
    }
}
