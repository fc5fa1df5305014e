//! The JSON of conversations and of those in them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain;
use crate::domain::conversation::{ContextType, ConversationType, Role};
use crate::domain::posting::PostingPolicy;

use super::super::{names, time};
use super::Message;

/// The event, business or listing behind a conversation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Context {
    #[serde(rename = "type")]
    #[schemars(with = "names::ContextType")]
    pub kind: String,
    pub id: Uuid,
    pub title: Option<String>,
    pub image_url: Option<String>,
    pub url: Option<String>,
}

/// One person in a conversation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Participant {
    pub user_id: Uuid,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    #[schemars(with = "names::Role")]
    pub role: String,
    pub is_online: bool,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub last_seen_at: Option<Timestamp>,
    pub last_read_message_id: Option<Uuid>,
    pub last_read_seq: u64,
    pub delivered_seq: u64,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub joined_at: Timestamp,
    /// True where the one who asks has blocked this person, and absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_blocked: bool,
}

/// What is the same for everyone who looks at a conversation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SharedConversation {
    pub id: Uuid,
    #[serde(rename = "type")]
    #[schemars(with = "names::ConversationType")]
    pub kind: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub avatar_url: Option<String>,
    pub creator_id: Uuid,
    #[schemars(with = "Option<names::ContextType>")]
    pub context_type: Option<String>,
    pub context_id: Option<Uuid>,
    pub context: Option<Context>,
    pub participants: Vec<Participant>,
    pub participant_count: u32,
    /// Who writes; with `admins` members read and react.
    #[serde(default = "everyone")]
    #[schemars(with = "names::PostingPolicy")]
    pub posting_policy: String,
    /// Between two messages of a member; 0 is no limit.
    #[serde(default)]
    pub slow_mode_seconds: u32,
    /// Whoever wants to join has to be let in by an admin.
    #[serde(default)]
    pub join_approval: bool,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub created_at: Timestamp,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub updated_at: Timestamp,
}

/// What an event says that was written before there was a choice.
fn everyone() -> String {
    PostingPolicy::Everyone.as_str().to_owned()
}

/// A conversation as one user sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Conversation {
    #[serde(flatten)]
    pub shared: SharedConversation,
    #[schemars(with = "names::Role")]
    pub role: &'static str,
    pub unread_count: u64,
    pub is_pinned: bool,
    pub is_muted: bool,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub muted_until: Option<Timestamp>,
    pub is_archived: bool,
    /// How many wait to be let in; for admins of a conversation that asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub join_request_count: Option<u32>,
    pub last_message: Option<Message>,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub last_message_at: Option<Timestamp>,
    /// While a conversation with a context is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub suggested_message: Option<String>,
}

impl From<domain::conversation::Participant> for Participant {
    fn from(p: domain::conversation::Participant) -> Self {
        Self {
            user_id: p.user_id,
            display_name: p.display_name,
            avatar_url: p.avatar_url,
            role: p.role.as_str().to_owned(),
            is_online: false,
            last_seen_at: p.last_seen_at,
            last_read_message_id: p.last_read_message_id,
            last_read_seq: p.last_read_seq,
            delivered_seq: p.delivered_seq,
            joined_at: p.joined_at,
            is_blocked: false,
        }
    }
}

impl From<domain::conversation::Context> for Context {
    fn from(c: domain::conversation::Context) -> Self {
        Self {
            kind: c.kind.as_str().to_owned(),
            id: c.id,
            title: c.title,
            image_url: c.image_url,
            url: c.url,
        }
    }
}

impl From<domain::conversation::Conversation> for SharedConversation {
    fn from(c: domain::conversation::Conversation) -> Self {
        Self {
            id: c.id,
            kind: ConversationType::as_str(c.kind).to_owned(),
            title: c.title,
            description: c.description,
            avatar_url: c.avatar_url,
            creator_id: c.creator_id,
            context_type: c.context_type.map(|t| ContextType::as_str(t).to_owned()),
            context_id: c.context_id,
            context: c.context.map(Context::from),
            participants: c.participants.into_iter().map(Participant::from).collect(),
            participant_count: c.participant_count,
            posting_policy: PostingPolicy::as_str(c.posting.policy).to_owned(),
            slow_mode_seconds: c.posting.slow_mode_seconds,
            join_approval: c.join_approval,
            created_at: c.created_at,
            updated_at: c.updated_at,
        }
    }
}

impl From<domain::conversation::View> for Conversation {
    fn from(view: domain::conversation::View) -> Self {
        let suggested_message = view.suggested_message();
        Self {
            shared: view.conversation.into(),
            role: Role::as_str(view.role),
            unread_count: view.unread_count,
            is_pinned: view.is_pinned,
            is_muted: view.is_muted,
            muted_until: view.muted_until,
            is_archived: view.is_archived,
            join_request_count: view.join_requests,
            last_message: view.last_message.map(|message| Message {
                status: view.last_message_status.map(|status| status.as_str().to_owned()),
                ..message.into()
            }),
            last_message_at: view.last_message_at,
            suggested_message,
        }
    }
}
