//! `messaging admin tail`: events as they happen.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ArgGroup;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Operator;
use super::conversation::{context, find};
use super::table::plain;
use crate::bus::watch::{Seen, Watch};
use crate::cli::UNWRITTEN;
use crate::domain::conversation::ContextType;
use crate::domain::ids::ConversationId;
use crate::store::admin::conversations::Filter;
use crate::wire::event::EventKind;

/// Conversations of one user or context that are followed: 16 bytes each.
const FOLLOWED: u32 = 10_000;

const LONG: &str = "\
Events as they happen, until it is stopped: what is said, edited, deleted, reacted, and how conversations change. With \
--json one document a line.

Nothing is missed while it is connected; what happened before, or while it was not, is in history (`messaging admin \
conversation export`).";

#[derive(Debug, clap::Args)]
#[command(long_about = LONG)]
#[command(group(ArgGroup::new("whose").args(["conversation", "user", "context"])))]
pub struct Args {
    /// Only of this conversation.
    #[arg(long, value_name = "UUID")]
    conversation: Option<Uuid>,
    /// Only of the conversations that this user is in, or comes into meanwhile.
    #[arg(long, value_name = "UUID")]
    user: Option<Uuid>,
    /// Only of conversations about this: event/<UUID>.
    #[arg(long, value_name = "TYPE/UUID", value_parser = context)]
    context: Option<(ContextType, Option<Uuid>)>,
    /// Stop after so many events.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
}

/// Whose events are shown.
struct Wanted {
    user: Option<Uuid>,
    context: Option<(ContextType, Option<Uuid>)>,
    /// `None` for all.
    conversations: Option<HashSet<ConversationId>>,
}

/// Prints events until stopped.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let (client, refusals) = operator.nats_with_refusals().await?;
    // Before it is read whose conversations are wanted: who comes into one meanwhile is heard of here.
    let mut watch = Watch::begin(&client, args.conversation).await?;
    let mut wanted = wanted(&args, operator).await?;
    eprintln!("Listening; Ctrl-C ends it.");
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let seen = tokio::select! {
            seen = watch.next() => seen?,
            () = refusals.refused() => bail!(
                "NATS does not let this user see what people write: be the user `operator` (NATS_USER, NATS_PASSWORD)"
            ),
        };
        let data: Value = serde_json::from_slice(&seen.payload).unwrap_or_default();
        if wanted.has(&seen, &data) {
            print(operator, &seen, data)?;
            left -= 1;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn wanted(args: &Args, operator: &Operator) -> anyhow::Result<Wanted> {
    let (user, context) = (args.user, args.context);
    // Of what is not there nothing would ever come.
    if let Some(conversation) = args.conversation {
        find(&operator.store().await?, conversation).await?;
    }
    let conversations = if user.is_some() || context.is_some() {
        if let Some(user) = user {
            super::user::find(operator, user).await?;
        }
        let filter = Filter { user, context, ..Filter::default() };
        let found = operator.store().await?.admin_conversations(&filter, FOLLOWED).await?;
        if found.len() == FOLLOWED as usize {
            eprintln!("Only the first {FOLLOWED} conversations are followed.");
        }
        Some(found.into_iter().map(|row| row.id).collect())
    } else {
        None
    };
    Ok(Wanted { user, context, conversations })
}

impl Wanted {
    fn has(&mut self, seen: &Seen, data: &Value) -> bool {
        let Some(conversations) = &mut self.conversations else { return true };
        if seen.kind == EventKind::ConversationUpdated {
            let named = |user: Uuid| {
                let people = data["userIds"].as_array();
                people.is_some_and(|people| people.contains(&json!(user)))
            };
            let conversation = &data["conversation"];
            let about = |(kind, id): (ContextType, Option<Uuid>)| {
                conversation["contextType"] == kind.as_str()
                    && id.is_none_or(|id| conversation["contextId"] == json!(id))
            };
            let concerns = self.user.is_some_and(named) || self.context.is_some_and(about);
            if concerns {
                if data["change"] != "participantsRemoved" {
                    conversations.insert(seen.conversation);
                } else if self.user.is_some() {
                    conversations.remove(&seen.conversation);
                }
                return true;
            }
        }
        conversations.contains(&seen.conversation)
    }
}

fn print(operator: &Operator, seen: &Seen, data: Value) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let text = match operator.json {
        true => json!({
            "at": format!("{now:.3}"),
            "event": seen.kind.as_str(),
            "conversationId": seen.conversation,
            "data": data,
        })
        .to_string(),
        false => readable(now, seen, &data),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context(UNWRITTEN)
}

fn readable(now: Timestamp, seen: &Seen, data: &Value) -> String {
    let text = |name: &str| plain(data[name].as_str().unwrap_or_default(), 300);
    let who = |name: &str| match data["senderName"].as_str() {
        Some(called) => plain(called, 40),
        None => text(name),
    };
    let what = match seen.kind {
        EventKind::NewMessage => {
            format!("{} ({}): {}", who("senderId"), text("type"), text("content"))
        }
        EventKind::MessageUpdated => {
            format!("{} edits {}: {}", who("senderId"), text("id"), text("content"))
        }
        EventKind::MessageDeleted => format!("{} is deleted", text("messageId")),
        EventKind::ReactionUpdated => {
            let sign = if data["added"] == true { "+" } else { "-" };
            format!("{} {sign}{} on {}", text("userId"), text("emoji"), text("messageId"))
        }
        EventKind::ConversationUpdated => {
            let people: Vec<_> = data["userIds"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            format!("{} by {} {}", text("change"), text("actorId"), plain(&people.join(" "), 300))
        }
    };
    format!("{} {} {} {what}", now.strftime("%H:%M:%S%.3f"), seen.conversation, seen.kind.as_str())
}
