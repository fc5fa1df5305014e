//! Conversations, who is in them and what they may do.

use jiff::Timestamp;
use uuid::Uuid;

use super::ids::{ConversationId, Seq, UserId};
use super::message::Message;
use super::posting::Posting;
use super::receipt::Status;

/// Longest title, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
/// Longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 2_000;
/// Participants shown inside a conversation; the rest are paged at their own route.
pub const INLINE_PARTICIPANTS: usize = 50;

/// How people are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationType {
    /// Exactly two.
    Direct,
    /// 2 to `MAX_GROUP_PARTICIPANTS`, by invitation.
    Group,
    /// Any number; everyone may join.
    Community,
}

impl ConversationType {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Community => "community",
        }
    }

    /// The type of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Community].into_iter().find(|t| t.as_str() == name)
    }
}

/// What a participant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Member,
    /// Edits the conversation, its participants, and deletes messages of others.
    Admin,
}

impl Role {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    /// The role of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Member, Self::Admin].into_iter().find(|r| r.as_str() == name)
    }
}

/// What a conversation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContextType {
    Event,
    Business,
    Listing,
    General,
}

impl ContextType {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Business => "business",
            Self::Listing => "listing",
            Self::General => "general",
        }
    }

    /// The type of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Event, Self::Business, Self::Listing, Self::General]
            .into_iter()
            .find(|t| t.as_str() == name)
    }

    /// What the app proposes as the first message of an empty conversation about this.
    pub fn suggested_message(self, title: Option<&str>) -> Option<String> {
        match self {
            Self::Event => {
                Some(format!("Hi! I'm interested in your event: {}", title.unwrap_or("your event")))
            }
            Self::Business => {
                Some("Hi! I'm interested in your services. I'd like to inquire about...".to_owned())
            }
            Self::Listing => {
                Some(format!("Hi! Is \"{}\" still available?", title.unwrap_or("your listing")))
            }
            Self::General => None,
        }
    }
}

/// The event, business or listing behind a conversation, as its service last described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub kind: ContextType,
    pub id: Uuid,
    pub title: Option<String>,
    pub image_url: Option<String>,
    pub url: Option<String>,
    /// Binding once the owning service has named it.
    pub owner_id: Option<UserId>,
}

/// One person in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    pub user_id: UserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub role: Role,
    pub last_seen_at: Option<Timestamp>,
    pub last_read_message_id: Option<Uuid>,
    pub last_read_seq: Seq,
    /// Who has read has received.
    pub delivered_seq: Seq,
    pub joined_at: Timestamp,
}

/// What is the same for everyone who looks at a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    pub id: ConversationId,
    pub kind: ConversationType,
    pub title: Option<String>,
    pub description: Option<String>,
    pub avatar_url: Option<String>,
    pub creator_id: UserId,
    pub context_type: Option<ContextType>,
    pub context_id: Option<Uuid>,
    pub context: Option<Context>,
    /// At most [`INLINE_PARTICIPANTS`], in the order they joined.
    pub participants: Vec<Participant>,
    pub participant_count: u32,
    pub posting: Posting,
    /// Whoever wants to join has to be let in by an admin.
    pub join_approval: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Conversation {
    /// Without how far anybody has read and when they were last here: what everybody in it is told of a direct conversation of
    /// two of whom one has blocked the other.
    #[must_use]
    pub fn without_positions(mut self) -> Self {
        for participant in &mut self.participants {
            participant.last_seen_at = None;
            participant.last_read_message_id = None;
            participant.last_read_seq = 0;
            participant.delivered_seq = 0;
        }
        self
    }
}

/// What one participant sees of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Who looks.
    pub viewer: UserId,
    pub conversation: Conversation,
    pub role: Role,
    pub unread_count: u64,
    pub is_pinned: bool,
    pub is_muted: bool,
    /// `None` while muted means until undone.
    pub muted_until: Option<Timestamp>,
    pub is_archived: bool,
    /// How many wait to be let in; for admins, where that is asked for.
    pub join_requests: Option<u32>,
    pub last_message: Option<Message>,
    /// How far the last message has come, where it is the viewer's own.
    pub last_message_status: Option<Status>,
    pub last_message_at: Option<Timestamp>,
}

impl View {
    /// Present while a context conversation is empty.
    pub fn suggested_message(&self) -> Option<String> {
        if self.last_message_at.is_some() {
            return None;
        }
        let title = self.conversation.context.as_ref().and_then(|c| c.title.as_deref());
        self.conversation.context_type?.suggested_message(title)
    }
}

/// The canonical key of a direct conversation: the same for both users, whoever opens it first.
pub fn direct_key(a: UserId, b: UserId, context: Option<(ContextType, Uuid)>) -> String {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    match context {
        Some((kind, id)) => format!("{low}:{high}:{}:{id}", kind.as_str()),
        None => format!("{low}:{high}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_key_does_not_depend_on_who_opens_it() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(direct_key(a, b, None), direct_key(b, a, None));
        let event = Some((ContextType::Event, Uuid::from_u128(3)));
        assert_eq!(direct_key(a, b, event), direct_key(b, a, event));
        assert_ne!(direct_key(a, b, event), direct_key(a, b, None));
    }

    #[test]
    fn suggestions_name_what_the_conversation_is_about() {
        assert_eq!(
            ContextType::Event.suggested_message(Some("Lagos Jazz Night")).as_deref(),
            Some("Hi! I'm interested in your event: Lagos Jazz Night")
        );
        assert_eq!(
            ContextType::Listing.suggested_message(Some("Bike")).as_deref(),
            Some("Hi! Is \"Bike\" still available?")
        );
        assert_eq!(ContextType::General.suggested_message(None), None);
    }
}
