//! Other services that take part: who they are as senders, and how ids follow from what they send.

use uuid::Uuid;

use super::ids::{ConversationId, MessageId, UserId};

/// Longest name of a service, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// The name space of all services (RFC 9562, section 5.5). It must never change: every id below follows from it.
const SERVICES: Uuid = Uuid::from_u128(0x6d65_6361_6261_4c73_8265_7276_6963_6573);

/// The user that a service is as a sender. It is no participant of anything.
pub fn sender_id(service: &str) -> UserId {
    Uuid::new_v5(&SERVICES, service.as_bytes())
}

/// The conversation of a user's notices from one service: the same whoever makes it first.
pub fn notices_id(sender: UserId, user: UserId) -> ConversationId {
    Uuid::new_v5(&sender, format!("notices:{user}").as_bytes())
}

/// The id of a message that a service sends with a key of its own: every repetition derives the same, however long
/// after, and each conversation that it goes to has another.
pub fn message_id(sender: UserId, conversation: ConversationId, key: &str) -> MessageId {
    Uuid::new_v5(&sender, format!("{conversation}:{key}").as_bytes())
}

/// Is this a name that a service can have? A letter or digit, then letters, digits, `-` and `_`.
pub fn is_name(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.len() <= MAX_NAME_CHARS
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_service_conversation_and_key() {
        let (events, orders) = (sender_id("events"), sender_id("orders"));
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_ne!(events, orders);
        assert_eq!(message_id(events, one, "k"), message_id(events, one, "k"));
        assert_ne!(message_id(events, one, "k"), message_id(events, two, "k"));
        assert_ne!(message_id(events, one, "k"), message_id(orders, one, "k"));
        assert_ne!(notices_id(events, one), notices_id(orders, one));
    }

    #[test]
    fn the_user_of_a_service_is_the_same_for_ever() {
        // Other services and apps may have written it down.
        assert_eq!(sender_id("events").to_string(), "3390d56c-fb94-5786-a9bc-5ba5170f8bb1");
    }

    #[test]
    fn names_are_tokens_of_a_subject() {
        for fine in ["events", "a", "user-service_2", &"x".repeat(64)] {
            assert!(is_name(fine), "{fine}");
        }
        for wrong in ["", "-a", "_", "a.b", "a b", "é", "a*", ">", &"x".repeat(65)] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
