//! `messaging admin user suspend`, `ban`, `restore`, `disconnect`: who may take part.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::bus::control::{self, Patience};
use crate::cli::admin::Operator;
use crate::cli::admin::table::time;
use crate::cli::sentence;
use crate::domain::standing::Standing;
use crate::wire::control::{Closed, DISCONNECT, OfUser, STANDING};

use super::One;

#[derive(Debug, clap::Args)]
pub struct Suspend {
    /// The user's id.
    #[arg(value_name = "UUID")]
    user: Uuid,
    #[command(flatten)]
    lasting: Lasting,
}

/// How long a suspension lasts.
#[derive(Debug, clap::Args)]
pub struct Lasting {
    /// Until this time, such as 2026-12-24T18:00:00Z. Without it and --for: until restored.
    #[arg(long, value_name = "TIME", conflicts_with = "lasting")]
    until: Option<Timestamp>,
    /// For this long, such as 12h or 7d.
    #[arg(long = "for", value_name = "DURATION", value_parser = lasting)]
    lasting: Option<SignedDuration>,
}

/// Whole days, or whatever else is a duration.
fn lasting(text: &str) -> Result<SignedDuration, String> {
    let days = text.trim().strip_suffix('d').and_then(|days| days.trim().parse::<i64>().ok());
    // A century of days still fits in hours.
    let hours = days.filter(|days| (0..=36_500).contains(days)).map(|days| days * 24);
    match hours {
        Some(hours) => Ok(SignedDuration::from_hours(hours)),
        None => text.parse().map_err(|_| "is no duration such as 90m, 12h or 7d".to_owned()),
    }
}

impl Lasting {
    /// When it ends, if it does by itself.
    ///
    /// # Errors
    /// When that is not in the future.
    pub fn until(&self) -> anyhow::Result<Option<Timestamp>> {
        let now = Timestamp::now();
        let until = match self.lasting {
            Some(lasting) => Some(now.checked_add(lasting).context("--for is too long")?),
            None => self.until,
        };
        if until.is_some_and(|until| until <= now) {
            bail!("A suspension must end in the future; nothing was changed.");
        }
        Ok(until)
    }
}

/// Keeps a user out for a while.
pub async fn suspend(args: Suspend, operator: &Operator) -> anyhow::Result<ExitCode> {
    decide(args.user, Standing::Suspended { until: args.lasting.until()? }, operator).await
}

/// Keeps a user out for good.
pub async fn ban(args: One, operator: &Operator) -> anyhow::Result<ExitCode> {
    decide(args.user, Standing::Banned, operator).await
}

/// Lets a user in again.
pub async fn restore(args: One, operator: &Operator) -> anyhow::Result<ExitCode> {
    decide(args.user, Standing::Active, operator).await
}

async fn decide(user: Uuid, decided: Standing, operator: &Operator) -> anyhow::Result<ExitCode> {
    super::find(operator, user).await?;
    apply(user, decided, action(decided), operator).await?;
    Ok(ExitCode::SUCCESS)
}

fn action(decided: Standing) -> &'static str {
    match decided {
        Standing::Active => "user restore",
        Standing::Suspended { .. } => "user suspend",
        Standing::Banned => "user ban",
    }
}

/// Decides about a user, tells every node and says what came of it.
///
/// # Errors
/// Without a reason, or when Postgres cannot be reached; nothing was changed then.
pub async fn apply(
    user: Uuid,
    decided: Standing,
    action: &'static str,
    operator: &Operator,
) -> anyhow::Result<()> {
    if operator.reason.is_none() && decided != Standing::Active && !operator.dry_run {
        bail!("Say why with --reason; nothing was changed.");
    }
    let store = operator.store().await?;
    let audit = operator.audit(action, user);
    let was = store.set_standing(user, decided, &audit, operator.dry_run).await?;
    let closed = match operator.dry_run {
        true => Some(0),
        false => tell(operator, STANDING, Bytes::new()).await,
    };
    let until = decided.until().map(|at| at.to_string());
    let value = json!({
        "user": user,
        "standing": decided.as_str(),
        "until": until,
        "before": was.as_str(),
        "closedConnections": closed,
    });
    let until = decided.until().map(|at| format!(" until {} UTC", time(at))).unwrap_or_default();
    let (state, was) = (decided.as_str(), was.as_str());
    let sentence = match (operator.dry_run, decided) {
        (true, _) => format!("{user}, who is {was}, would be {state}{until}"),
        (false, Standing::Active) => format!("{user} is {state} (was {was})."),
        (false, _) => format!("{user} is {state}{until} (was {was}). {}", told(closed)),
    };
    operator.say(&value, &sentence)
}

/// Closes the connections of a user, who may connect again.
pub async fn disconnect(args: One, operator: &Operator) -> anyhow::Result<ExitCode> {
    let user = super::find(operator, args.user).await?.user.id;
    let store = operator.store().await?;
    let closed = if operator.dry_run {
        Some(0)
    } else {
        // Reached first: nothing is noted of what cannot be asked for.
        operator.nats().await?;
        store.note(&operator.audit("user disconnect", user)).await?;
        let payload = serde_json::to_vec(&OfUser { user_id: user })?;
        tell(operator, DISCONNECT, payload.into()).await
    };
    let value = json!({ "user": user, "closedConnections": closed });
    operator.say(&value, &format!("{user}: {}", told(closed)))?;
    Ok(if closed.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(closed: Option<u32>) -> String {
    match closed {
        Some(1) => "1 connection was closed.".to_owned(),
        Some(closed) => format!("{closed} connections were closed."),
        None => "No node has answered; those that run look every few seconds.".to_owned(),
    }
}

/// Tells every node, and returns how many connections they closed; `None` when none of them answered.
async fn tell(operator: &Operator, verb: &str, payload: Bytes) -> Option<u32> {
    let asked = async {
        let client = operator.nats().await?;
        anyhow::Ok(control::ask(&client, verb, payload, Patience::default()).await?)
    };
    let answers = match asked.await {
        Ok(answers) => answers,
        Err(cause) => {
            eprintln!("NATS: {}", sentence(&cause));
            return None;
        }
    };
    let closed = answers.iter().filter_map(|body| serde_json::from_slice::<Closed>(body).ok());
    let closed: Vec<u32> = closed.map(|closed| closed.connections).collect();
    (!closed.is_empty()).then(|| closed.iter().sum())
}
