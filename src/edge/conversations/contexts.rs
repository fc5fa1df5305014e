//! Conversations about an event, a business or a listing, with the person it belongs to.

use uuid::Uuid;

use crate::domain::conversation::{ContextType, ConversationType, direct_key};
use crate::domain::ids::UserId;
use crate::store::conversations::{About, NewConversation};
use crate::wire::error::ApiError;
use crate::wire::requests::conversations::validate_context_title;

use super::{Caller, Edge, Opened, not_the_owner, open, store_error};

/// What the caller wants to talk about, and with whom.
pub struct ContextRequest {
    pub kind: ContextType,
    pub id: Uuid,
    /// The name of the parameter that names the owner, for refusals.
    pub owner_field: &'static str,
    pub owner: Option<UserId>,
    pub title: Option<String>,
}

/// Gets or creates the caller's direct conversation with the owner.
///
/// # Errors
/// `forbidden` where the stored context names another owner, `invalid` with oneself or nobody.
pub async fn open_about(
    edge: &Edge,
    caller: &Caller,
    request: ContextRequest,
) -> Result<Opened, ApiError> {
    let title = validate_context_title(request.title)?;
    let stored = edge.store.context(request.kind, request.id).await.map_err(store_error)?;
    let binding = stored.and_then(|context| context.owner_id);
    let owner = match (request.owner, binding) {
        (Some(named), Some(binding)) if named != binding => return Err(not_the_owner()),
        (_, Some(owner)) | (Some(owner), None) => owner,
        (None, None) => return Err(ApiError::field(request.owner_field, "is required")),
    };
    if owner == caller.user_id {
        return Err(ApiError::field(request.owner_field, "must not be yourself"));
    }
    let context = Some((request.kind, request.id));
    let new = NewConversation {
        id: Uuid::new_v4(),
        kind: ConversationType::Direct,
        title: None,
        description: None,
        creator: caller.user_id,
        others: vec![owner],
        about: Some(About { kind: request.kind, id: Some(request.id), title }),
        direct_key: Some(direct_key(caller.user_id, owner, context)),
    };
    open(edge, caller, &new).await
}

/// Where the owner of a context is known, a direct conversation about it is with them.
///
/// # Errors
/// `forbidden`.
pub(super) async fn check_owner(edge: &Edge, new: &NewConversation) -> Result<(), ApiError> {
    let Some(About { kind, id: Some(id), .. }) = &new.about else { return Ok(()) };
    if new.kind != ConversationType::Direct {
        return Ok(());
    }
    let stored = edge.store.context(*kind, *id).await.map_err(store_error)?;
    match stored.and_then(|context| context.owner_id) {
        Some(owner) if owner != new.creator && !new.others.contains(&owner) => Err(not_the_owner()),
        _ => Ok(()),
    }
}
