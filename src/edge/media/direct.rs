//! Uploads that a client puts into the store itself, so that large files do not pass through this service twice.
//!
//! What arrives there is not believed: it is fetched, looked at like every other upload, and stored anew under a key that
//! the client could never write to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use crate::domain::ids::UserId;
use crate::domain::media::{Class, Media, MediaKey};
use crate::edge::{Edge, error, messages};
use crate::media::objects::{Object, ObjectError};
use crate::wire::error::{ApiError, Code};
use crate::wire::media::{BeginUpload, UploadTicket, Uploaded, clean_name};

use super::upload::{self, Arriving};
use super::{Service, Turn, fresh_key, store_failed};
use crate::store::media::NewMedia;

/// How long the client may take to put its file: 100 MB at 30 KiB/s.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// How long it may take to say that it has: a little more. After that the file is collected.
const COMPLETION: jiff::SignedDuration = jiff::SignedDuration::from_hours(2);

/// Where to put a file of this size.
///
/// # Errors
/// `invalid`, `not_a_participant`, `payload_too_large`, `unsupported_media`; `conflict` where the store takes no uploads
/// from clients.
pub async fn begin(
    edge: &Edge,
    user: UserId,
    request: BeginUpload,
) -> Result<UploadTicket, ApiError> {
    let service = edge.media.service()?;
    request.validate()?;
    let mime_type = request.mime_type.to_ascii_lowercase();
    let limit = service.rules.limit(Class::of(&mime_type));
    if request.size > limit {
        let detail = format!("a file of this type has at most {limit} bytes");
        return Err(ApiError::new(Code::PayloadTooLarge, detail));
    }
    if let Some(conversation) = request.conversation_id {
        messages::participates(edge, user, conversation).await?;
    }
    let key = fresh_key();
    let url = service.objects.upload_url(key, LIFETIME).await;
    let Some(url) = url.map_err(|cause| store_failed(edge, &cause))? else {
        let detail = "files cannot be put into this service's store directly; \
                      use POST /messaging/media/upload";
        return Err(ApiError::new(Code::Conflict, detail));
    };
    let now = edge.clock.now();
    let new = NewMedia {
        key,
        owner_id: user,
        conversation_id: request.conversation_id,
        mime_type,
        size: request.size,
        file_name: request.file_name.as_deref().and_then(clean_name),
        created_at: now,
        keep_until: now + COMPLETION,
    };
    edge.store.begin_media(&new).await.map_err(error::store)?;
    Ok(UploadTicket { id: key, method: "PUT", url, expires_at: now + LIFETIME })
}

/// Looks at what the client has put there. A refusal is final; after `unavailable` it may ask again.
///
/// # Errors
/// `not_found`; `conflict` while there is nothing, or as much as was not announced; as an upload otherwise.
pub async fn complete(
    edge: Arc<Edge>,
    turn: Turn,
    user: UserId,
    key: MediaKey,
) -> Result<Uploaded, ApiError> {
    let service = turn.service.clone();
    let announced = edge.store.media_under_way(key, user).await.map_err(error::store)?;
    let Some(announced) = announced else { return already(&edge, user, key).await };
    let outcome = take(&edge, &service, announced).await;
    let is_final = match &outcome {
        Ok(_) => true,
        Err(error) => !matches!(error.code, Code::Unavailable | Code::Conflict | Code::Internal),
    };
    if is_final {
        if outcome.is_err()
            && let Err(cause) = edge.store.abandon_media(key, edge.clock.now()).await
        {
            tracing::debug!(%cause, "a refused upload is collected later");
        }
        // Deleting the file deletes this too, should it fail here.
        if let Err(cause) = service.objects.delete_one(Object::Incoming(key)).await {
            tracing::debug!(%cause, "what a client has put is collected later");
        }
    }
    outcome
}

/// The answer to a request that is repeated after it succeeded.
async fn already(edge: &Edge, user: UserId, key: MediaKey) -> Result<Uploaded, ApiError> {
    let found = edge.store.media_for(key, user).await.map_err(error::store)?;
    let own = found.filter(|media| media.owner_id == user).ok_or_else(super::not_found)?;
    Ok(Uploaded::new(own, &edge.media.public_url))
}

async fn take(edge: &Edge, service: &Arc<Service>, media: Media) -> Result<Uploaded, ApiError> {
    let (key, size) = (media.key, media.facts.size);
    if let Some(conversation) = media.conversation_id {
        messages::participates(edge, media.owner_id, conversation).await?;
    }
    let there = match service.objects.size(Object::Incoming(key)).await {
        Ok(there) => there,
        Err(ObjectError::NotFound) => {
            return Err(ApiError::new(Code::Conflict, "nothing has been uploaded yet"));
        }
        Err(cause) => return Err(store_failed(edge, &cause)),
    };
    if there != size {
        let detail = format!("{there} bytes have been uploaded where {size} were announced");
        return Err(ApiError::new(Code::Conflict, detail));
    }
    let claimed = Some(media.facts.mime_type.as_str());
    let mut arriving = Arriving::begin(edge, service, claimed, None).await?;
    let bytes = service.objects.get(Object::Incoming(key), 0..size).await;
    let mut bytes = std::pin::pin!(bytes.map_err(|cause| store_failed(edge, &cause))?);
    while let Some(chunk) = bytes.next().await {
        arriving.write(edge, &chunk.map_err(|cause| store_failed(edge, &cause))?).await?;
    }
    let arrived = arriving.finish(edge).await?;
    let accepted = upload::look(edge, service, &arrived).await?;
    upload::keep(edge, service, key, accepted).await
}
