//! Reading requests, so that whatever is wrong with one comes back as a problem that names the field.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::edge::Edge;
use crate::edge::auth::Caller;
use crate::wire::error::{ApiError, Code, FieldErrors};
use crate::wire::requests::parse;

/// Who is asking; the stack has checked the token.
pub struct Asking(pub Caller);

impl FromRequestParts<Arc<Edge>> for Asking {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Edge>) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(|| {
            tracing::error!(path = %parts.uri.path(), "a route lacks its authentication");
            ApiError::internal()
        })
    }
}

/// A JSON body. What content type it claims does not matter.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Edge>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, ApiError> {
        parse(&bytes(request, edge).await?).map(Self)
    }
}

/// A JSON body that may be left out.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<Edge>> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, ApiError> {
        let body = bytes(request, edge).await?;
        if body.trim_ascii().is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&body).map(Self)
    }
}

/// Reads a body up to the limit. What is beyond it is taken from the wire and dropped, within reason: a client
/// that is still writing would not see the refusal, only a broken connection.
async fn bytes(request: Request, edge: &Arc<Edge>) -> Result<Vec<u8>, ApiError> {
    let limit = edge.settings.request_body_limit;
    let reading = async {
        let mut chunks = request.into_body().into_data_stream();
        let (mut body, mut size) = (Vec::new(), 0_usize);
        while let Some(chunk) = chunks.next().await {
            let chunk =
                chunk.map_err(|_| ApiError::new(Code::Invalid, "the body could not be read"))?;
            size = size.saturating_add(chunk.len());
            if size > limit.saturating_mul(DRAINED) {
                break;
            }
            if size <= limit {
                body.extend_from_slice(&chunk);
            }
        }
        if size <= limit {
            return Ok(body);
        }
        Err(ApiError::new(Code::PayloadTooLarge, format!("a body has at most {limit} bytes")))
    };
    tokio::time::timeout(BODY_WAIT, reading)
        .await
        .unwrap_or_else(|_| Err(ApiError::new(Code::Invalid, "the body did not arrive in time")))
}

/// How long a body may take: a slow phone sends the default limit in a few seconds.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// How many times the limit is read off the wire before the connection is given up.
const DRAINED: usize = 32;

/// The ids in the path, in their order.
pub struct Ids<const N: usize>(pub [Uuid; N]);

impl<const N: usize> FromRequestParts<Arc<Edge>> for Ids<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, edge)
            .await
            .map_err(|_| ApiError::new(Code::Invalid, "the path cannot be read"))?;
        let mut ids = [Uuid::nil(); N];
        let mut errors = FieldErrors::default();
        for (place, (name, value)) in ids.iter_mut().zip(params.iter()) {
            match Uuid::try_parse(value) {
                Ok(id) => *place = id,
                Err(_) => errors.push(name.to_owned(), "must be a UUID"),
            }
        }
        errors.finish()?;
        Ok(Self(ids))
    }
}

/// The query string, every field as text: [`Fields`] says which one is wrong.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Edge>> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Edge>) -> Result<Self, ApiError> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|_| ApiError::new(Code::Invalid, "the query string cannot be read"))
    }
}

/// Reads fields of a query string, collecting what is wrong.
#[derive(Default)]
pub struct Fields(FieldErrors);

impl Fields {
    /// Whatever `read` makes of the text; `message` says what it has to be.
    pub fn read<T>(
        &mut self,
        field: &'static str,
        text: Option<&str>,
        message: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        // An empty value is how many apps leave a parameter out.
        let text = text.filter(|text| !text.is_empty())?;
        let value = read(text);
        if value.is_none() {
            self.0.push(field, message);
        }
        value
    }

    /// A page size.
    pub fn limit(&mut self, text: Option<&str>, default: u32) -> u32 {
        let fits = |text: &str| text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
        self.read("limit", text, "must be a number from 1 to 100", fits).unwrap_or(default)
    }

    /// A page number, from 1.
    pub fn page(&mut self, text: Option<&str>) -> Option<u32> {
        let fits = |text: &str| text.parse().ok().filter(|n| (1..=MAX_PAGE).contains(n));
        self.read("page", text, "must be a number from 1 to 10000", fits)
    }

    /// A UUID in any of its usual forms.
    pub fn uuid(&mut self, field: &'static str, text: Option<&str>) -> Option<Uuid> {
        self.read(field, text, "must be a UUID", |text| Uuid::try_parse(text).ok())
    }

    /// Text of at most `max` characters that the database can hold.
    pub fn text(&mut self, field: &'static str, text: Option<&str>, max: usize) -> Option<String> {
        let fits = |text: &str| text.chars().nth(max).is_none() && !text.contains('\0');
        let message = "is too long or contains the NUL character";
        self.read(field, text, message, |text| fits(text).then(|| text.to_owned()))
    }

    /// Notes what is wrong with a field.
    pub fn push(&mut self, field: &'static str, message: &'static str) {
        self.0.push(field, message);
    }

    /// # Errors
    /// `invalid` if anything was wrong.
    pub fn finish(self) -> Result<(), ApiError> {
        self.0.finish()
    }
}

/// Most items of a page: 100 messages of 8,000 characters are some 2 MB.
const MAX_LIMIT: u32 = 100;
/// Pages are counted through from the start; who goes further uses a cursor.
const MAX_PAGE: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        let mut fields = Fields::default();
        assert_eq!(fields.limit(Some("100"), 20), 100);
        assert_eq!(fields.limit(None, 20), 20);
        assert_eq!(fields.page(Some("")), None);
        fields.limit(Some("101"), 20);
        fields.page(Some("0"));
        fields.uuid("around", Some("x"));
        let error = fields.finish().expect_err("three problems");
        let named: Vec<_> = error.errors.iter().map(|e| e.field.as_ref()).collect();
        assert_eq!(named, ["limit", "page", "around"]);
    }
}
