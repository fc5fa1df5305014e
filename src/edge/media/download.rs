//! Handing files out, and links that work without a token.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};

use crate::domain::ids::UserId;
use crate::domain::media::{Media, MediaKey};
use crate::edge::{Edge, error};
use crate::media::objects::{Object, ObjectError};
use crate::wire::error::ApiError;
use crate::wire::media::{SignedLink, link};

use super::{Service, away, not_found, store_failed};

/// A file, or its thumbnail.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub key: MediaKey,
    pub thumbnail: bool,
}

/// The file, for a user who may have it.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn for_user(edge: &Edge, asked: Asked, user: UserId) -> Result<Media, ApiError> {
    edge.media.service()?;
    let found = edge.store.media_for(asked.key, user).await.map_err(error::store)?;
    there(found, asked)
}

/// The file, for whoever has a link that was signed for it and is still good.
///
/// # Errors
/// `not_found`, whatever is wrong with the link.
pub async fn for_link(
    edge: &Edge,
    asked: Asked,
    expires: &str,
    signature: &str,
) -> Result<Media, ApiError> {
    let service = edge.media.service()?;
    let Ok(expires) = expires.parse() else { return Err(not_found()) };
    let now = edge.clock.now();
    if !service.signer.is_good(asked.key, asked.thumbnail, expires, signature, now) {
        return Err(not_found());
    }
    there(edge.store.media(asked.key).await.map_err(error::store)?, asked)
}

fn there(found: Option<Media>, asked: Asked) -> Result<Media, ApiError> {
    let has_it = |media: &Media| !asked.thumbnail || media.facts.thumbnail_type.is_some();
    found.filter(has_it).ok_or_else(not_found)
}

/// How many bytes are handed out.
///
/// # Errors
/// `unavailable`.
pub async fn size(edge: &Edge, media: &Media, asked: Asked) -> Result<u64, ApiError> {
    if !asked.thumbnail {
        return Ok(media.facts.size);
    }
    let service = edge.media.service()?;
    let size = service.objects.size(Object::Thumbnail(asked.key)).await;
    size.map_err(|cause| store_failed(edge, &cause))
}

/// Some of its bytes.
///
/// # Errors
/// `unavailable`.
pub async fn bytes(
    edge: &Edge,
    asked: Asked,
    range: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send + use<>, ApiError> {
    let service: &Arc<Service> = edge.media.service()?;
    let place = service.downloads.clone().try_acquire_owned().map_err(|_| away())?;
    let object =
        if asked.thumbnail { Object::Thumbnail(asked.key) } else { Object::Original(asked.key) };
    let bytes = service.objects.get(object, range).await;
    let bytes = bytes.map_err(|cause| store_failed(edge, &cause))?;
    let kept = bytes.map(move |chunk| {
        // For as long as somebody reads.
        let _ = &place;
        chunk
    });
    // A node that leaves waits for nobody who reads slowly; they ask another one for the rest.
    Ok(kept.take_until(edge.finished.clone().cancelled_owned()))
}

/// Links for a while, without a token.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn sign(edge: &Edge, key: MediaKey, user: UserId) -> Result<SignedLink, ApiError> {
    let service = edge.media.service()?;
    let media = for_user(edge, Asked { key, thumbnail: false }, user).await?;
    // To the second, as the link says it.
    let expires = (edge.clock.now() + service.link_lifetime).as_second();
    let url = |thumbnail| {
        let signature = service.signer.sign(key, thumbnail, expires);
        let link = link(&edge.media.public_url, key, thumbnail);
        format!("{link}?expires={expires}&signature={signature}")
    };
    Ok(SignedLink {
        url: url(false),
        expires_at: jiff::Timestamp::from_second(expires).unwrap_or(jiff::Timestamp::MAX),
        thumbnail_url: media.facts.thumbnail_type.is_some().then(|| url(true)),
    })
}
