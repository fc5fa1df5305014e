//! Deleting a conversation for everyone.
//!
//! First it is closed, so that nobody comes in; then its people are removed, each batch with its announcement; then,
//! when everything that they had sent is in Postgres, its messages are asked to be deleted, which the persister's leader
//! does. Each step commits, so the command may be interrupted anywhere, and goes on when it is run again.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Operator, event, find};
use crate::bus;
use crate::bus::log::Log;
use crate::domain::conversation::Conversation;
use crate::domain::ids::UserId;
use crate::store::Store;
use crate::wire::event::Change;

/// People removed in one transaction: the announcement names each (40 bytes), and the row is locked for 10 ms.
const PEOPLE: u32 = 500;
/// Messages asked for in one: some 50 ms.
const MESSAGES: u32 = 5_000;
/// How long what was sent before the end may take into Postgres: an announcement is swept after 3 s at worst, and the
/// persister is some milliseconds behind, or seconds when it was restarted.
const SETTLING: Duration = Duration::from_secs(20);
/// How often to look.
const LOOK: Duration = Duration::from_millis(100);

const HELD: &str =
    "It is under legal hold, or somebody else deletes it at this moment; nothing was changed";

/// Deletes it.
pub async fn command(id: Uuid, operator: &Operator) -> anyhow::Result<ExitCode> {
    let store = operator.store().await?;
    let found = find(&store, id).await?;
    if found.conversation.held_at.is_some() {
        bail!(HELD);
    }
    let remains = store.admin_remains(id).await?;
    let what = format!(
        "delete the conversation {id} of {} people with {} messages for everyone",
        remains.participants, remains.messages
    );
    operator.confirm(&what)?;
    if operator.dry_run {
        let value = json!({
            "id": id, "participants": remains.participants, "messages": remains.messages, "dryRun": true,
        });
        operator.say(&value, &format!("This would {what}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything is changed: it is needed further down.
    let client = operator.nats().await?;
    Log::open(&client).await?;
    if found.conversation.deleted_at.is_none() {
        let audit = operator.audit("conversation delete", id);
        if !store.admin_close(id, Timestamp::now(), &audit).await? {
            bail!(HELD);
        }
    }
    let people = remove_people(&store, id).await?;
    settle(&store, &client, id).await?;
    let messages = ask_deletions(&store, id).await?;
    let sentence = format!(
        "{people} people were removed; {messages} messages are being deleted, which `messaging admin conversation \
         delete {id} --dry-run` counts down"
    );
    operator.say(&json!({ "id": id, "participants": people, "messages": messages }), &sentence)?;
    Ok(ExitCode::SUCCESS)
}

async fn remove_people(store: &Store, id: Uuid) -> anyhow::Result<u64> {
    let mut removed = 0;
    loop {
        let announced =
            |after: &Conversation, gone: &[UserId]| event(Change::ParticipantsRemoved, gone, after);
        match store.admin_remove_next(id, PEOPLE, Timestamp::now(), announced).await? {
            0 => return Ok(removed),
            some => removed += some,
        }
    }
}

/// Waits until nodes have heard that nobody is in it, and Postgres has what was sent until then.
async fn settle(store: &Store, client: &bus::Client, id: Uuid) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLING;
    while find(store, id).await?.announcements > 0 {
        pause(deadline, "The nodes have not announced yet that nobody is in it").await?;
    }
    let end = Log::open(client).await?.last_seq();
    // The end of the log may have been erased, so that Postgres never gets as far as its number: what stands there
    // of this conversation is a deletion then, and nothing new.
    while store.progress().await?.last_seq < end {
        pause(deadline, "The persister is behind").await?;
    }
    Ok(())
}

async fn pause(deadline: Instant, why: &str) -> anyhow::Result<()> {
    if Instant::now() > deadline {
        bail!(
            "{why} after {} s. The conversation is closed and its people are removed; run the command again to \
             delete its messages",
            SETTLING.as_secs()
        );
    }
    tokio::time::sleep(LOOK).await;
    Ok(())
}

async fn ask_deletions(store: &Store, id: Uuid) -> anyhow::Result<u64> {
    let (mut asked, mut after) = (0, 0);
    loop {
        let batch = store.admin_ask_deletions(id, after, MESSAGES).await?;
        asked += batch.messages;
        match batch.next {
            Some(next) => after = next,
            None => return Ok(asked),
        }
    }
}
