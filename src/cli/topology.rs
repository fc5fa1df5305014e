//! `messaging topology`: the streams, applied by an operator instead of by `serve`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use comfy_table::Table;

use super::admin::Operator;
use super::settings;
use crate::bus::connect::connect;
use crate::bus::topology::{self, Applied, Row, Standing};
use crate::config::{self, Config};
use crate::domain::clock::SystemClock;
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create what is missing and update what differs; never destroys data.
    Apply,
    /// Print what is there and how it differs from what is wanted; non-zero if it does.
    #[command(visible_alias = "diff")]
    Show,
}

/// Applies or shows the topology.
pub async fn command(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Apply => {
            let store =
                Store::connect(&settings::store(&config.postgres), Arc::new(SystemClock)).await?;
            for (stream, applied) in apply(&config.nats, &store).await? {
                println!("{stream}: {}", described(&applied));
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Show => show(&config.nats).await,
    }
}

/// The same by `messaging admin topology`: with `--dry-run` it shows what would be changed, and what is changed is noted.
pub async fn for_operator(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Apply if operator.dry_run => show(&operator.config.nats).await,
        Action::Apply => {
            let note = operator.audit("topology apply", "NATS");
            operator.store().await?.note(&note).await?;
            command(args, operator.config.clone()).await
        }
        Action::Show => show(&operator.config.nats).await,
    }
}

/// Makes NATS agree with the topology. A new log begins above what Postgres holds.
pub async fn apply(nats: &config::Nats, store: &Store) -> anyhow::Result<Vec<(String, Applied)>> {
    let client =
        connect(&settings::nats(nats), "topology").await.context("NATS cannot be reached")?;
    let persisted = store.progress().await?.last_seq;
    let applied = topology::apply(&client, nats.replicas, persisted, &nats.log_readers).await?;
    for (stream, applied) in &applied {
        tracing::info!(stream, result = described(applied), "topology");
    }
    Ok(applied)
}

async fn show(nats: &config::Nats) -> anyhow::Result<ExitCode> {
    let client =
        connect(&settings::nats(nats), "topology").await.context("NATS cannot be reached")?;
    let rows = topology::show(&client, nats.replicas).await?;
    let mut table = Table::new();
    table.set_header(["stream", "standing", "events", "bytes", "last sequence"]);
    for row in &rows {
        table.add_row(cells(row));
    }
    println!("{table}");
    let fine = rows.iter().all(|row| row.standing == Standing::AsWanted);
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cells(row: &Row) -> Vec<String> {
    let standing = match &row.standing {
        Standing::Missing => "missing; apply the topology".to_owned(),
        Standing::AsWanted => "as wanted".to_owned(),
        Standing::Differs(differences) => differences.join("\n"),
    };
    let (events, bytes, last) = match row.state {
        Some((events, bytes, last)) => (events.to_string(), bytes.to_string(), last.to_string()),
        None => Default::default(),
    };
    vec![row.stream.clone(), standing, events, bytes, last]
}

fn described(applied: &Applied) -> &'static str {
    match applied {
        Applied::Created => "created",
        Applied::Updated => "updated",
        Applied::Unchanged => "as wanted",
    }
}
