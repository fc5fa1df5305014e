//! `messaging admin message`: single messages.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Operator;
use super::conversation::context;
use super::table::{card, maybe_time, plain, time};
use crate::bus::ask;
use crate::domain::conversation::ContextType;
use crate::domain::message::Message;
use crate::store::Store;
use crate::wire::objects;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// One message, as history holds it.
    Show(One),
    /// Delete a message for everyone; its tombstone stays in its place. For good.
    Delete(One),
    /// Write a system message into a conversation, into every one about a context, or to a user.
    SendSystem(SendSystem),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The message's id.
    #[arg(value_name = "UUID")]
    message: Uuid,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("to").required(true).args(["conversation", "context", "user"])))]
struct SendSystem {
    /// Into this conversation.
    #[arg(long, value_name = "UUID")]
    conversation: Option<Uuid>,
    /// Into every conversation about this.
    #[arg(long, value_name = "TYPE/UUID", value_parser = context)]
    context: Option<(ContextType, Option<Uuid>)>,
    /// Into this user's notices from the operator.
    #[arg(long, value_name = "UUID")]
    user: Option<Uuid>,
    /// A name for it: repeated with the same, it is the same message and not a second one.
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// A JSON object that goes with it.
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// What it says.
    content: String,
}

/// Runs it.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Show(args) => show(args.message, operator).await,
        Action::Delete(args) => delete(args.message, operator).await,
        Action::SendSystem(args) => send_system(args, operator).await,
    }
}

async fn find(store: &Store, id: Uuid) -> anyhow::Result<Message> {
    store.message(id).await?.with_context(|| {
        format!(
            "There is no message {id} in Postgres. `messaging admin conversation export` lists those of a \
             conversation; what was sent this second may not be there yet"
        )
    })
}

async fn show(id: Uuid, operator: &Operator) -> anyhow::Result<ExitCode> {
    let found = find(&operator.store().await?, id).await?;
    let value = objects::Message::from(found.clone());
    operator.answer(&value, || {
        let name = found.sender_name.as_deref().map(|name| plain(name, 40)).unwrap_or_default();
        let reactions: Vec<_> =
            found.reactions.iter().map(|r| format!("{} {}", r.emoji, r.count)).collect();
        card([
            ("message", found.id.to_string()),
            ("conversation", found.conversation_id.to_string()),
            ("sequence", found.seq.to_string()),
            ("sender", format!("{} {name}", found.sender_id)),
            ("type", found.kind.as_str().to_owned()),
            ("content", plain(&found.content, 8_000)),
            (
                "metadata",
                if found.metadata == "{}" { String::new() } else { plain(&found.metadata, 4_096) },
            ),
            ("reply to", found.reply_to_message_id.map(|id| id.to_string()).unwrap_or_default()),
            ("reactions", reactions.join(", ")),
            (
                "named by its sender",
                found.client_message_id.as_deref().map(|id| plain(id, 200)).unwrap_or_default(),
            ),
            ("sent", time(found.created_at)),
            ("edited", maybe_time(found.edited_at)),
            ("vanishes", maybe_time(found.expires_at)),
            ("deleted", maybe_time(found.deleted_at)),
        ])
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn delete(id: Uuid, operator: &Operator) -> anyhow::Result<ExitCode> {
    let store = operator.store().await?;
    let found = find(&store, id).await?;
    let value =
        json!({ "id": id, "conversationId": found.conversation_id, "dryRun": operator.dry_run });
    if found.deleted_at.is_some() {
        operator.say(&value, &format!("Message {id} is a tombstone already"))?;
        return Ok(ExitCode::SUCCESS);
    }
    operator.confirm(&format!("delete the message {id} for everyone"))?;
    let audit = operator.audit("message delete", id);
    if !store.admin_delete_message(id, &audit, operator.dry_run).await? {
        bail!(
            "Conversation {} is under legal hold: nothing of it may be deleted, and nothing was changed",
            found.conversation_id
        );
    }
    let sentence = match operator.dry_run {
        true => format!("Message {id} would be deleted"),
        false => {
            format!("Message {id} is being deleted: its people see a tombstone within a second")
        }
    };
    operator.say(&value, &sentence)?;
    Ok(ExitCode::SUCCESS)
}

async fn send_system(args: SendSystem, operator: &Operator) -> anyhow::Result<ExitCode> {
    let target = match (args.conversation, args.context, args.user) {
        (Some(id), ..) => format!("conversation.{id}"),
        (_, Some((kind, Some(id))), _) => format!("context.{}.{id}", kind.as_str()),
        (_, Some((_, None)), _) => bail!("--context needs the id as well: event/<UUID>"),
        (.., Some(id)) => format!("user.{id}"),
        _ => bail!("Name a conversation, a context or a user"),
    };
    let mut body = json!({ "content": args.content });
    if let Some(metadata) = &args.metadata {
        body["metadata"] = serde_json::from_str(metadata).context("--metadata is no JSON")?;
    }
    if operator.dry_run {
        let sentence = format!("A system message would be sent to {target}");
        operator.say(&json!({ "to": target, "body": body, "dryRun": true }), &sentence)?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = operator.nats().await?;
    operator.store().await?.note(&operator.audit("message send-system", &target)).await?;
    let key = args.key.unwrap_or_else(|| Uuid::now_v7().to_string());
    let subject = format!("messaging.api.system.{}.{target}", super::SERVICE);
    let reply = ask::service(&client, subject, Some(&key), body.to_string().into()).await?;
    let reply = accepted(&reply)?;
    let ids = reply["messageIds"].as_array().cloned().unwrap_or_default();
    let sentence = match ids.len() {
        0 => "It went nowhere: there is no conversation about that".to_owned(),
        1 => format!("Sent as {}", ids[0].as_str().unwrap_or_default()),
        many => format!("Sent into {many} conversations"),
    };
    operator.say(&reply, &sentence)?;
    Ok(ExitCode::SUCCESS)
}

/// A reply that says `ok`; what it says otherwise is the error.
pub fn accepted(reply: &[u8]) -> anyhow::Result<Value> {
    let reply: Value = serde_json::from_slice(reply).context("The reply is no JSON")?;
    if reply["ok"] == true {
        return Ok(reply);
    }
    let error = &reply["error"];
    let fields: Vec<String> = error["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|wrong| {
            let text = |name: &str| wrong[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("field"), text("message"))
        })
        .collect();
    let message = error["message"].as_str().unwrap_or("no reason was given");
    match fields.is_empty() {
        true => bail!("It was refused: {message}"),
        false => bail!("It was refused: {}", fields.join("; ")),
    }
}
