//! `/messaging/messages` and the history of a conversation.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::ids::{Seq, UserId};
use crate::edge::conversations::history::{self, Place};
use crate::edge::{Edge, messages};
use crate::wire::answers::History;
use crate::wire::error::ApiError;
use crate::wire::objects;
use crate::wire::requests::{EditMessage, SendMessage};

use super::docs::responses::{ForMembers, Invalid, Missing, TooLarge, Usual, WithRights};
use super::extract::{Asking, Body, Fields, Ids, Params};
use super::stack::Traced;

const DEFAULT_LIMIT: u32 = 50;
/// The header that stands for `clientMessageId`.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// From 1, the newest first. Page, before, after and around exclude each other.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 10000)]
    page: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Older than this `seq`, the newest first.
    #[param(value_type = Option<u64>)]
    before: Option<String>,
    /// Newer than this `seq`, the oldest first.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
    /// The message of this id with what surrounds it, the oldest first.
    #[param(value_type = Option<Uuid>)]
    around: Option<String>,
}

impl HistoryQuery {
    fn read(&self) -> Result<(Place, u32), ApiError> {
        let mut fields = Fields::default();
        let limit = fields.limit(self.limit.as_deref(), DEFAULT_LIMIT);
        let message = "must be the seq of a message";
        let seq = |text: &str| text.parse::<Seq>().ok();
        let before = fields.read("before", self.before.as_deref(), message, seq);
        let after = fields.read("after", self.after.as_deref(), message, seq);
        let around = fields.uuid("around", self.around.as_deref());
        let page = fields.page(self.page.as_deref());
        let chosen = [
            page.map(Place::Page),
            before.map(Place::Before),
            after.map(Place::After),
            around.map(Place::Around),
        ];
        let mut chosen = chosen.into_iter().flatten();
        let place = chosen.next().unwrap_or(Place::Page(1));
        if chosen.next().is_some() {
            fields.push("page", "page, before, after and around exclude each other");
        }
        fields.finish()?;
        Ok((place, limit))
    }
}

/// The history of a conversation.
#[utoipa::path(
    get,
    path = "/conversations/{id}/messages",
    operation_id = "listMessages",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"), HistoryQuery),
    responses((status = 200, description = "A page", body = History), ForMembers, Missing)
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let (place, limit) = query.read()?;
    let found = history::read(&edge, &caller, id, place, limit).await?;
    let page = match place {
        Place::Page(page) => Some(page),
        Place::Before(_) | Place::After(_) | Place::Around(_) => None,
    };
    Ok(Json(History { messages: found.messages, page, limit, has_more: found.has_more }))
}

/// Sends a message.
///
/// With a `clientMessageId` it can be repeated without being sent twice; the header `Idempotency-Key` stands for it.
#[utoipa::path(
    post,
    path = "/messages",
    operation_id = "sendMessage",
    tag = "Messages",
    params(("Idempotency-Key" = Option<String>, Header, description = "Stands for `clientMessageId` and marks a possible resend", max_length = 128)),
    request_body = SendMessage,
    responses(
        (status = 201, description = "The message was accepted", body = objects::Message),
        (status = 200, description = "It was accepted before; this is the original", body = objects::Message),
        WithRights, Missing, TooLarge
    )
)]
pub async fn send(
    State(edge): State<Arc<Edge>>,
    Asking(mut caller): Asking,
    Extension(Traced(trace)): Extension<Traced>,
    headers: HeaderMap,
    Body(mut request): Body<SendMessage>,
) -> Result<(StatusCode, Json<objects::Message>), ApiError> {
    take_idempotency_key(&headers, &mut request)?;
    if caller.name.is_none() {
        caller.name = stored_name(&edge, caller.user_id).await;
    }
    let sent = messages::send(&edge, &caller, request, trace).await?;
    let status = if sent.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(sent.message)))
}

/// Who has a token without a name goes by what the user service has said. A send does not need the database otherwise:
/// while that is away the message goes without a name, after the wait for it.
async fn stored_name(edge: &Edge, user: UserId) -> Option<String> {
    let found = edge.store.display_name(user).await;
    found.inspect_err(|cause| tracing::debug!(%cause, "a name cannot be looked up")).ok().flatten()
}

/// Clients that use the header use it for retries too, and do not say which attempt this is.
fn take_idempotency_key(headers: &HeaderMap, request: &mut SendMessage) -> Result<(), ApiError> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(()) };
    let unusable = |why| Err(ApiError::field("Idempotency-Key", why));
    let Ok(key) = key.to_str() else { return unusable("must be printable ASCII") };
    match &request.client_message_id {
        Some(named) if named != key => return unusable("differs from clientMessageId"),
        _ => request.client_message_id = Some(key.to_owned()),
    }
    request.attempt = Some(request.attempt.unwrap_or(0).max(2));
    Ok(())
}

/// One message.
#[utoipa::path(
    get,
    path = "/messages/{id}",
    operation_id = "getMessage",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The message")),
    responses(
        (status = 200, description = "The message, or its tombstone", body = objects::Message),
        Usual,
        Invalid,
        Missing
    )
)]
pub async fn get(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Json<objects::Message>, ApiError> {
    history::message(&edge, &caller, id).await.map(Json)
}

/// Who else has received and read a message.
#[utoipa::path(
    get,
    path = "/messages/{id}/receipts",
    operation_id = "listReceipts",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The message")),
    responses(
        (status = 200, description = "The others, each with the time it was at the latest", body = objects::Receipts),
        WithRights, Missing
    )
)]
pub async fn receipts(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Json<objects::Receipts>, ApiError> {
    history::receipts(&edge, &caller, id).await.map(|receipts| Json(receipts.into()))
}

/// Gives a message another content; for its sender, for a while.
#[utoipa::path(
    put,
    path = "/messages/{id}",
    operation_id = "editMessage",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The message")),
    request_body = EditMessage,
    responses(
        (status = 200, description = "The message as it is now", body = objects::Message),
        WithRights, Missing, TooLarge
    )
)]
pub async fn edit(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Body(request): Body<EditMessage>,
) -> Result<Json<objects::Message>, ApiError> {
    messages::edit(&edge, &caller, id, request.content).await.map(Json)
}

/// Deletes a message for everybody; for its sender and for admins. A scheduled one is cancelled.
#[utoipa::path(
    delete,
    path = "/messages/{id}",
    operation_id = "deleteMessage",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The message")),
    responses((status = 200, description = "The tombstone", body = objects::Message), WithRights, Missing)
)]
pub async fn delete(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Json<objects::Message>, ApiError> {
    messages::delete(&edge, &caller, id).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::requests::parse;

    fn query(text: &str) -> Result<(Place, u32), ApiError> {
        let uri = format!("/?{text}").parse().expect("a URI");
        let axum::extract::Query(query) =
            axum::extract::Query::<HistoryQuery>::try_from_uri(&uri).expect("a query");
        query.read()
    }

    #[test]
    fn one_way_of_paging_is_chosen() {
        assert_eq!(query(""), Ok((Place::Page(1), 50)));
        assert_eq!(query("before=7&limit=1"), Ok((Place::Before(7), 1)));
        assert_eq!(query("after=0"), Ok((Place::After(0), 50)));
        for wrong in ["before=7&after=8", "before=x", "limit=0", "page=-1", "around=7"] {
            assert!(query(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_header_names_the_message_and_marks_a_resend() {
        let body = br#"{"conversationId":"00000000-0000-4000-8000-000000000001","content":"x"}"#;
        let mut request: SendMessage = parse(body).expect("a body");
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, "k1".parse().expect("a value"));
        take_idempotency_key(&headers, &mut request).expect("taken");
        assert_eq!((request.client_message_id.as_deref(), request.attempt), (Some("k1"), Some(2)));
        request.client_message_id = Some("k2".into());
        assert!(take_idempotency_key(&headers, &mut request).is_err());
    }
}
