//! What a stretch of the log says.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::bus::log::{Entry, LogEvent};
use crate::bus::tail::seq_of;
use crate::domain::message::Message;
use crate::store::projection::{Batch, ConversationChange, Deletion, Edit, MediaUse, Reaction};
use crate::wire::event::{Change, ConversationUpdated, EventKind, MessageDeleted, ReactionUpdated};
use crate::wire::{media, metadata, objects};

use super::dead::Poison;

/// Sorts entries into a batch and what cannot be understood, both in the order of the log.
pub fn read(entries: &[Entry]) -> (Batch, Vec<Poison>) {
    let mut batch = Batch::default();
    let mut poison = Vec::new();
    for entry in entries {
        batch.through = seq_of(entry);
        match entry {
            Ok(event) => {
                if let Err(reason) = add(&mut batch, event) {
                    poison.push(Poison::of(event, reason));
                }
            }
            Err(malformed) => poison.push(Poison {
                seq: malformed.seq,
                subject: malformed.subject.clone(),
                event: None,
                reason: malformed.reason.to_owned(),
                payload: malformed.payload.clone(),
            }),
        }
    }
    (batch, poison)
}

fn add(batch: &mut Batch, event: &LogEvent) -> Result<(), String> {
    match event.kind {
        EventKind::NewMessage => {
            let message: objects::Message = parse(event)?;
            if message.conversation_id != event.conversation {
                return Err("the message names another conversation than its subject".to_owned());
            }
            let message = message.into_domain(event.seq).map_err(|cause| cause.to_string())?;
            named_files(batch, &message);
            batch.messages.push(message);
        }
        EventKind::MessageUpdated => {
            let message: objects::Message = parse(event)?;
            batch.edits.push(Edit {
                seq: event.seq,
                message_id: message.id,
                conversation_id: event.conversation,
                message_seq: message.seq.ok_or("an edit without the place of its message")?,
                content: message.content,
                edited_at: message.edited_at.ok_or("an edit without its time")?,
            });
        }
        EventKind::MessageDeleted => {
            let deleted: MessageDeleted = parse(event)?;
            batch.deletions.push(Deletion {
                seq: event.seq,
                message_id: deleted.message_id,
                conversation_id: event.conversation,
                message_seq: deleted.seq,
                deleted_at: stored_at(event),
            });
        }
        EventKind::ConversationUpdated => changed(batch, event)?,
        EventKind::ReactionUpdated => {
            let updated: ReactionUpdated = parse(event)?;
            batch.reactions.push(Reaction {
                seq: event.seq,
                message_id: updated.message_id,
                conversation_id: event.conversation,
                user_id: updated.user_id,
                emoji: updated.emoji,
                added: updated.added,
            });
        }
    }
    Ok(())
}

/// The edge has made sure that a message names only what it may; hosts of others have no files of ours.
fn named_files(batch: &mut Batch, message: &Message) {
    let links = metadata::links(message.kind, &message.metadata);
    let keys = links.iter().filter_map(|(_, link)| media::key_in(link));
    batch.media.extend(keys.map(|key| MediaUse {
        key,
        message_id: message.id,
        conversation_id: message.conversation_id,
    }));
}

fn changed(batch: &mut Batch, event: &LogEvent) -> Result<(), String> {
    let updated: ConversationUpdated = parse(event)?;
    let gained = match updated.change {
        Change::Created | Change::ParticipantsAdded => Some(true),
        Change::ParticipantsRemoved => Some(false),
        _ => None,
    };
    let (seq, conversation_id) = (event.seq, event.conversation);
    let payload = String::from_utf8(event.payload.to_vec()).map_err(|cause| cause.to_string())?;
    let users = updated.user_ids;
    batch.conversations.push(ConversationChange { seq, conversation_id, payload, users, gained });
    Ok(())
}

fn parse<T: DeserializeOwned>(event: &LogEvent) -> Result<T, String> {
    serde_json::from_slice(&event.payload)
        .map_err(|cause| format!("not a {}: {cause}", event.kind.as_str()))
}

/// To the millisecond, as all times on the wire.
fn stored_at(event: &LogEvent) -> Timestamp {
    Timestamp::from_millisecond(event.stored_at / 1_000_000).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    fn event(seq: u64, kind: EventKind, payload: &str) -> Entry {
        Ok(LogEvent {
            seq,
            stored_at: 0,
            conversation: Uuid::from_u128(1),
            kind,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            trace: None,
        })
    }

    #[test]
    fn what_cannot_be_understood_is_set_aside_and_the_rest_goes_on() {
        let deleted =
            format!(r#"{{"messageId":"{0}","conversationId":"{0}","seq":3}}"#, Uuid::from_u128(9));
        let (batch, poison) = read(&[
            event(5, EventKind::NewMessage, "{}"),
            event(6, EventKind::MessageDeleted, &deleted),
            event(7, EventKind::MessageUpdated, "not json"),
        ]);
        assert_eq!(batch.through, 7);
        assert_eq!(batch.deletions.len(), 1);
        assert_eq!(poison.iter().map(|p| p.seq).collect::<Vec<_>>(), [5, 7]);
        assert!(poison[1].reason.starts_with("not a messageUpdated"));
    }
}
