//! An upload, from its first bytes to the answer.
//!
//! The bytes go to a file on this machine's disk. As soon as enough of them are there the type is known, and with it the
//! limit. When all are there the file is looked at, noted in the database, stored, and only then there for others. What
//! a crash interrupts is noted, and collected by the persister.

use std::sync::Arc;

use crate::domain::ids::{ConversationId, UserId};
use crate::domain::media::MediaKey;
use crate::edge::{Edge, error, messages};
use crate::media::accept::{self, Accepted, NotAccepted};
use crate::media::inspect::{self, Format};
use crate::media::objects::{Object, ObjectError};
use crate::media::spool::{Spooled, Writing};
use crate::store::media::NewMedia;
use crate::wire::error::{ApiError, Code};
use crate::wire::media::{Uploaded, clean_name};

use super::{Service, Turn, away, fresh_key, store_failed};

/// How long an upload that was noted may take until it counts as failed: the file is here, so that this is the time of
/// the store, with a queue of others in front.
const STORING: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// A file that is arriving.
pub struct Arriving {
    service: Arc<Service>,
    writing: Writing,
    head: Vec<u8>,
    claimed: Option<String>,
    file_name: Option<String>,
    format: Option<Format>,
    limit: u64,
}

/// A file that has arrived.
pub struct Arrived {
    pub file: Spooled,
    pub format: Format,
    pub claimed: String,
    pub file_name: Option<String>,
}

impl Arriving {
    /// # Errors
    /// `unavailable` when the disk refuses.
    pub async fn begin(
        edge: &Edge,
        service: &Arc<Service>,
        claimed: Option<&str>,
        file_name: Option<&str>,
    ) -> Result<Self, ApiError> {
        let writing = service.spool.begin().await.map_err(|cause| disk(edge, cause))?;
        Ok(Self {
            service: service.clone(),
            writing,
            head: Vec::new(),
            claimed: claimed.map(str::to_owned),
            file_name: file_name.and_then(clean_name),
            format: None,
            limit: service.rules.largest(),
        })
    }

    /// Takes more of it.
    ///
    /// # Errors
    /// `payload_too_large`, `unsupported_media`, as soon as it is known; `unavailable` when the disk refuses.
    pub async fn write(&mut self, edge: &Edge, chunk: &[u8]) -> Result<(), ApiError> {
        let service = self.service.clone();
        let _turn = service.pace.turn(chunk.len()).await;
        if self.format.is_none() {
            let missing = inspect::HEAD - self.head.len();
            self.head.extend_from_slice(&chunk[..chunk.len().min(missing)]);
            if self.head.len() == inspect::HEAD {
                self.recognise(edge)?;
            }
        }
        if self.writing.size() + chunk.len() as u64 > self.limit {
            return Err(too_large(edge, self.limit));
        }
        self.writing.write(chunk).await.map_err(|cause| disk(edge, cause))
    }

    fn recognise(&mut self, edge: &Edge) -> Result<Format, ApiError> {
        let rules = &self.service.rules;
        let format = inspect::recognise(&self.head, self.claimed.as_deref(), &rules.allowed)
            .map_err(|why| refused(edge, &why.into()))?;
        self.limit = rules.limit_of(format);
        self.format = Some(format);
        Ok(format)
    }

    /// All of it is here.
    ///
    /// # Errors
    /// As [`Self::write`], and `invalid` where there is nothing.
    pub async fn finish(mut self, edge: &Edge) -> Result<Arrived, ApiError> {
        if self.writing.size() == 0 {
            return Err(ApiError::field("file", "must not be empty"));
        }
        let format = match self.format {
            Some(format) => format,
            None => self.recognise(edge)?,
        };
        if self.writing.size() > self.limit {
            return Err(too_large(edge, self.limit));
        }
        let file = self.writing.finish().await.map_err(|cause| disk(edge, cause))?;
        let claimed = self.claimed.unwrap_or_else(|| format.mime().to_owned());
        Ok(Arrived { file, format, claimed, file_name: self.file_name })
    }
}

/// Looks at the file, stores it and answers. It goes on when the client has left: half a file in the store would have to
/// be collected.
///
/// # Errors
/// `not_a_participant`, `unsupported_media`, `payload_too_large`, `unavailable`.
pub async fn complete(
    edge: Arc<Edge>,
    turn: Turn,
    user: UserId,
    conversation: Option<ConversationId>,
    arrived: Arrived,
) -> Result<Uploaded, ApiError> {
    if let Some(conversation) = conversation {
        messages::participates(&edge, user, conversation).await?;
    }
    let accepted = look(&edge, &turn.service, &arrived).await?;
    let key = fresh_key();
    let created_at = edge.clock.now();
    let new = NewMedia {
        key,
        owner_id: user,
        conversation_id: conversation,
        mime_type: arrived.claimed,
        size: accepted.facts.size,
        file_name: arrived.file_name,
        created_at,
        keep_until: created_at + STORING,
    };
    edge.store.begin_media(&new).await.map_err(error::store)?;
    keep(&edge, &turn.service, key, accepted).await
}

/// In its turn in the workshop.
///
/// # Errors
/// As [`complete`].
pub async fn look(
    edge: &Edge,
    service: &Arc<Service>,
    arrived: &Arrived,
) -> Result<Accepted, ApiError> {
    let (file, format) = (arrived.file.clone(), arrived.format);
    let (rules, spool) = (service.rules.clone(), service.spool.clone());
    let looking = service.workshop.run(move || accept::accept(&file, format, &rules, &spool)).await;
    match looking {
        Ok(looked) => looked.map_err(|why| refused(edge, &why)),
        // It panicked over this file; it would again.
        Err(_) => Err(refused(edge, &inspect::Refused::Damaged("it cannot be read").into())),
    }
}

/// Stores a file that is noted, and lets others have it.
///
/// # Errors
/// `unavailable`.
pub async fn keep(
    edge: &Edge,
    service: &Arc<Service>,
    key: MediaKey,
    accepted: Accepted,
) -> Result<Uploaded, ApiError> {
    let Accepted { facts, original, thumbnail } = accepted;
    let stored = async {
        service.objects.put(Object::Original(key), &original, &facts.mime_type).await?;
        if let Some((small, mime_type)) = thumbnail.zip(facts.thumbnail_type.as_deref()) {
            service.objects.put(Object::Thumbnail(key), &small, mime_type).await?;
        }
        Ok::<_, ObjectError>(())
    };
    if let Err(cause) = stored.await {
        let error = store_failed(edge, &cause);
        if let Err(cause) = edge.store.abandon_media(key, edge.clock.now()).await {
            tracing::debug!(%cause, "a failed upload is collected later");
        }
        return Err(error);
    }
    let keep_until = edge.clock.now() + service.orphans_after;
    let kept = edge.store.finish_media(key, &facts, keep_until).await.map_err(error::store)?;
    let media = kept.ok_or_else(away)?;
    edge.metrics.media.stored.inc();
    edge.metrics.media.stored_bytes.inc_by(facts.size);
    Ok(Uploaded::new(media, &edge.media.public_url))
}

fn disk(edge: &Edge, cause: std::io::Error) -> ApiError {
    store_failed(edge, &ObjectError::Disk(cause))
}

fn too_large(edge: &Edge, limit: u64) -> ApiError {
    edge.metrics.media.refused.inc();
    ApiError::new(Code::PayloadTooLarge, format!("a file of this type has at most {limit} bytes"))
}

/// Why a file is not taken, in the words of the protocol.
pub fn refused(edge: &Edge, why: &NotAccepted) -> ApiError {
    match why {
        NotAccepted::TooLarge { limit, .. } => too_large(edge, *limit),
        NotAccepted::Refused(why) => {
            edge.metrics.media.refused.inc();
            let code =
                if why.is_too_large() { Code::PayloadTooLarge } else { Code::UnsupportedMedia };
            ApiError::new(code, why.to_string())
        }
        NotAccepted::Disk(cause) => {
            edge.metrics.media.failures.inc();
            tracing::error!(%cause, "an upload cannot be looked at");
            away()
        }
    }
}
