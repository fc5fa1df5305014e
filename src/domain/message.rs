//! Messages and the rules of sending, editing and deleting them.

use std::time::Duration;

use jiff::Timestamp;

use super::conversation::Role;
use super::expiry;
use super::ids::{ConversationId, MessageId, Seq, UserId};
use super::reaction::Reacted;

/// Longest preview of the message that a reply quotes, in characters.
pub const REPLY_PREVIEW_CHARS: usize = 200;

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    Text,
    Image,
    Video,
    Audio,
    Location,
    File,
    /// Written by the service or by another back-end service, never by a client.
    System,
}

impl MessageType {
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Location,
        Self::File,
        Self::System,
    ];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Location => "location",
            Self::File => "file",
            Self::System => "system",
        }
    }

    /// The type of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }
}

/// The message that a reply quotes, as it was when the reply was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyPreview {
    pub id: MessageId,
    pub sender_id: UserId,
    pub kind: MessageType,
    /// At most [`REPLY_PREVIEW_CHARS`] characters.
    pub content: String,
}

/// A message as history holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub sender_id: UserId,
    pub sender_name: Option<String>,
    pub kind: MessageType,
    pub content: String,
    pub reply_to_message_id: Option<MessageId>,
    pub reply_to: Option<ReplyPreview>,
    /// A JSON object, as text.
    pub metadata: String,
    pub mentions: Vec<UserId>,
    /// In the order in which the emoji were first given.
    pub reactions: Vec<Reacted>,
    pub client_message_id: Option<String>,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Message {
    /// The message as it may be shown at `now`: past its time it is a tombstone.
    pub fn shown_at(mut self, now: Timestamp) -> Self {
        if self.deleted_at.is_none() && expiry::is_over(self.expires_at, now) {
            self.bury(now);
        }
        self
    }

    /// Turns the message into the tombstone that stays in its place. One that has vanished before was deleted then.
    pub fn bury(&mut self, at: Timestamp) {
        let at = self.expires_at.map_or(at, |expired| expired.min(at));
        self.content.clear();
        self.metadata = "{}".to_owned();
        self.mentions.clear();
        self.reactions.clear();
        self.reply_to = None;
        self.deleted_at = Some(at);
        self.updated_at = at;
    }
}

/// Why a change to a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeRefused {
    /// Only its sender may edit; only its sender and admins of the conversation may delete.
    NotAllowed,
    /// The edit window has passed.
    TooLate,
    /// A tombstone has nothing to edit.
    Deleted,
    /// System messages are not edited.
    System,
}

/// May `actor` give the message new content at time `now`?
pub fn may_edit(
    message: &Message,
    actor: UserId,
    now: Timestamp,
    window: Duration,
) -> Result<(), ChangeRefused> {
    if message.kind == MessageType::System {
        return Err(ChangeRefused::System);
    }
    if message.sender_id != actor {
        return Err(ChangeRefused::NotAllowed);
    }
    if message.deleted_at.is_some() {
        return Err(ChangeRefused::Deleted);
    }
    let age = now.duration_since(message.created_at);
    // A window of zero means that edits never expire.
    if !window.is_zero() && age.unsigned_abs() > window && age.is_positive() {
        return Err(ChangeRefused::TooLate);
    }
    Ok(())
}

/// May `actor`, who has `role` in the conversation, delete the message? Deleting twice is harmless.
pub fn may_delete(message: &Message, actor: UserId, role: Role) -> Result<(), ChangeRefused> {
    if message.sender_id == actor || role == Role::Admin {
        Ok(())
    } else {
        Err(ChangeRefused::NotAllowed)
    }
}

/// The first [`REPLY_PREVIEW_CHARS`] characters.
pub fn preview(content: &str) -> String {
    content.chars().take(REPLY_PREVIEW_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn message(sender: u128) -> Message {
        let at = Timestamp::UNIX_EPOCH;
        Message {
            id: Uuid::from_u128(9),
            conversation_id: Uuid::from_u128(8),
            seq: 1,
            sender_id: Uuid::from_u128(sender),
            sender_name: None,
            kind: MessageType::Text,
            content: "hello".into(),
            reply_to_message_id: None,
            reply_to: None,
            metadata: "{}".into(),
            mentions: vec![],
            reactions: vec![],
            client_message_id: None,
            edited_at: None,
            deleted_at: None,
            expires_at: None,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn only_the_sender_edits_and_only_within_the_window() {
        let m = message(1);
        let (ada, bayo) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let at = |secs| Timestamp::from_second(secs).expect("in range");
        assert_eq!(may_edit(&m, ada, at(3600), HOUR), Ok(()));
        assert_eq!(may_edit(&m, ada, at(3601), HOUR), Err(ChangeRefused::TooLate));
        assert_eq!(may_edit(&m, ada, at(99_999_999), Duration::ZERO), Ok(()));
        assert_eq!(may_edit(&m, bayo, at(1), HOUR), Err(ChangeRefused::NotAllowed));
    }

    #[test]
    fn a_tombstone_keeps_its_place_and_nothing_else() {
        let mut m = message(1);
        m.bury(Timestamp::UNIX_EPOCH);
        assert_eq!((m.content.as_str(), m.metadata.as_str(), m.seq), ("", "{}", 1));
        assert_eq!(
            may_edit(&m, Uuid::from_u128(1), Timestamp::UNIX_EPOCH, HOUR),
            Err(ChangeRefused::Deleted)
        );
    }

    #[test]
    fn admins_delete_what_others_wrote() {
        let m = message(1);
        assert_eq!(may_delete(&m, Uuid::from_u128(2), Role::Admin), Ok(()));
        assert_eq!(
            may_delete(&m, Uuid::from_u128(2), Role::Member),
            Err(ChangeRefused::NotAllowed)
        );
    }

    #[test]
    fn a_preview_counts_characters_not_bytes() {
        assert_eq!(preview(&"é".repeat(300)).chars().count(), 200);
    }
}
