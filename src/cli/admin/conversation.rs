//! `messaging admin conversation`: looking at conversations; changes are in files of their own.

mod change;
mod delete;
mod export;
mod hold;
mod people;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Operator;
use super::table::{card, maybe_time, plain, table, time};
use crate::domain::conversation::{ContextType, Conversation, ConversationType};
use crate::domain::ids::UserId;
use crate::domain::membership::Refused;
use crate::domain::posting::{Posting, PostingPolicy};
use crate::domain::service;
use crate::outbox;
use crate::store::Store;
use crate::store::admin::conversations::{ConversationDetails, ConversationRow, Filter};
use crate::store::conversations::ChangeError;
use crate::store::outbox::OutboxEvent;
use crate::wire::error::ApiError;
use crate::wire::event::Change;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Conversations in the order of their ids.
    List(List),
    /// One conversation, with figures.
    Show(One),
    /// Make a conversation; the direct one of two people is made once.
    Create(change::Create),
    /// Change a group or community: title, description, picture, who may write and how often, who may join.
    Update(change::Update),
    /// List who is in a conversation, or change it.
    Participants(people::Args),
    /// Write a conversation with all its messages as NDJSON, at flat memory.
    Export(export::Args),
    /// Put a conversation into the archive of one participant, or of all; open apps of up to 100 people show it at once.
    Archive(people::Archive),
    /// Put a conversation under legal hold, or end that: what is said in it is kept, whoever edits or deletes it.
    Hold(hold::Hold),
    /// Delete a conversation for everyone: nobody is in it any more, and its messages become tombstones. For good.
    Delete(One),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only of this type: direct, group, community.
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    kind: Option<ConversationType>,
    /// Only those that this user is in.
    #[arg(long, value_name = "UUID")]
    user: Option<Uuid>,
    /// Only those about this: `event`, or `event/<id>`.
    #[arg(long, value_name = "TYPE[/UUID]", value_parser = context)]
    context: Option<(ContextType, Option<Uuid>)>,
    /// Only those whose title contains this, in any case.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Only behind this id, to read on.
    #[arg(long, value_name = "UUID")]
    after: Option<Uuid>,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The conversation's id.
    #[arg(value_name = "UUID")]
    conversation: Uuid,
}

/// Runs it.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(args) => list(args, operator).await,
        Action::Show(args) => show(args, operator).await,
        Action::Create(args) => change::create(args, operator).await,
        Action::Update(args) => change::update(args, operator).await,
        Action::Participants(args) => people::command(args, operator).await,
        Action::Export(args) => export::command(args, operator).await,
        Action::Archive(args) => people::archive(args, operator).await,
        Action::Hold(args) => hold::hold(args, operator).await,
        Action::Delete(args) => delete::command(args.conversation, operator).await,
    }
}

async fn list(args: List, operator: &Operator) -> anyhow::Result<ExitCode> {
    let List { kind, user, context, title, after, limit } = args;
    if let Some(user) = user {
        super::user::find(operator, user).await?;
    }
    let filter = Filter { kind, user, context, title, after };
    let found = operator.store().await?.admin_conversations(&filter, limit).await?;
    let value: Vec<_> = found.iter().map(json).collect();
    operator.answer(&value, || {
        let mut table =
            table(&["conversation", "type", "title", "people", "messages", "last message (UTC)"]);
        for row in &found {
            let mut title = row.title.as_deref().map(|t| plain(t, 40)).unwrap_or_default();
            if row.deleted_at.is_some() {
                title = "(deleted)".to_owned();
            }
            table.add_row([
                row.id.to_string(),
                row.kind.as_str().to_owned(),
                title,
                row.participants.to_string(),
                row.messages.to_string(),
                maybe_time(row.last_message_at),
            ]);
        }
        table
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: One, operator: &Operator) -> anyhow::Result<ExitCode> {
    let found = find(&operator.store().await?, args.conversation).await?;
    let mut value = json(&found.conversation);
    value["description"] = json!(found.description);
    value["avatarUrl"] = json!(found.avatar_url);
    value["updatedAt"] = json!(found.updated_at.to_string());
    value["lastMessageSeq"] = json!(found.last_message_seq);
    value["postingPolicy"] = json!(found.posting.policy.as_str());
    value["slowModeSeconds"] = json!(found.posting.slow_mode_seconds);
    value["joinApproval"] = json!(found.join_approval);
    value["admins"] = json!(found.admins);
    value["announcements"] = json!(found.announcements);
    operator.answer(&value, || {
        let row = &found.conversation;
        let text =
            |text: &Option<String>| text.as_deref().map(|t| plain(t, 200)).unwrap_or_default();
        let about = row.context.as_ref().map(|(kind, id)| match id {
            Some(id) => format!("{kind} {id}"),
            None => kind.clone(),
        });
        card([
            ("conversation", row.id.to_string()),
            ("type", row.kind.as_str().to_owned()),
            ("title", text(&row.title)),
            ("description", text(&found.description)),
            ("picture", text(&found.avatar_url)),
            ("about", about.unwrap_or_default()),
            ("creator", row.creator_id.to_string()),
            ("participants", format!("{}, {} of them admins", row.participants, found.admins)),
            ("who writes", writes(found.posting)),
            (
                "joining",
                if found.join_approval { "asks its admins".to_owned() } else { String::new() },
            ),
            ("messages so far", row.messages.to_string()),
            ("last message", maybe_time(row.last_message_at)),
            ("last sequence", found.last_message_seq.to_string()),
            ("created", time(row.created_at)),
            ("changed", time(found.updated_at)),
            ("deleted", maybe_time(row.deleted_at)),
            ("legal hold since", maybe_time(row.held_at)),
            ("not announced yet", found.announcements.to_string()),
        ])
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Who may write, where not everybody may at any time.
fn writes(posting: Posting) -> String {
    match (posting.policy, posting.slow_mode_seconds) {
        (PostingPolicy::Admins, _) => "admins".to_owned(),
        (PostingPolicy::Everyone, 0) => String::new(),
        (PostingPolicy::Everyone, seconds) => format!("everyone, every {seconds} s"),
    }
}

/// The conversation of an id that somebody has typed.
///
/// # Errors
/// When there is none: which command lists them.
pub async fn find(store: &Store, id: Uuid) -> anyhow::Result<ConversationDetails> {
    store.admin_conversation(id).await?.with_context(|| missing(id))
}

fn missing(id: Uuid) -> String {
    format!("There is no conversation {id}; `messaging admin conversation list` finds them")
}

fn json(row: &ConversationRow) -> Value {
    json!({
        "id": row.id,
        "type": row.kind.as_str(),
        "title": row.title,
        "creatorId": row.creator_id,
        "contextType": row.context.as_ref().map(|(kind, _)| kind),
        "contextId": row.context.as_ref().and_then(|(_, id)| *id),
        "participantCount": row.participants,
        "messageCount": row.messages,
        "lastMessageAt": row.last_message_at.map(|at| at.to_string()),
        "createdAt": row.created_at.to_string(),
        "deletedAt": row.deleted_at.map(|at| at.to_string()),
        "heldAt": row.held_at.map(|at| at.to_string()),
    })
}

/// What the log learns of an operator's change. The actor is the service of that name, which is nobody's participant.
fn event(change: Change, user_ids: &[UserId], after: &Conversation) -> OutboxEvent {
    let actor = service::sender_id(super::SERVICE);
    outbox::announcement_by(actor, change, user_ids.to_vec(), after)
}

/// A refusal by the rules as a sentence for an operator.
fn refused(id: Uuid, error: ChangeError) -> anyhow::Error {
    let why = match error {
        ChangeError::Store(error) => return error.into(),
        ChangeError::Refused(why) => why,
    };
    anyhow::Error::msg(match why {
        Refused::NotAParticipant => format!("{}; or it was deleted", missing(id)),
        Refused::Direct => {
            "A direct conversation has its two people for good, and neither title nor roles of its own".to_owned()
        }
        Refused::TooMany { max } => format!("A group has at most {max} participants"),
        Refused::NoSuchParticipant => {
            format!("Not everybody named is in it; `messaging admin conversation participants {id}` lists them")
        }
        Refused::NotJoinable => "Only communities can be joined, so that nobody can be let in here".to_owned(),
        Refused::Banned => "Somebody named is banned from it; an admin of it has to lift that first".to_owned(),
        Refused::Blocked => "One of the two has blocked the other, so nothing may pass between them".to_owned(),
        other => format!("The rules do not allow it: {other:?}"),
    })
}

/// A refusal of what was asked, each field that is wrong with its reason.
fn invalid(error: &ApiError) -> anyhow::Error {
    let fields: Vec<_> =
        error.errors.iter().map(|wrong| format!("{} {}", wrong.field, wrong.message)).collect();
    anyhow::Error::msg(match fields.is_empty() {
        true => error.detail.to_string(),
        false => fields.join("; "),
    })
}

fn kind(text: &str) -> Result<ConversationType, String> {
    ConversationType::parse(text)
        .ok_or_else(|| "must be one of direct, group, community".to_owned())
}

/// `event`, or `event/<id>`.
pub fn context(text: &str) -> Result<(ContextType, Option<Uuid>), String> {
    let (kind, id) = text.split_once('/').map_or((text, None), |(kind, id)| (kind, Some(id)));
    let kind = ContextType::parse(kind)
        .ok_or_else(|| "must begin with one of event, business, listing, general".to_owned())?;
    let id = id.map(|id| id.parse().map_err(|_| "must end in a UUID".to_owned())).transpose()?;
    Ok((kind, id))
}
