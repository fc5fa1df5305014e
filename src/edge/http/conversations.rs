//! `/messaging/conversations` and `/messaging/unread`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::conversation::{ContextType, ConversationType, View};
use crate::edge::conversations::{self, Opened};
use crate::edge::{Edge, error, freshness, reads};
use crate::store::lists::{Filter, From, ListKey};
use crate::store::own_view::OwnChange;
use crate::wire::error::ApiError;
use crate::wire::objects;
use crate::wire::requests::MarkRead;
use crate::wire::requests::conversations::{CreateConversation, Mute, PatchConversation};

use super::extract::{Asking, Body, Fields, Ids, OptionalBody, Params};

type Shown = Json<objects::Conversation>;

const DEFAULT_LIMIT: u32 = 20;
/// Longer than any title.
const MAX_QUERY_CHARS: usize = 200;

fn shown(edge: &Edge, view: View) -> Shown {
    Json(edge.presence.show(view))
}

/// 201 for a new conversation, 200 for one that was there.
pub fn opened(edge: &Edge, opened: Opened) -> (StatusCode, Shown) {
    let status = if opened.created { StatusCode::CREATED } else { StatusCode::OK };
    (status, shown(edge, opened.view))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    page: Option<String>,
    limit: Option<String>,
    before: Option<String>,
    archived: Option<String>,
    context_type: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    q: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    conversations: Vec<objects::Conversation>,
    /// Absent where a cursor was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<u32>,
    limit: u32,
    total: u64,
    next_cursor: Option<String>,
}

impl ListQuery {
    fn read(&self) -> Result<(Filter, From, u32), ApiError> {
        let mut fields = Fields::default();
        let limit = fields.limit(self.limit.as_deref(), DEFAULT_LIMIT);
        let page = fields.page(self.page.as_deref());
        let behind = fields.read("before", self.before.as_deref(), "is no cursor", read_cursor);
        if page.is_some() && behind.is_some() {
            fields.push("before", "does not go together with page");
        }
        let archived =
            fields.read("archived", self.archived.as_deref(), "must be true or false", |t| {
                t.parse().ok()
            });
        let context = self.context_type.as_deref();
        let context = fields.read(
            "contextType",
            context,
            "must be one of event, business, listing, general",
            ContextType::parse,
        );
        let kind = self.kind.as_deref();
        let message = "must be one of direct, group, community";
        let kind = fields.read("type", kind, message, ConversationType::parse);
        let text = fields.text("q", self.q.as_deref(), MAX_QUERY_CHARS);
        fields.finish()?;
        let filter = Filter { archived: archived.unwrap_or(false), kind, context, text };
        let from = behind.map_or(From::Page(page.unwrap_or(1)), From::Behind);
        Ok((filter, from, limit))
    }
}

/// `GET /conversations`
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Params(query): Params<ListQuery>,
) -> Result<Json<List>, ApiError> {
    let (filter, from, limit) = query.read()?;
    let listing = conversations::list(&edge, &caller, &filter, from, limit).await?;
    let page = match from {
        From::Page(page) => Some(page),
        From::Behind(_) => None,
    };
    Ok(Json(List {
        conversations: listing.views.into_iter().map(|view| edge.presence.show(view)).collect(),
        page,
        limit,
        total: listing.total,
        next_cursor: listing.next.map(write_cursor),
    }))
}

/// A cursor of the list: pinned or not, microseconds, id. Clients treat it as opaque.
fn write_cursor(key: ListKey) -> String {
    let pinned = if key.pinned { 'p' } else { 'n' };
    format!("{pinned}{}.{}", key.active_at.as_microsecond(), key.id.as_simple())
}

fn read_cursor(text: &str) -> Option<ListKey> {
    let pinned = text.starts_with('p');
    let rest = text.strip_prefix(['p', 'n'])?;
    let (active_at, id) = rest.split_once('.')?;
    let active_at = Timestamp::from_microsecond(active_at.parse().ok()?).ok()?;
    Some(ListKey { pinned, active_at, id: Uuid::try_parse(id).ok()? })
}

/// `GET /conversations/{id}`
pub async fn get(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Shown, ApiError> {
    conversations::get(&edge, &caller, id).await.map(|view| shown(&edge, view))
}

/// `POST /conversations`
pub async fn create(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Body(request): Body<CreateConversation>,
) -> Result<(StatusCode, Shown), ApiError> {
    conversations::create(&edge, &caller, request).await.map(|new| opened(&edge, new))
}

/// `PATCH /conversations/{id}`
pub async fn patch(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Body(request): Body<PatchConversation>,
) -> Result<Shown, ApiError> {
    conversations::patch(&edge, &caller, id, request).await.map(|view| shown(&edge, view))
}

/// Routes that change the caller's own view and need nothing but its id.
macro_rules! own_view {
    ($($(#[$doc:meta])* $name:ident => $change:expr;)*) => {$(
        $(#[$doc])*
        pub async fn $name(
            State(edge): State<Arc<Edge>>,
            Asking(caller): Asking,
            Ids([id]): Ids<1>,
        ) -> Result<Shown, ApiError> {
            conversations::set_own(&edge, &caller, id, $change).await.map(|view| shown(&edge, view))
        }
    )*};
}

own_view! {
    /// `POST /conversations/{id}/archive`
    archive => OwnChange::Archive(true);
    /// `DELETE /conversations/{id}/archive`
    unarchive => OwnChange::Archive(false);
    /// `POST /conversations/{id}/pin`
    pin => OwnChange::Pin(true);
    /// `DELETE /conversations/{id}/pin`
    unpin => OwnChange::Pin(false);
    /// `DELETE /conversations/{id}/mute`
    unmute => OwnChange::Unmute;
}

/// `POST /conversations/{id}/mute`
pub async fn mute(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    OptionalBody(request): OptionalBody<Mute>,
) -> Result<Shown, ApiError> {
    let until = request.validate(edge.clock.now())?;
    conversations::set_own(&edge, &caller, id, OwnChange::Mute(until))
        .await
        .map(|view| shown(&edge, view))
}

/// `POST /conversations/{id}/mark-read`
pub async fn mark_read(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    OptionalBody(request): OptionalBody<MarkRead>,
) -> Result<Json<Value>, ApiError> {
    edge.limits.signal(caller.user_id)?;
    let unread = reads::mark_read(&edge, &caller, None, id, request.message_id).await?;
    Ok(Json(json!({ "success": true, "unreadCount": unread })))
}

/// `GET /unread`
pub async fn unread(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
) -> Result<Json<Value>, ApiError> {
    freshness::everything(&edge).await;
    let unread = edge.store.unread(caller.user_id, edge.clock.now()).await.map_err(error::store)?;
    Ok(Json(json!({ "total": unread.total, "conversations": unread.conversations })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_of_the_list_read_back_and_forged_ones_do_not() {
        let key = ListKey {
            pinned: true,
            active_at: Timestamp::from_microsecond(1_795_338_000_123_456).expect("a time"),
            id: Uuid::from_u128(7),
        };
        assert_eq!(read_cursor(&write_cursor(key)), Some(key));
        for forged in ["", "p", "p1", "p1.", "x1.2", "n1.zz", "p99999999999999999999.0"] {
            assert_eq!(read_cursor(forged), None, "{forged}");
        }
    }
}
