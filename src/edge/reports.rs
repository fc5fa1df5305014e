//! Reports of messages and users, with what was said around them as it is at that moment.

use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::store::reports::{Evidence, Filed, Report, State, WINDOW};
use crate::wire::error::{ApiError, Code};
use crate::wire::objects::Message;
use crate::wire::safety::{FileReport, Target};

use super::auth::Caller;
use super::conversations::history::{self, Place};
use super::error::store as store_error;
use super::{Edge, messages};

/// The reported message, ten before it and ten behind it; of a reported user, the newest of the direct conversation.
const EVIDENCE: u32 = 21;

/// A report that is in the queue.
pub struct Queued {
    pub id: Uuid,
    /// `false` if the caller has reported the same before, and nobody has dealt with it yet.
    pub created: bool,
}

/// What is reported, and where.
struct Subject {
    reported: UserId,
    message: Option<MessageId>,
    conversation: Option<ConversationId>,
}

/// Files a report.
///
/// # Errors
/// `invalid`, also for oneself; `not_found` for what is not there for the caller; `rate_limited`; `unavailable`.
pub async fn file(edge: &Edge, caller: &Caller, request: FileReport) -> Result<Queued, ApiError> {
    let target = request.validate()?;
    let subject = match target {
        Target::Message(id) => message(edge, caller, id).await?,
        Target::User(user) => Subject {
            reported: user,
            message: None,
            conversation: direct_with(edge, caller, user).await?,
        },
    };
    if subject.reported == caller.user_id {
        let field = if subject.message.is_some() { "messageId" } else { "userId" };
        return Err(ApiError::field(field, "must be somebody else's"));
    }
    let evidence = evidence(edge, caller, &subject).await?;
    let report = Report {
        id: Uuid::now_v7(),
        reporter_id: caller.user_id,
        reported_id: subject.reported,
        message_id: subject.message,
        conversation_id: subject.conversation,
        reason: request.reason,
        details: request.details.unwrap_or_default(),
        state: State::Open,
        created_at: edge.clock.now(),
        closed_at: None,
    };
    match edge.store.file_report(&report, &evidence).await.map_err(store_error)? {
        Filed::New => {
            edge.metrics.safety.reports.inc();
            Ok(Queued { id: report.id, created: true })
        }
        Filed::Known(id) => Ok(Queued { id, created: false }),
        Filed::TooMany => Err(ApiError::rate_limited(WINDOW.unsigned_abs())),
        Filed::NoSuchUser => Err(ApiError::new(Code::NotFound, "there is no such user")),
    }
}

async fn message(edge: &Edge, caller: &Caller, id: MessageId) -> Result<Subject, ApiError> {
    let found = messages::current(edge, caller.user_id, id).await?.message;
    Ok(Subject {
        reported: found.sender_id,
        message: Some(id),
        conversation: Some(found.conversation_id),
    })
}

/// The newest direct conversation of the caller and a user.
async fn direct_with(
    edge: &Edge,
    caller: &Caller,
    user: UserId,
) -> Result<Option<ConversationId>, ApiError> {
    let found = edge.store.shared_conversations(caller.user_id, user, true, 1).await;
    Ok(found.map_err(store_error)?.pop())
}

async fn evidence(
    edge: &Edge,
    caller: &Caller,
    subject: &Subject,
) -> Result<Vec<Evidence>, ApiError> {
    let Some(conversation) = subject.conversation else { return Ok(Vec::new()) };
    let place = subject.message.map_or(Place::Page(1), Place::Around);
    let page = history::read(edge, caller, conversation, place, EVIDENCE).await?;
    Ok(page.messages.into_iter().filter_map(seen).collect())
}

/// What is in a history has its place.
fn seen(message: Message) -> Option<Evidence> {
    Some(Evidence {
        message_id: message.id,
        seq: message.seq?,
        sender_id: message.sender_id,
        kind: message.kind,
        content: message.content,
        metadata: serde_json::to_string(&message.metadata).unwrap_or_default(),
        created_at: message.created_at,
    })
}
