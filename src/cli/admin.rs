//! `messaging admin`: what operators ask and change. One file per area.
//!
//! A command answers with a table for people, or with `--json` for programs. One that changes something does so by the
//! functions of `store` that hold the rules, announces it like an edge would, and leaves a row in `audit` in the same
//! transaction. One that destroys asks first, or wants `--yes`, and a `--reason`.

mod audit;
mod backup;
mod conversation;
mod dead;
mod doctor;
mod explain;
mod file;
mod message;
mod operator;
mod push;
mod report;
mod search;
mod status;
pub mod table;
mod tail;
mod user;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

pub use operator::Operator;

use super::beside::Beside;
use crate::config::Config;

/// The variable that says who an operator is.
const OPERATOR: &str = "MESSAGING_OPERATOR";
/// The service that operators are when they say something, and the user of NATS.
pub const SERVICE: &str = "operator";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Answer with JSON instead of tables: one document, or one a line where there is no end.
    #[arg(long, global = true)]
    json: bool,
    /// Do not ask before something is destroyed.
    #[arg(long, short, global = true)]
    yes: bool,
    /// Say what would be changed, and change nothing.
    #[arg(long, global = true)]
    dry_run: bool,
    /// Why something is changed; kept in the audit. What destroys needs one.
    #[arg(long, global = true, value_name = "TEXT", value_parser = operator::reason)]
    reason: Option<String>,
    /// Who changes it; kept in the audit. Otherwise the name of the account on this machine.
    #[arg(long, global = true, env = OPERATOR, value_name = "NAME", value_parser = operator::name)]
    operator: Option<String>,
    #[command(flatten)]
    pub beside: Beside,
    #[command(subcommand)]
    area: Area,
}

impl Args {
    /// Who the command is in NATS, where that is not configured: each user there may do no more than it has to.
    pub fn nats_user(&self) -> &'static str {
        match self.area {
            Area::Backup(_) | Area::Restore(_) => "backup",
            Area::Topology(_) => super::topology::NATS_USER,
            _ => SERVICE,
        }
    }
}

const AFTER: &str = "\
Where NATS and Postgres are comes from the same configuration as for `serve` (a file, or variables such as NATS_URL and \
POSTGRES_URL). In NATS these commands are the user `operator`, but for `topology` (the user of that name), `backup` and \
`restore` (the user `backup`). Beside a running `messaging dev` all of that is known from its data folder: --data .data

Exit codes: 0 done, 1 failed or found something wrong, 2 refused because of the command line. Nothing was changed \
unless it is 0.";

#[derive(Debug, Subcommand)]
enum Area {
    /// What operators have changed, the newest first.
    Audit(audit::Args),
    /// Copy Postgres, the log and the files at one moment into a folder.
    Backup(backup::Args),
    /// Look at everything that the service needs, and say what to change.
    Doctor(doctor::Args),
    /// Say what became of a message: accepted, stored, routed, delivered, read, and notified or why not.
    Explain(explain::Args),
    /// Put a backup into empty servers.
    Restore(backup::RestoreArgs),
    /// Conversations: look, make, change, export, delete.
    Conversation(conversation::Args),
    /// What could not be processed, and why: look, try again, drop.
    Dead(dead::Args),
    /// Single messages: look, delete, write as the system.
    Message(message::Args),
    /// Try whether notifications arrive.
    Push(push::Args),
    /// The whole system on one screen, and what is wrong with it; fails when anything is.
    Status(status::Args),
    /// Events as they happen.
    Tail(tail::Args),
    /// The index that messages are found by.
    Search(search::Args),
    /// What users have reported.
    Report(report::Args),
    /// Streams, buckets and consumers in NATS: how they differ from what is wanted, and making them so.
    Topology(super::topology::Args),
    /// People and their conversations.
    User(user::Args),
    /// Compare the log with Postgres, counters with a recount, files with what names them; and repair.
    Verify(verify::Args),
}

/// Runs the command to its end.
pub async fn command(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let operator = Operator {
        config,
        json: args.json,
        yes: args.yes,
        dry_run: args.dry_run,
        reason: args.reason,
        name: args.operator.unwrap_or_else(operator::account),
    };
    match args.area {
        Area::Audit(args) => audit::command(args, &operator).await,
        Area::Backup(args) => backup::command(args, &operator).await,
        Area::Doctor(args) => doctor::command(args, &operator).await,
        Area::Explain(args) => explain::command(args, &operator).await,
        Area::Restore(args) => backup::restore(args, &operator).await,
        Area::Conversation(args) => conversation::command(args, &operator).await,
        Area::Dead(args) => dead::command(args, &operator).await,
        Area::Push(args) => push::command(args, &operator).await,
        Area::Status(args) => status::command(args, &operator).await,
        Area::Topology(args) => super::topology::for_operator(args, &operator).await,
        Area::Tail(args) => tail::command(args, &operator).await,
        Area::Message(args) => message::command(args, &operator).await,
        Area::Search(args) => search::command(args, &operator).await,
        Area::Report(args) => report::command(args, &operator).await,
        Area::User(args) => user::command(args, &operator).await,
        Area::Verify(args) => verify::command(args, &operator).await,
    }
}
