//! `messaging admin user`: people. An action that needs more than a few lines has a file of its own.

pub mod own_data;
pub mod standing;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::Operator;
use super::table::{card, maybe_time, plain, table, time};
use crate::store::admin::users::{UserDetails, UserRow};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Users in the order of their ids.
    List(List),
    /// One user, with figures.
    Show(One),
    /// Write a copy of a user's data into a ZIP archive, as they would get it themselves.
    Export(own_data::ExportArgs),
    /// Erase a user's data: messages become tombstones, everything else goes.
    Erase(own_data::EraseArgs),
    /// Look for what is left of a user in every table, the log, the dead letters and presence.
    VerifyErased(own_data::EraseArgs),
    /// Keep a user out for a while: connections end at once, nothing is sent for them, nothing notifies them.
    Suspend(standing::Suspend),
    /// Keep a user out for good.
    Ban(One),
    /// Let a suspended or banned user in again.
    Restore(One),
    /// Close a user's connections (4403): their apps stay away until they are opened anew.
    Disconnect(One),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those whose name contains this, in any case.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only behind this id, to read on.
    #[arg(long, value_name = "UUID")]
    after: Option<Uuid>,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
pub struct One {
    /// The user's id.
    #[arg(value_name = "UUID")]
    user: Uuid,
}

/// Runs it.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(args) => list(args, operator).await,
        Action::Show(args) => show(args, operator).await,
        Action::Export(args) => own_data::export(args, operator).await,
        Action::Erase(args) => own_data::erase(args, operator).await,
        Action::VerifyErased(args) => own_data::verify_erased(args, operator).await,
        Action::Suspend(args) => standing::suspend(args, operator).await,
        Action::Ban(args) => standing::ban(args, operator).await,
        Action::Restore(args) => standing::restore(args, operator).await,
        Action::Disconnect(args) => standing::disconnect(args, operator).await,
    }
}

async fn list(args: List, operator: &Operator) -> anyhow::Result<ExitCode> {
    let store = operator.store().await?;
    let found = store.admin_users(args.name.as_deref(), args.after, args.limit).await?;
    let value: Vec<_> = found.iter().map(json).collect();
    operator.answer(&value, || {
        let mut table = table(&["user", "name", "known since (UTC)", "last seen (UTC)"]);
        for user in &found {
            let name = user.display_name.as_deref().map(|name| plain(name, 40)).unwrap_or_default();
            let seen = maybe_time(user.last_seen_at);
            table.add_row([user.id.to_string(), name, time(user.created_at), seen]);
        }
        table
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: One, operator: &Operator) -> anyhow::Result<ExitCode> {
    let found = find(operator, args.user).await?;
    let mut value = json(&found.user);
    value["avatarUrl"] = json!(found.avatar_url);
    value["updatedAt"] = json!(found.updated_at.to_string());
    for (name, number) in figures(&found) {
        value[name] = json!(number);
    }
    let decided = operator.store().await?.standing(args.user).await?;
    value["standing"] = json!(decided.as_str());
    value["suspendedUntil"] = json!(decided.until().map(|at| at.to_string()));
    operator.answer(&value, || {
        let user = &found.user;
        let text =
            |text: &Option<String>| text.as_deref().map(|t| plain(t, 200)).unwrap_or_default();
        let mut lines = vec![
            ("user", user.id.to_string()),
            ("name", text(&user.display_name)),
            ("picture", text(&found.avatar_url)),
            ("known since", time(user.created_at)),
            ("profile of", time(found.updated_at)),
            ("last seen", maybe_time(user.last_seen_at)),
            ("standing", decided.as_str().to_owned()),
            ("suspended until", maybe_time(decided.until())),
        ];
        lines.extend(figures(&found).map(|(name, number)| (name, number.to_string())));
        card(lines)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The user of an id that somebody has typed.
///
/// # Errors
/// When there is none: which command lists them.
pub async fn find(operator: &Operator, user: Uuid) -> anyhow::Result<UserDetails> {
    let found = operator.store().await?.admin_user(user).await?;
    found.with_context(|| {
        format!("There is no user {user}; `messaging admin user list --name …` finds them")
    })
}

fn figures(user: &UserDetails) -> [(&'static str, u64); 6] {
    [
        ("conversations", user.conversations),
        ("unread", user.unread),
        ("devices", user.devices),
        ("blocks", user.blocks),
        ("blockedBy", user.blocked_by),
        ("scheduled", user.scheduled),
    ]
}

fn json(user: &UserRow) -> serde_json::Value {
    json!({
        "id": user.id,
        "displayName": user.display_name,
        "createdAt": user.created_at.to_string(),
        "lastSeenAt": user.last_seen_at.map(|at| at.to_string()),
    })
}
