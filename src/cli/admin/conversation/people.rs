//! Who is in a conversation.

use std::process::ExitCode;

use anyhow::bail;
use clap::ArgGroup;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::change::{at_once, most, some};
use super::{Operator, event, find, refused};
use crate::bus::control::{self, Patience};
use crate::cli::admin::table::{maybe_time, plain, table, time};
use crate::cli::sentence;
use crate::domain::conversation::{Conversation, Participant, Role};
use crate::domain::ids::UserId;
use crate::store::Store;
use crate::store::admin::members::Move;
use crate::store::audit;
use crate::store::participants::ParticipantKey;
use crate::wire::control::{MAX_SHOWN, OwnViews, Shown, VIEWS};
use crate::wire::event::Change;

/// Participants read at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("move").args(["add", "remove", "admin", "member"])))]
pub struct Args {
    /// The conversation's id.
    #[arg(value_name = "UUID")]
    conversation: Uuid,
    /// Take these people in.
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    add: Vec<Uuid>,
    /// Remove these people.
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    remove: Vec<Uuid>,
    /// Make these participants admins.
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    admin: Vec<Uuid>,
    /// Make these participants plain members.
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    member: Vec<Uuid>,
    /// How many to list.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
pub struct Archive {
    /// The conversation's id.
    #[arg(value_name = "UUID")]
    conversation: Uuid,
    /// Only of this participant.
    #[arg(long, value_name = "UUID")]
    user: Option<Uuid>,
    /// Take it out of the archive.
    #[arg(long)]
    undo: bool,
}

/// Lists or changes them.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let id = args.conversation;
    let max = most(operator);
    let moves = [
        (args.add, Move::Add { max }, Change::ParticipantsAdded, "conversation participants add"),
        (
            args.remove,
            Move::Remove,
            Change::ParticipantsRemoved,
            "conversation participants remove",
        ),
        (args.admin, Move::Role(Role::Admin), Change::Role, "conversation participants admin"),
        (args.member, Move::Role(Role::Member), Change::Role, "conversation participants member"),
    ];
    let Some((people, what, change, action)) =
        moves.into_iter().find(|(people, ..)| !people.is_empty())
    else {
        return list(id, args.limit as usize, operator).await;
    };
    at_once(&people)?;
    let store = operator.store().await?;
    let audit = operator.audit(action, id);
    let announced = |after: &Conversation, whom: &[UserId]| event(change, whom, after);
    let moving = store.admin_move(
        id,
        (&people, what),
        Timestamp::now(),
        (&audit, operator.dry_run),
        announced,
    );
    let whom = moving.await.map_err(|error| refused(id, error))?;
    let sentence = match whom.is_empty() {
        true => "There was nothing to change".to_owned(),
        false => format!("{action}: {}", some(&whom)),
    };
    operator.say(&json!({ "id": id, "userIds": whom, "dryRun": operator.dry_run }), &sentence)?;
    Ok(ExitCode::SUCCESS)
}

async fn list(id: Uuid, limit: usize, operator: &Operator) -> anyhow::Result<ExitCode> {
    let store = operator.store().await?;
    find(&store, id).await?;
    let people = all(&store, id, limit).await?;
    let value: Vec<_> = people
        .iter()
        .map(|person| {
            json!({
                "userId": person.user_id,
                "displayName": person.display_name,
                "role": person.role.as_str(),
                "joinedAt": person.joined_at.to_string(),
                "lastReadSeq": person.last_read_seq,
                "deliveredSeq": person.delivered_seq,
                "lastSeenAt": person.last_seen_at.map(|at| at.to_string()),
            })
        })
        .collect();
    operator.answer(&value, || {
        let header =
            ["user", "name", "role", "joined (UTC)", "read to", "delivered to", "last seen (UTC)"];
        let mut table = table(&header);
        for person in &people {
            table.add_row([
                person.user_id.to_string(),
                person.display_name.as_deref().map(|name| plain(name, 40)).unwrap_or_default(),
                person.role.as_str().to_owned(),
                time(person.joined_at),
                person.last_read_seq.to_string(),
                person.delivered_seq.to_string(),
                maybe_time(person.last_seen_at),
            ]);
        }
        table
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The participants in the order they joined, at most `limit`.
async fn all(store: &Store, id: Uuid, limit: usize) -> anyhow::Result<Vec<Participant>> {
    let mut people = Vec::new();
    let mut after: Option<ParticipantKey> = None;
    while people.len() < limit {
        let page = store.participants(id, after, PAGE).await?;
        people.extend(page.participants);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    people.truncate(limit);
    Ok(people)
}

/// Moves it into the archive, or out.
pub async fn archive(args: Archive, operator: &Operator) -> anyhow::Result<ExitCode> {
    let (id, store) = (args.conversation, operator.store().await?);
    find(&store, id).await?;
    let action = if args.undo { "conversation archive undo" } else { "conversation archive" };
    if let Some(user) = args.user
        && store.membership(id, user).await?.is_none()
    {
        bail!(
            "User {user} is not in it; `messaging admin conversation participants {id}` lists who is. Nothing was changed."
        );
    }
    let audit = operator.audit(action, audit::place(id, args.user));
    let whose = (args.user, !args.undo);
    let changed =
        store.admin_archive(id, whose, Timestamp::now(), (&audit, operator.dry_run)).await?;
    let shown = match operator.dry_run {
        true => Some(0),
        false => show(id, &changed, operator).await,
    };
    let place = if args.undo { "out of" } else { "into" };
    let mut sentence = format!("Moved {place} the archive of {} participants", changed.len());
    match shown {
        Some(0) => {}
        Some(connections) => sentence.push_str(&format!("; {connections} open apps show it")),
        None => sentence.push_str("; their apps see it with their next list"),
    }
    let value = json!({
        "id": id, "participants": changed.len(), "shownConnections": shown, "dryRun": operator.dry_run,
    });
    operator.say(&value, &sentence)?;
    Ok(ExitCode::SUCCESS)
}

/// Has every node show the conversation anew to those of these people who are connected there; returns to how many
/// connections, or `None` where they are too many to be told, or no node has answered.
async fn show(id: Uuid, whose: &[UserId], operator: &Operator) -> Option<u32> {
    if whose.is_empty() {
        return Some(0);
    }
    if whose.len() > MAX_SHOWN {
        return None;
    }
    let views = OwnViews { conversation_id: id, change: Change::Archive, user_ids: whose.to_vec() };
    let asked = async {
        let client = operator.nats().await?;
        let question = serde_json::to_vec(&views)?;
        anyhow::Ok(control::ask(&client, VIEWS, question.into(), Patience::default()).await?)
    };
    match asked.await {
        Ok(answers) if answers.is_empty() => None,
        Ok(answers) => {
            let shown =
                answers.iter().filter_map(|body| serde_json::from_slice::<Shown>(body).ok());
            Some(shown.map(|shown| shown.connections).sum())
        }
        Err(cause) => {
            eprintln!("NATS: {}", sentence(&cause));
            None
        }
    }
}
