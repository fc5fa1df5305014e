//! Events as they stand in the log and leave on sockets.
//!
//! An event's payload in the log is the client's JSON of its data. Only `newMessage` lacks its `seq`,
//! which the stream assigns: [`splice_seq`] puts it in, so that nothing is parsed on the way out.

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};

use super::objects::SharedConversation;

/// The NATS header that names the kind of an event.
pub const EVENT_HEADER: &str = "Event";

/// The kinds of events in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    NewMessage,
    MessageUpdated,
    MessageDeleted,
    ReactionUpdated,
    ConversationUpdated,
}

impl EventKind {
    /// The event's name on the wire, and the value of [`EVENT_HEADER`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewMessage => "newMessage",
            Self::MessageUpdated => "messageUpdated",
            Self::MessageDeleted => "messageDeleted",
            Self::ReactionUpdated => "reactionUpdated",
            Self::ConversationUpdated => "conversationUpdated",
        }
    }

    /// The kind of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::NewMessage,
            Self::MessageUpdated,
            Self::MessageDeleted,
            Self::ReactionUpdated,
            Self::ConversationUpdated,
        ]
        .into_iter()
        .find(|k| k.as_str() == name)
    }
}

/// `messageDeleted`: `seq` is the place of the message that is gone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct MessageDeleted {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
}

/// `reactionUpdated`: somebody reacted to a message, or took it back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ReactionUpdated {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    /// The place of the message.
    pub seq: Seq,
    pub emoji: String,
    pub user_id: UserId,
    pub added: bool,
}

/// What changed about a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    Created,
    /// Title, description or avatar.
    Title,
    ParticipantsAdded,
    ParticipantsRemoved,
    Role,
    Context,
    /// Who may write, how often, and who may join.
    Settings,
    MessagePinned,
    MessageUnpinned,
    /// Somebody wants to join, wants it no more, or was refused; told to admins, and to whom it concerns.
    JoinRequested,
    JoinCancelled,
    JoinRejected,
    /// The user's own view, changed on another device.
    Pin,
    Mute,
    Archive,
    Read,
    /// The user has blocked the other one, or somebody in the group; or no longer.
    Blocked,
    Unblocked,
}

/// `conversationUpdated` as the log holds it: what is the same for everyone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ConversationUpdated {
    pub conversation_id: ConversationId,
    pub change: Change,
    /// Who changed it.
    pub actor_id: UserId,
    /// Those who were added, removed or given a role; for `created`, all first participants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_ids: Vec<UserId>,
    /// The message that was pinned or unpinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MessageId")]
    pub message_id: Option<MessageId>,
    pub conversation: SharedConversation,
}

/// Puts `"seq":<seq>,` behind the opening brace of a JSON object.
///
/// # Panics
/// Never; a payload that is not an object is returned as it is (the persister parks it).
pub fn splice_seq(payload: &[u8], seq: Seq) -> Bytes {
    let Some((b'{', rest)) = payload.split_first() else {
        return Bytes::copy_from_slice(payload);
    };
    let mut out = BytesMut::with_capacity(payload.len() + 28);
    put_seq(&mut out, rest, seq);
    out.freeze()
}

fn put_seq(out: &mut BytesMut, rest: &[u8], seq: Seq) {
    out.put_slice(b"{\"seq\":");
    out.put_slice(itoa(seq, &mut [0; 20]));
    if rest.first() != Some(&b'}') {
        out.put_u8(b',');
    }
    out.put_slice(rest);
}

/// The decimal digits of a number, without going through the formatting machinery.
pub fn itoa(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}

/// A cursor: the epoch of the log and a place in it. Clients treat it as opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub epoch: String,
    pub seq: Seq,
}

impl Cursor {
    /// Reads `<epoch>.<seq>`.
    pub fn parse(text: &str) -> Option<Self> {
        // An epoch is a short token of our own making; longer ones cannot be ours.
        let (epoch, seq) = text.split_once('.')?;
        let fine =
            (1..=32).contains(&epoch.len()) && epoch.bytes().all(|b| b.is_ascii_alphanumeric());
        fine.then_some(())?;
        Some(Self { epoch: epoch.to_owned(), seq: seq.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// `userTyping`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct UserTyping {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub is_typing: bool,
}

/// `messageRead`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct MessageRead {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub message_id: Option<Uuid>,
    pub seq: Seq,
    #[serde(with = "super::time")]
    #[schemars(with = "super::time::Time")]
    pub read_at: jiff::Timestamp,
}

/// `messageDelivered`: everything up to `seq` has reached the user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct MessageDelivered {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub seq: Seq,
    #[serde(with = "super::time")]
    #[schemars(with = "super::time::Time")]
    pub delivered_at: jiff::Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_spliced_in_and_the_rest_untouched() {
        assert_eq!(&splice_seq(br#"{"id":"x"}"#, 1841)[..], br#"{"seq":1841,"id":"x"}"#);
        assert_eq!(&splice_seq(b"{}", 0)[..], br#"{"seq":0}"#);
        assert_eq!(&splice_seq(b"[]", 7)[..], b"[]");
        assert_eq!(itoa(u64::MAX, &mut [0; 20]), u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn cursors_read_back_and_forged_ones_do_not() {
        let cursor = Cursor { epoch: "k3v".into(), seq: 12 };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for forged in ["", ".", "a.", ".1", "a.-1", "a.1.2", "a b.1", "a.99999999999999999999"] {
            assert_eq!(Cursor::parse(forged), None, "{forged}");
        }
    }
}
