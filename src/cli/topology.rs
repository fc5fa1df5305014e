//! `messaging topology`: the streams, applied by an operator instead of by `serve`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::Operator;
use super::admin::table::table;
use super::beside::Beside;
use super::settings;
use crate::bus;
use crate::bus::connect::connect;
use crate::bus::topology::{self, Applied, Row, Standing};
use crate::config::{self, Config};
use crate::store::Store;
use crate::store::audit::Audit;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

/// `messaging topology`, which is nobody's part.
#[derive(Debug, clap::Args)]
pub struct Alone {
    #[command(flatten)]
    pub args: Args,
    #[command(flatten)]
    pub beside: Beside,
}

/// Who may apply the topology.
pub const NATS_USER: &str = "topology";

#[derive(Debug, Subcommand)]
enum Action {
    /// Create what is missing and update what differs; never destroys data.
    Apply,
    /// Print what is there and how it differs from what is wanted; non-zero if it does.
    #[command(visible_alias = "diff")]
    Show,
}

/// Applies or shows the topology, which is noted nowhere.
pub async fn command(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let operator = Operator::at(config);
    match args.action {
        Action::Apply => applied(&operator, None).await,
        Action::Show => show(&operator).await,
    }
}

/// The same by `messaging admin topology`: with `--dry-run` it shows what would be changed, and what is changed is noted.
pub async fn for_operator(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Show => show(operator).await,
        Action::Apply if operator.dry_run => show(operator).await,
        Action::Apply => applied(operator, Some(operator.audit("topology apply", "NATS"))).await,
    }
}

async fn applied(operator: &Operator, note: Option<Audit>) -> anyhow::Result<ExitCode> {
    let (store, client) = (operator.store().await?, operator.nats().await?);
    // Reached first: nothing is noted of what cannot be done.
    if let Some(note) = note {
        store.note(&note).await?;
    }
    let applied = apply_by(&client, &operator.config.nats, &store).await?;
    let value: Vec<_> = applied
        .iter()
        .map(|(stream, applied)| json!({ "stream": stream, "result": described(applied) }))
        .collect();
    operator.answer_text(&value, || {
        let line =
            |(stream, applied): &(String, Applied)| format!("{stream}: {}", described(applied));
        applied.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Makes NATS agree with the topology. A new log begins above what Postgres holds.
pub async fn apply(nats: &config::Nats, store: &Store) -> anyhow::Result<Vec<(String, Applied)>> {
    let client =
        connect(&settings::nats(nats), "topology").await.context("NATS cannot be reached")?;
    apply_by(&client, nats, store).await
}

async fn apply_by(
    client: &bus::Client,
    nats: &config::Nats,
    store: &Store,
) -> anyhow::Result<Vec<(String, Applied)>> {
    let persisted = store.progress().await?.last_seq;
    let applied = topology::apply(client, nats.replicas, persisted, &nats.log_readers).await?;
    for (stream, applied) in &applied {
        tracing::info!(stream, result = described(applied), "topology");
    }
    Ok(applied)
}

async fn show(operator: &Operator) -> anyhow::Result<ExitCode> {
    let client = operator.nats().await?;
    let rows = topology::show(&client, operator.config.nats.replicas).await?;
    let value: Vec<_> = rows.iter().map(document).collect();
    operator.answer(&value, || {
        let mut table = table(&["stream", "standing", "events", "bytes", "last sequence"]);
        for row in &rows {
            table.add_row(cells(row));
        }
        table
    })?;
    let fine = rows.iter().all(|row| row.standing == Standing::AsWanted);
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn document(row: &Row) -> Value {
    let (standing, differences) = match &row.standing {
        Standing::Missing => ("missing", Vec::new()),
        Standing::AsWanted => ("asWanted", Vec::new()),
        Standing::Differs(differences) => ("differs", differences.clone()),
    };
    let state = |of: fn((u64, u64, u64)) -> u64| row.state.map(of);
    json!({
        "stream": row.stream, "standing": standing, "differences": differences,
        "events": state(|(events, ..)| events), "bytes": state(|(_, bytes, _)| bytes),
        "lastSeq": state(|(.., last)| last),
    })
}

fn cells(row: &Row) -> Vec<String> {
    let standing = match &row.standing {
        Standing::Missing => "missing; `messaging topology apply` makes it".to_owned(),
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
