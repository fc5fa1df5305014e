//! Joining a community: at once, or by asking its admins.

use jiff::Timestamp;

use crate::bus::signals::Signal;
use crate::domain::conversation::{Conversation, View};
use crate::domain::ids::{ConversationId, UserId};
use crate::edge::auth::Caller;
use crate::edge::error::{change as change_error, store as store_error};
use crate::edge::{Edge, freshness, signals};
use crate::store::joining::{Doorkeepers, JoinRequestPage, Joined};
use crate::store::participants::ParticipantKey;
use crate::wire::error::ApiError;
use crate::wire::event::{Change, EventKind};
use crate::wire::frames::{JoinChange, JoinQueue};

use super::{changed, event};

/// Admins who are told of a request at once; others see it when they look. Their ids go into a header, 37 bytes each.
const TOLD: u32 = 50;

/// What became of a wish to join.
pub enum Wish {
    In(Box<View>),
    /// An admin has to let the caller in; asked for at that time.
    Asked(Timestamp),
}

/// Joins a community, or asks its admins; doing so twice is harmless.
///
/// # Errors
/// `not_a_participant` for everything that cannot be joined, existing or not; `forbidden` for who is banned; `conflict`
/// when too many wait already.
pub async fn join(edge: &Edge, caller: &Caller, id: ConversationId) -> Result<Wish, ApiError> {
    freshness::conversation(edge, id).await;
    let user = caller.user_id;
    let announced =
        |after: &Conversation| event(edge, Change::ParticipantsAdded, caller, &[user], after);
    let joined = edge.store.join(id, user, edge.clock.now(), announced).await;
    match joined.map_err(change_error)? {
        Joined::New | Joined::Already => Ok(Wish::In(Box::new(changed(edge, caller, id).await?))),
        Joined::Asked { at, is_new } => {
            if is_new {
                tell(edge, id, Change::JoinRequested, user, user).await;
            }
            Ok(Wish::Asked(at))
        }
    }
}

/// Who waits to be let in.
///
/// # Errors
/// `not_a_participant`, `forbidden` for members, `conflict` in a direct conversation.
pub async fn requests(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    after: Option<ParticipantKey>,
    limit: u32,
) -> Result<JoinRequestPage, ApiError> {
    edge.store.join_requests(id, caller.user_id, after, limit).await.map_err(change_error)
}

/// Lets somebody in.
///
/// # Errors
/// As [`requests`], and `not_found` for who has not asked.
pub async fn approve(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    user: UserId,
) -> Result<View, ApiError> {
    // As whoever is added, they start with everything that was acknowledged as read.
    freshness::conversation(edge, id).await;
    let announced =
        |after: &Conversation| event(edge, Change::ParticipantsAdded, caller, &[user], after);
    edge.store
        .approve_join(id, caller.user_id, user, edge.clock.now(), announced)
        .await
        .map_err(change_error)?;
    changed(edge, caller, id).await
}

/// Refuses a request, or takes back one's own.
///
/// # Errors
/// As [`approve`].
pub async fn drop(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    user: UserId,
) -> Result<(), ApiError> {
    edge.store.drop_join_request(id, caller.user_id, user).await.map_err(change_error)?;
    let change = if user == caller.user_id { Change::JoinCancelled } else { Change::JoinRejected };
    tell(edge, id, change, caller.user_id, user).await;
    Ok(())
}

/// Tells the admins, and who was refused. It is a signal, heard by those who are there: a request concerns nobody else in
/// the conversation, and admins who come back find the number in their view.
async fn tell(edge: &Edge, id: ConversationId, change: Change, actor: UserId, user: UserId) {
    let doorkeepers = edge.store.doorkeepers(id, TOLD).await.map_err(store_error);
    // Logged there; the request itself was answered.
    let Ok(Doorkeepers { admins, waiting }) = doorkeepers else { return };
    send(edge, id, change, (actor, user), Some(waiting), admins).await;
    if change == Change::JoinRejected {
        send(edge, id, change, (actor, user), None, vec![user]).await;
    }
}

async fn send(
    edge: &Edge,
    id: ConversationId,
    change: Change,
    (actor_id, user): (UserId, UserId),
    waiting: Option<u32>,
    only_users: Vec<UserId>,
) {
    if only_users.is_empty() {
        return;
    }
    let conversation = JoinQueue { id, join_request_count: waiting };
    let user_ids = vec![user];
    let body = JoinChange { conversation_id: id, change, actor_id, user_ids, conversation };
    let Some(payload) = signals::json(&body) else { return };
    let event = EventKind::ConversationUpdated.as_str().to_owned();
    let except_users = Vec::new();
    let signal = Signal {
        conversation: id,
        event,
        only_users,
        except_users,
        except_connection: None,
        payload,
    };
    signals::send(edge, signal).await;
}
