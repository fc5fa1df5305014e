//! `/messaging/search`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::message::MessageType;
use crate::domain::search::query::Query;
use crate::edge::Edge;
use crate::edge::search::{self, Hit, Key, Place, Search};
use crate::store::search::candidates::Filter;
use crate::wire::error::ApiError;
use crate::wire::names;
use crate::wire::objects;
use crate::wire::search::{FoundIn, SearchResult, SearchResults};

use super::docs::responses::ForMembers;
use super::extract::{Asking, Fields, Params};

const DEFAULT_LIMIT: u32 = 20;
/// Results that pages by number reach: each page is ranked from the first on.
const MAX_SKIPPED: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Words, `"phrases"`, `-without`, and `or`. Accents and tone marks do not matter. A word of three letters is also found
    /// as the beginning of another; where that finds little, words with one slip are found as well.
    #[param(value_type = String, max_length = 500)]
    q: Option<String>,
    /// In this conversation only.
    #[param(value_type = Option<String>, format = Uuid)]
    conversation_id: Option<String>,
    #[param(value_type = Option<String>, format = Uuid)]
    sender_id: Option<String>,
    #[serde(rename = "type")]
    #[param(value_type = Option<names::MessageType>)]
    kind: Option<String>,
    /// The earliest time of sending.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// The latest time of sending.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<String>,
    /// From 1, within the first 1,000 results; not together with `cursor`.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    page: Option<String>,
    /// The `nextCursor` of the page before, with the same query.
    cursor: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

struct Read {
    search: Search,
    page: Option<u32>,
    limit: u32,
}

impl SearchQuery {
    fn read(&self) -> Result<Read, ApiError> {
        let mut fields = Fields::default();
        let limit = fields.limit(self.limit.as_deref(), DEFAULT_LIMIT);
        let page = fields.page(self.page.as_deref());
        let behind = fields.read("cursor", self.cursor.as_deref(), "is no cursor", read_cursor);
        if page.is_some() && behind.is_some() {
            fields.push("cursor", "does not go together with page");
        }
        let skipped = (page.unwrap_or(1) as usize - 1) * limit as usize;
        if skipped >= MAX_SKIPPED {
            fields.push("page", "must be within the first 1000 results; follow nextCursor instead");
        }
        let only = fields.uuid("conversationId", self.conversation_id.as_deref());
        let sender = fields.uuid("senderId", self.sender_id.as_deref());
        let message = "must be one of text, image, video, audio, location, file, system";
        let kind = fields.read("type", self.kind.as_deref(), message, MessageType::parse);
        let (from, to) = self.times(&mut fields);
        let query = Query::parse(self.q.as_deref().unwrap_or_default());
        fields.finish()?;
        let query = query.map_err(|cause| ApiError::field("q", cause.to_string()))?;
        let place = behind.map_or(Place::Skip(skipped), Place::Behind);
        let filter = Filter { sender, kind, from, to };
        let search = Search { query, only, filter, place, limit: limit as usize };
        let page = behind.is_none().then(|| page.unwrap_or(1));
        Ok(Read { search, page, limit })
    }

    fn times(&self, fields: &mut Fields) -> (Option<Timestamp>, Option<Timestamp>) {
        let mut time = |field, text: &Option<String>| {
            let message = "must be a time like 2026-11-22T09:00:00Z";
            fields.read(field, text.as_deref(), message, |text| text.parse::<Timestamp>().ok())
        };
        let (from, to) = (time("from", &self.from), time("to", &self.to));
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            fields.push("to", "must not be before from");
        }
        (from, to)
    }
}

/// Messages of the caller's conversations by their words.
///
/// The best come first: what fits exactly before beginnings and slips, what is new before what is old.
#[utoipa::path(
    get,
    path = "/search",
    operation_id = "searchMessages",
    tag = "Messages",
    params(SearchQuery),
    responses((status = 200, description = "A page", body = SearchResults), ForMembers)
)]
pub async fn find(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Params(query): Params<SearchQuery>,
) -> Result<Json<SearchResults>, ApiError> {
    let Read { search, page, limit } = query.read()?;
    let found = search::search(&edge, caller.user_id, &search).await?;
    Ok(Json(SearchResults {
        results: found.hits.into_iter().map(shown).collect(),
        page,
        limit,
        next_cursor: found.next.map(write_cursor),
    }))
}

fn shown(hit: Hit) -> SearchResult {
    let Hit { message, conversation, snippet } = hit;
    SearchResult {
        message: objects::Message::from(message),
        conversation: FoundIn {
            id: conversation.id,
            title: conversation.title,
            kind: conversation.kind.as_str(),
        },
        snippet,
    }
}

/// Clients treat it as opaque. It names no query and no user: whoever follows it sees only what is theirs.
fn write_cursor(key: Key) -> String {
    let Key { as_of, with_slips, low, high, rank, seq } = key;
    let slips = if with_slips { 's' } else { 'e' };
    format!("{slips}{as_of}.{low}.{high}.{rank}.{seq}")
}

fn read_cursor(text: &str) -> Option<Key> {
    let with_slips = text.starts_with('s');
    let mut parts = text.strip_prefix(['s', 'e'])?.split('.');
    let as_of = parts.next()?.parse().ok()?;
    Timestamp::from_second(as_of).ok()?;
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (low, high, rank, seq) = (number()?, number()?, number()?, number()?);
    let is_place = |place: u64| i64::try_from(place).is_ok();
    let fits = parts.next().is_none() && low < high && is_place(high) && is_place(seq);
    fits.then_some(Key { as_of, with_slips, low, high, rank, seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_forged_ones_do_not() {
        let key = Key { as_of: 1_795_338_000, with_slips: true, low: 3, high: 9, rank: 7, seq: 5 };
        assert_eq!(read_cursor(&write_cursor(key)), Some(key));
        let forged = ["", "e", "e1.2", "x1.0.2.3.4", "e1.0.2.3.4.5", "e1.5.2.3.4", "e-1.0.2.-3.4"];
        for forged in forged.into_iter().chain(["e1.0.99999999999999999999.3.4", "e9e9.0.1.2.3"]) {
            assert_eq!(read_cursor(forged), None, "{forged}");
        }
    }
}
