//! Conversations and who is in them: the rules around the transactions, whatever protocol asks.
//!
//! Each change commits with its announcement; [`crate::outbox`] hands that to the log before the answer, so that who
//! asked hears of it on their other devices at about the same time.

pub mod bans;
pub mod contexts;
pub mod history;
pub mod joining;
pub mod pins;
pub mod requests;

use crate::domain::conversation::{Conversation, ConversationType, Role, View};
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::outbox;
use crate::store::conversations::NewConversation;
use crate::store::lists::{Filter, From, Listing};
use crate::store::outbox::OutboxEvent;
use crate::store::own_view::OwnChange;
use crate::store::participants::{ParticipantKey, ParticipantPage};
use crate::wire::error::{ApiError, Code};
use crate::wire::event::{Change, ConversationUpdated};
use crate::wire::objects::SharedConversation;
use crate::wire::requests::conversations::CreateConversation;
use crate::wire::requests::settings::PatchConversation;

use super::auth::Caller;
use super::error::{change as change_error, store as store_error};
use super::{Edge, freshness, signals};

/// A conversation as the caller sees it.
pub struct Opened {
    pub view: View,
    /// `false` if it existed already.
    pub created: bool,
}

/// Creates a conversation, or finds the direct one of the same two people and context.
///
/// # Errors
/// `invalid`; `forbidden` where the context belongs to somebody else; `unavailable`.
pub async fn create(
    edge: &Edge,
    caller: &Caller,
    request: CreateConversation,
) -> Result<Opened, ApiError> {
    let new = requests::asked(request, caller.user_id, edge.settings.max_group_participants)?;
    contexts::check_owner(edge, &new).await?;
    may_bring(edge, caller, &new.others, new.kind)?;
    open(edge, caller, &new).await
}

/// Nobody gets around a block by making a group with the one who is behind it. A direct conversation that exists stays, and
/// another one the database refuses.
fn may_bring(
    edge: &Edge,
    caller: &Caller,
    users: &[UserId],
    kind: ConversationType,
) -> Result<(), ApiError> {
    let is_apart = |user: &UserId| edge.blocks.are_apart(caller.user_id, *user);
    if kind != ConversationType::Direct && users.iter().any(is_apart) {
        let detail = "somebody of these people cannot be brought into a conversation by you";
        return Err(ApiError::new(Code::Forbidden, detail));
    }
    Ok(())
}

async fn open(edge: &Edge, caller: &Caller, new: &NewConversation) -> Result<Opened, ApiError> {
    let mut everyone = vec![new.creator];
    everyone.extend(&new.others);
    let announced = |after: &Conversation| event(edge, Change::Created, caller, &everyone, after);
    let opened = edge.store.open(new, edge.clock.now(), announced).await.map_err(change_error)?;
    if opened.created {
        edge.outbox.publish(opened.id).await;
    } else {
        freshness::conversation(edge, opened.id).await;
    }
    Ok(Opened { view: view(edge, caller, opened.id).await?, created: opened.created })
}

/// One conversation, with what was acknowledged in it.
///
/// # Errors
/// `not_a_participant`, `unavailable`.
pub async fn get(edge: &Edge, caller: &Caller, id: ConversationId) -> Result<View, ApiError> {
    freshness::conversation(edge, id).await;
    view(edge, caller, id).await
}

async fn view(edge: &Edge, caller: &Caller, id: ConversationId) -> Result<View, ApiError> {
    let found = edge.store.view(id, caller.user_id, edge.clock.now()).await.map_err(store_error)?;
    found.ok_or_else(ApiError::not_a_participant)
}

/// The caller's own list.
///
/// # Errors
/// `unavailable`.
pub async fn list(
    edge: &Edge,
    caller: &Caller,
    filter: &Filter,
    from: From,
    limit: u32,
) -> Result<Listing, ApiError> {
    freshness::everything(edge).await;
    let now = edge.clock.now();
    edge.store.list(caller.user_id, filter, from, limit, now).await.map_err(store_error)
}

/// Changes title, description and avatar, and who may write and join.
///
/// # Errors
/// `invalid`, `not_a_participant`, `forbidden` for members, `conflict` in a direct conversation.
pub async fn patch(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    request: PatchConversation,
) -> Result<View, ApiError> {
    let (details, change) = requests::details(request)?;
    let announced = |after: &Conversation| event(edge, change, caller, &[], after);
    edge.store
        .set_details(id, caller.user_id, &details, edge.clock.now(), announced)
        .await
        .map_err(change_error)?;
    changed(edge, caller, id).await
}

/// After a change: tell the others, and show it.
async fn changed(edge: &Edge, caller: &Caller, id: ConversationId) -> Result<View, ApiError> {
    edge.outbox.publish(id).await;
    view(edge, caller, id).await
}

/// Changes how the caller sees a conversation, on all their devices.
///
/// # Errors
/// `not_a_participant`.
pub async fn set_own(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    change: OwnChange,
) -> Result<View, ApiError> {
    let now = edge.clock.now();
    if !edge.store.set_own(id, caller.user_id, change, now).await.map_err(store_error)? {
        return Err(ApiError::not_a_participant());
    }
    let kind = match change {
        OwnChange::Pin(_) => Change::Pin,
        OwnChange::Archive(_) => Change::Archive,
        OwnChange::Mute(_) | OwnChange::Unmute => Change::Mute,
    };
    signals::own_change(edge, caller.user_id, id, kind).await;
    get(edge, caller, id).await
}

/// One page of participants.
///
/// # Errors
/// `not_a_participant`.
pub async fn participants(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    after: Option<ParticipantKey>,
    limit: u32,
) -> Result<ParticipantPage, ApiError> {
    super::messages::participates(edge, caller.user_id, id).await?;
    edge.store.participants(id, after, limit).await.map_err(store_error)
}

/// Adds people; those who are there already stay as they are.
///
/// # Errors
/// `not_a_participant`, `forbidden` for members, `conflict` in a direct conversation, `invalid` for a group
/// that would be too large.
pub async fn add(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    users: &[UserId],
) -> Result<View, ApiError> {
    may_bring(edge, caller, users, ConversationType::Group)?;
    // Newcomers start with everything so far as read: "so far" is what was acknowledged, not what the
    // projection happened to have.
    freshness::conversation(edge, id).await;
    let announced = |after: &Conversation, new: &[UserId]| {
        event(edge, Change::ParticipantsAdded, caller, new, after)
    };
    edge.store
        .add_participants(
            id,
            caller.user_id,
            users,
            edge.settings.max_group_participants,
            edge.clock.now(),
            announced,
        )
        .await
        .map_err(change_error)?;
    changed(edge, caller, id).await
}

/// Removes somebody, or leaves.
///
/// # Errors
/// `not_a_participant`, `forbidden` for members who remove others, `not_found` for who is not there,
/// `conflict` in a direct conversation and for the last admin of others.
pub async fn remove(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    user: UserId,
) -> Result<(), ApiError> {
    let gone = [user];
    let announced =
        |after: &Conversation| event(edge, Change::ParticipantsRemoved, caller, &gone, after);
    edge.store
        .remove_participant(id, caller.user_id, user, edge.clock.now(), announced)
        .await
        .map_err(change_error)?;
    edge.outbox.publish(id).await;
    Ok(())
}

/// Gives somebody a role.
///
/// # Errors
/// As [`remove`].
pub async fn set_role(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    user: UserId,
    role: Role,
) -> Result<View, ApiError> {
    let whose = [user];
    let announced = |after: &Conversation| event(edge, Change::Role, caller, &whose, after);
    edge.store
        .set_role(id, caller.user_id, (user, role), edge.clock.now(), announced)
        .await
        .map_err(change_error)?;
    changed(edge, caller, id).await
}

/// What the log learns of a change.
///
/// Who is online is what was true at that moment: clients that are connected show what they get.
fn event(
    edge: &Edge,
    change: Change,
    actor: &Caller,
    user_ids: &[UserId],
    after: &Conversation,
) -> OutboxEvent {
    event_of(edge, change, actor, user_ids, None, after)
}

/// The same of a change that concerns a message.
fn event_of(
    edge: &Edge,
    change: Change,
    actor: &Caller,
    user_ids: &[UserId],
    message_id: Option<MessageId>,
    after: &Conversation,
) -> OutboxEvent {
    let mut conversation = SharedConversation::from(after.clone());
    edge.presence.mark(&mut conversation.participants);
    edge.blocks.show_to_all(after.id, &mut conversation.participants);
    let update = ConversationUpdated {
        conversation_id: after.id,
        change,
        actor_id: actor.user_id,
        user_ids: user_ids.to_vec(),
        message_id,
        conversation,
    };
    outbox::announcement(&update)
}

/// The refusal of a context that belongs to somebody else.
fn not_the_owner() -> ApiError {
    ApiError::new(Code::Forbidden, "this belongs to another person than the one named")
}
