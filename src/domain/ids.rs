//! Identifiers and how they are derived.

use uuid::Uuid;

/// A user, as the `sub` claim of a token names them.
pub type UserId = Uuid;
/// A conversation: direct, group or community.
pub type ConversationId = Uuid;
/// A message; stable over every retry of the same send.
pub type MessageId = Uuid;
/// The JetStream stream sequence of an event: the order that every observer sees.
pub type Seq = u64;

/// The id of a message that its sender can name: UUIDv5 with the sender as name space
/// (RFC 9562, section 5.5), so that every retry on every node derives the same id.
pub fn named_message_id(sender: UserId, client_message_id: &str) -> MessageId {
    Uuid::new_v5(&sender, client_message_id.as_bytes())
}

/// The id of a message without a `clientMessageId`: UUIDv7, whose order follows time.
pub fn fresh_message_id() -> MessageId {
    Uuid::now_v7()
}

/// The partition of a conversation: the last byte of its id, 0 to 255.
///
/// It is a subject token, so that ranges of partitions can move to streams of their own.
pub fn partition(conversation: ConversationId) -> u8 {
    conversation.as_bytes()[15]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_derives_the_same_id_and_another_sender_another() {
        let ada = Uuid::from_u128(1);
        let bayo = Uuid::from_u128(2);
        assert_eq!(named_message_id(ada, "k"), named_message_id(ada, "k"));
        assert_ne!(named_message_id(ada, "k"), named_message_id(bayo, "k"));
        assert_ne!(named_message_id(ada, "k"), named_message_id(ada, "l"));
    }

    #[test]
    fn the_partition_is_the_last_byte() {
        let id: Uuid = "00000000-0000-4000-8000-0000000000fe".parse().expect("a uuid");
        assert_eq!(partition(id), 0xfe);
    }
}
