//! `/messaging/conversations` and `/messaging/unread`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::domain::conversation::{ContextType, ConversationType, View};
use crate::edge::conversations::{self, Opened};
use crate::edge::{Edge, error, freshness, reads};
use crate::store::lists::{Filter, From, ListKey};
use crate::store::own_view::OwnChange;
use crate::wire::answers::{ConversationList, MarkedRead, Unread};
use crate::wire::error::ApiError;
use crate::wire::requests::MarkRead;
use crate::wire::requests::conversations::{CreateConversation, Mute};
use crate::wire::requests::settings::PatchConversation;
use crate::wire::{names, objects};

use super::docs::responses::{ForMembers, Invalid, Missing, TooLarge, Usual, WithRights};
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

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// From 1; not together with `before`.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 10000)]
    page: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// The `nextCursor` of the page before.
    before: Option<String>,
    /// `true`: the archived ones instead of the others.
    #[param(value_type = Option<bool>)]
    archived: Option<String>,
    #[param(value_type = Option<names::ContextType>)]
    context_type: Option<String>,
    #[serde(rename = "type")]
    #[param(value_type = Option<names::ConversationType>)]
    kind: Option<String>,
    /// Text in titles and in names of participants.
    #[param(max_length = 200)]
    q: Option<String>,
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

/// The caller's conversations: pinned first, then those with the newest message.
#[utoipa::path(
    get,
    path = "/conversations",
    operation_id = "listConversations",
    tag = "Conversations",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = ConversationList),
        Usual,
        Invalid
    )
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Params(query): Params<ListQuery>,
) -> Result<Json<ConversationList>, ApiError> {
    let (filter, from, limit) = query.read()?;
    let listing = conversations::list(&edge, &caller, &filter, from, limit).await?;
    let page = match from {
        From::Page(page) => Some(page),
        From::Behind(_) => None,
    };
    Ok(Json(ConversationList {
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

/// One conversation, as the caller sees it.
#[utoipa::path(
    get,
    path = "/conversations/{id}",
    operation_id = "getConversation",
    tag = "Conversations",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses((status = 200, description = "The conversation", body = objects::Conversation), ForMembers)
)]
pub async fn get(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Shown, ApiError> {
    conversations::get(&edge, &caller, id).await.map(|view| shown(&edge, view))
}

/// Opens a conversation.
///
/// A direct one that exists for the same two people and context is returned as it is.
#[utoipa::path(
    post,
    path = "/conversations",
    operation_id = "createConversation",
    tag = "Conversations",
    request_body = CreateConversation,
    responses(
        (status = 201, description = "The new conversation", body = objects::Conversation),
        (status = 200, description = "It was there already", body = objects::Conversation),
        WithRights, TooLarge
    )
)]
pub async fn create(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Body(request): Body<CreateConversation>,
) -> Result<(StatusCode, Shown), ApiError> {
    conversations::create(&edge, &caller, request).await.map(|new| opened(&edge, new))
}

/// Changes what a conversation says about itself; for its admins. Absent leaves a field, null clears it.
#[utoipa::path(
    patch,
    path = "/conversations/{id}",
    operation_id = "updateConversation",
    tag = "Conversations",
    params(("id" = Uuid, Path, description = "The conversation")),
    request_body = PatchConversation,
    responses(
        (status = 200, description = "The conversation", body = objects::Conversation),
        WithRights, TooLarge
    )
)]
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
    ($($(#[$doc:meta])* $name:ident: $method:ident $path:literal $operation:literal => $change:expr;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(
            $method,
            path = $path,
            operation_id = $operation,
            tag = "Conversations",
            params(("id" = Uuid, Path, description = "The conversation")),
            responses(
                (status = 200, description = "The conversation", body = objects::Conversation),
                ForMembers
            )
        )]
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
    /// Archives a conversation, for the caller alone.
    archive: post "/conversations/{id}/archive" "archiveConversation" => OwnChange::Archive(true);
    /// Takes a conversation out of the caller's archive.
    unarchive: delete "/conversations/{id}/archive" "unarchiveConversation" => OwnChange::Archive(false);
    /// Pins a conversation, for the caller alone.
    pin: post "/conversations/{id}/pin" "pinConversation" => OwnChange::Pin(true);
    /// Unpins a conversation.
    unpin: delete "/conversations/{id}/pin" "unpinConversation" => OwnChange::Pin(false);
    /// Ends a mute.
    unmute: delete "/conversations/{id}/mute" "unmuteConversation" => OwnChange::Unmute;
}

/// Mutes a conversation for the caller: until a time, or until undone.
#[utoipa::path(
    post,
    path = "/conversations/{id}/mute",
    operation_id = "muteConversation",
    tag = "Conversations",
    params(("id" = Uuid, Path, description = "The conversation")),
    request_body = Option<Mute>,
    responses(
        (status = 200, description = "The conversation", body = objects::Conversation),
        ForMembers, TooLarge
    )
)]
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

/// Moves the caller's read marker up to a message, by default the newest. It never goes back.
#[utoipa::path(
    post,
    path = "/conversations/{id}/mark-read",
    operation_id = "markRead",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")),
    request_body = Option<MarkRead>,
    responses(
        (status = 200, description = "What is still unread there", body = MarkedRead),
        ForMembers, Missing, TooLarge
    )
)]
pub async fn mark_read(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    OptionalBody(request): OptionalBody<MarkRead>,
) -> Result<Json<MarkedRead>, ApiError> {
    edge.limits.signal(caller.user_id)?;
    let unread_count = reads::mark_read(&edge, &caller, None, id, request.message_id).await?;
    Ok(Json(MarkedRead { success: true, unread_count }))
}

/// What the caller has not read, muted conversations apart.
#[utoipa::path(
    get,
    path = "/unread",
    operation_id = "countUnread",
    tag = "Messages",
    responses(
        (status = 200, description = "The counts", body = Unread),
        Usual
    )
)]
pub async fn unread(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
) -> Result<Json<Unread>, ApiError> {
    freshness::everything(&edge).await;
    let unread = edge.store.unread(caller.user_id, edge.clock.now()).await.map_err(error::store)?;
    Ok(Json(Unread { conversations: unread.conversations, total: unread.total }))
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
