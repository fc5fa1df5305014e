//! `/messaging/media`: files in and out. Bodies stream; the limit on bodies of other routes does not apply here.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::media::{Class, Media, MediaKey};
use crate::edge::Edge;
use crate::edge::media::{direct, download, upload};
use crate::wire::error::ApiError;
use crate::wire::media::{BeginUpload, SignedLink, UploadForm, UploadTicket, Uploaded};

use super::docs::responses::{
    Conflict, ForMembers, Invalid, Missing, Outside, TooLarge, Usual, WrongType,
};
use super::extract::{Asking, Body as JsonBody, Ids, Params};
use super::ranged;

mod form;

/// Long enough for a conversation that is scrolled through, short enough for what was deleted.
const CACHED: HeaderValue = HeaderValue::from_static("private, max-age=300");
/// Whatever the file holds: nothing in it is run, loaded or framed in this service's name.
const POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// Uploads a file.
///
/// It is what its content says. An image comes back upright, without what tells where it was taken, with a thumbnail. Until
/// a message names it the file is its owner's alone, if no conversation is given; named by none it is gone after a day.
#[utoipa::path(
    post,
    path = "/media/upload",
    operation_id = "uploadFile",
    tag = "Files",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, description = "It is stored", body = Uploaded), ForMembers, TooLarge, WrongType)
)]
pub async fn upload(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    request: Request,
) -> Result<(StatusCode, Json<Uploaded>), ApiError> {
    let service = edge.media.service()?.clone();
    let turn = service.admit(&edge, caller.user_id).await?;
    let form = form::read(&edge, &service, caller.user_id, request).await?;
    let user = caller.user_id;
    let completing = upload::complete(edge.clone(), turn, user, form.conversation, form.file);
    to_the_end(&edge, completing).await
}

/// Asks where to put a file straight into the store.
///
/// Only where the store is an S3 server; else it is a conflict.
#[utoipa::path(
    post,
    path = "/media/uploads",
    operation_id = "beginUpload",
    tag = "Files",
    request_body = BeginUpload,
    responses(
        (status = 201, description = "Put it there, then complete it", body = UploadTicket),
        ForMembers, Conflict, TooLarge
    )
)]
pub async fn begin(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    JsonBody(request): JsonBody<BeginUpload>,
) -> Result<Response, ApiError> {
    let ticket = direct::begin(&edge, caller.user_id, request).await?;
    Ok((StatusCode::CREATED, Json(ticket)).into_response())
}

/// Says that the file was put there: it is looked at, and is a file like every other.
#[utoipa::path(
    post,
    path = "/media/uploads/{id}/complete",
    operation_id = "completeUpload",
    tag = "Files",
    params(("id" = Uuid, Path, description = "The upload")),
    responses(
        (status = 201, description = "It is stored", body = Uploaded),
        ForMembers, Missing, Conflict, TooLarge, WrongType
    )
)]
pub async fn complete(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<(StatusCode, Json<Uploaded>), ApiError> {
    let service = edge.media.service()?.clone();
    let turn = service.admit(&edge, caller.user_id).await?;
    to_the_end(&edge, direct::complete(edge.clone(), turn, caller.user_id, id)).await
}

/// What has begun ends in order, also when the client leaves or the node is about to.
async fn to_the_end(
    edge: &Edge,
    work: impl Future<Output = Result<Uploaded, ApiError>> + Send + 'static,
) -> Result<(StatusCode, Json<Uploaded>), ApiError> {
    // A panic has been logged by its hook.
    let uploaded = edge.sessions.spawn(work).await.map_err(|_| ApiError::internal())??;
    Ok((StatusCode::CREATED, Json(uploaded)))
}

/// Links that work for a while without a token.
#[utoipa::path(
    get,
    path = "/media/{key}/url",
    operation_id = "signLink",
    tag = "Files",
    params(("key" = Uuid, Path, description = "The file")),
    responses(
        (status = 200, description = "The links", body = SignedLink),
        Usual,
        Invalid,
        Missing
    )
)]
pub async fn sign(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([key]): Ids<1>,
) -> Result<Json<SignedLink>, ApiError> {
    download::sign(&edge, key, caller.user_id).await.map(Json)
}

/// What stands in for a token.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SignedQuery {
    expires: Option<String>,
    signature: Option<String>,
}

/// A file and its small form are fetched in the same way.
macro_rules! fetched {
    ($($(#[$doc:meta])* $path:literal $operation:literal: $fetch:ident, thumbnail: $thumbnail:literal;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(
            get,
            path = $path,
            operation_id = $operation,
            tag = "Files",
            params(
                ("key" = Uuid, Path, description = "The file"),
                SignedQuery,
                ("Range" = Option<String>, Header, description = "One range of bytes")
            ),
            responses(
                (status = 200, description = "All of it", content_type = "application/octet-stream"),
                (status = 206, description = "The range", content_type = "application/octet-stream"),
                (status = 304, description = "It is still the one of `If-None-Match`"),
                Usual, Invalid, Missing, Outside
            )
        )]
        pub async fn $fetch(
            State(edge): State<Arc<Edge>>,
            Ids([key]): Ids<1>,
            Params(query): Params<SignedQuery>,
            method: Method,
            headers: HeaderMap,
        ) -> Result<Response, ApiError> {
            let asked = download::Asked { key, thumbnail: $thumbnail };
            answer(&edge, asked, &query, &method, &headers).await
        }
    )*};
}

fetched! {
    /// A file, or a part of it.
    "/media/{key}" "getFile": get, thumbnail: false;
    /// The small form of an image.
    "/media/{key}/thumbnail" "getThumbnail": thumbnail, thumbnail: true;
}

async fn answer(
    edge: &Edge,
    asked: download::Asked,
    query: &SignedQuery,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let media = match (&query.expires, &query.signature) {
        (Some(expires), Some(signature)) => {
            download::for_link(edge, asked, expires, signature).await?
        }
        _ => {
            // Not in the stack, because signed links come without a token.
            let caller = edge.caller_of(headers)?;
            edge.limits.request(caller.user_id)?;
            download::for_user(edge, asked, caller.user_id).await?
        }
    };
    let tag = tag(asked);
    if ranged::is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, described(&media, asked, &tag)).into_response());
    }
    let size = download::size(edge, &media, asked).await?;
    let mut described = described(&media, asked, &tag);
    let Some((status, part)) = ranged::part(headers, &tag, size, &mut described)? else {
        return ranged::outside(size);
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(download::bytes(edge, asked, part).await?)
    };
    Ok((status, described, body).into_response())
}

/// What a client learns about a file besides its bytes.
fn described(media: &Media, asked: download::Asked, tag: &HeaderValue) -> HeaderMap {
    let facts = &media.facts;
    let mime_type = match (&facts.thumbnail_type, asked.thumbnail) {
        (Some(thumbnail), true) => thumbnail,
        _ => &facts.mime_type,
    };
    let mut headers = HeaderMap::new();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(mime_type).unwrap_or(octets));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, tag.clone());
    headers.insert(header::CACHE_CONTROL, CACHED);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::CONTENT_DISPOSITION, disposition(media, mime_type));
    headers
}

/// `inline` for what is shown, `attachment` for the rest, with the name that its owner gave it (RFC 6266).
fn disposition(media: &Media, mime_type: &str) -> HeaderValue {
    let shown = if Class::of(mime_type).is_shown() { "inline" } else { "attachment" };
    let named = media.file_name.as_deref().map(|name| {
        let encoded =
            percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        format!("{shown}; filename*=UTF-8''{encoded}")
    });
    let named = named.and_then(|text| HeaderValue::try_from(text).ok());
    named.unwrap_or(HeaderValue::from_static(shown))
}

/// A file never changes: its key says all.
fn tag(asked: download::Asked) -> HeaderValue {
    let key: MediaKey = asked.key;
    let tag = format!("\"{key}{}\"", if asked.thumbnail { "-thumbnail" } else { "" });
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}
