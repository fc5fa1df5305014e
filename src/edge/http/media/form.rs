//! The form of an upload (`multipart/form-data`): `file`, and perhaps `conversationId`, in any order.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, UserId};
use crate::edge::media::upload::{Arrived, Arriving};
use crate::edge::media::{Service, away};
use crate::edge::{Edge, messages};
use crate::wire::error::{ApiError, Code};

/// The slowest that is waited for, in bytes a second: 20 MB take 40 minutes then. Slower ones hold a place for nothing.
const SLOWEST: u64 = 8 * 1024;
/// What a client may be behind that: a tunnel, a change of networks.
const GRACE: Duration = Duration::from_secs(30);
/// Fields of a form; there are two.
const FIELDS: usize = 16;
/// Bytes of fields that are not the file.
const OTHER: usize = 4096;
/// After a refusal a body of this size is taken off the wire and dropped: a client that is still writing would not see the
/// refusal, only a broken connection. Twice the largest video of the defaults.
const DRAINED: u64 = 200 << 20;
/// And for so long at most.
const DRAINING: Duration = Duration::from_secs(20);
/// The same for a body that does not say how large it is, and may have no end. The time is what bounds it: the rest of a
/// field that was left is skipped without being seen.
const DRAINED_UNANNOUNCED: u64 = 8 << 20;
const DRAINING_UNANNOUNCED: Duration = Duration::from_secs(2);

/// What was sent.
pub struct Form {
    pub file: Arrived,
    pub conversation: Option<ConversationId>,
}

/// Reads it while it arrives.
///
/// # Errors
/// `invalid`, `not_a_participant`, `payload_too_large`, `unsupported_media`, `unavailable`.
pub async fn read(
    edge: &Arc<Edge>,
    service: &Arc<Service>,
    user: UserId,
    request: Request,
) -> Result<Form, ApiError> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let form = Multipart::from_request(request, edge).await.map_err(|_| {
        ApiError::new(Code::Invalid, "the body must be multipart/form-data with a boundary")
    })?;
    let mut reading = Reading {
        edge,
        service,
        user,
        form,
        pace: Pace { began: Instant::now(), bytes: 0, end: edge.finished.clone() },
        file: None,
        conversation: None,
    };
    match reading.all().await {
        Ok(()) => reading.finish().await,
        Err(error) => {
            let worth = match announced {
                _ if edge.finished.is_cancelled() => (0, Duration::ZERO),
                Some(length) if length > DRAINED => (0, Duration::ZERO),
                Some(length) => (length, DRAINING),
                None => (DRAINED_UNANNOUNCED, DRAINING_UNANNOUNCED),
            };
            reading.drain(worth).await;
            Err(error)
        }
    }
}

struct Reading<'a> {
    edge: &'a Arc<Edge>,
    service: &'a Arc<Service>,
    user: UserId,
    form: Multipart,
    pace: Pace,
    file: Option<Arriving>,
    conversation: Option<ConversationId>,
}

impl Reading<'_> {
    async fn all(&mut self) -> Result<(), ApiError> {
        for _ in 0..FIELDS {
            let field = self.pace.wait(self.form.next_field()).await?.map_err(broken)?;
            let Some(mut field) = field else { return Ok(()) };
            match field.name() {
                Some("file") if self.file.is_some() => {
                    return Err(ApiError::field("file", "must be given once"));
                }
                Some("file") => {
                    let (claimed, name) = (field.content_type(), field.file_name());
                    let mut file = Arriving::begin(self.edge, self.service, claimed, name).await?;
                    while let Some(chunk) = self.pace.wait(field.chunk()).await?.map_err(broken)? {
                        self.pace.bytes += chunk.len() as u64;
                        file.write(self.edge, &chunk).await?;
                    }
                    self.file = Some(file);
                }
                Some("conversationId") => {
                    let text = text(&mut self.pace, &mut field).await?;
                    self.conversation = conversation(&text)?;
                    // Known early, the file need not be sent.
                    if let Some(id) = self.conversation {
                        messages::participates(self.edge, self.user, id).await?;
                    }
                }
                _ => {
                    text(&mut self.pace, &mut field).await?;
                }
            }
        }
        Err(ApiError::new(Code::Invalid, "the form has too many fields"))
    }

    async fn finish(self) -> Result<Form, ApiError> {
        let file = self.file.ok_or_else(|| ApiError::field("file", "is required"))?;
        Ok(Form { file: file.finish(self.edge).await?, conversation: self.conversation })
    }

    async fn drain(&mut self, (bytes, time): (u64, Duration)) {
        let mut left = bytes;
        let draining = async {
            while left > 0
                && let Ok(Some(mut field)) = self.form.next_field().await
            {
                while let Ok(Some(chunk)) = field.chunk().await {
                    left = left.saturating_sub(chunk.len() as u64);
                    if left == 0 {
                        return;
                    }
                }
            }
        };
        // Whoever takes longer gets the broken connection.
        let _ = tokio::time::timeout(time, draining).await;
    }
}

/// A short field.
async fn text(pace: &mut Pace, field: &mut Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = pace.wait(field.chunk()).await?.map_err(broken)? {
        if bytes.len() + chunk.len() > OTHER {
            let detail = format!("a field that is not the file has at most {OTHER} bytes");
            return Err(ApiError::new(Code::PayloadTooLarge, detail));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn conversation(text: &str) -> Result<Option<ConversationId>, ApiError> {
    match text.trim() {
        "" => Ok(None),
        text => Uuid::try_parse(text)
            .map(Some)
            .map_err(|_| ApiError::field("conversationId", "must be a UUID")),
    }
}

fn broken(_: MultipartError) -> ApiError {
    ApiError::new(Code::Invalid, "the form could not be read to its end")
}

/// How fast a body has to be, and until when there is somebody to read it.
struct Pace {
    began: Instant,
    bytes: u64,
    /// The node has seen its clients off.
    end: CancellationToken,
}

impl Pace {
    async fn wait<T>(&self, more: impl Future<Output = T>) -> Result<T, ApiError> {
        let latest = self.began + GRACE + Duration::from_millis(self.bytes * 1000 / SLOWEST);
        tokio::select! {
            more = more => Ok(more),
            () = tokio::time::sleep_until(latest) => {
                Err(ApiError::new(Code::Invalid, "the file did not arrive in time"))
            }
            () = self.end.cancelled() => Err(away()),
        }
    }
}
