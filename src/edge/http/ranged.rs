//! Bytes that never change, whole or a range of them (RFC 9110, sections 13 and 14).

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::edge::error;
use crate::edge::media::not_found;
use crate::media::ranges::{Wanted, wanted};
use crate::wire::error::ApiError;

/// What of `size` bytes with this tag is asked for, with its status; `described` gets its place and length. `None` where nothing
/// lies in the range: see [`outside`].
///
/// # Errors
/// Never in practice: numbers are ASCII.
pub fn part(
    asked: &HeaderMap,
    tag: &HeaderValue,
    size: u64,
    described: &mut HeaderMap,
) -> Result<Option<(StatusCode, Range<u64>)>, ApiError> {
    let range = asked.get(header::RANGE).and_then(|value| value.to_str().ok());
    // Other bytes than those that were begun are sent whole. They never change, so the tag says it all.
    let is_same = !asked.contains_key(header::IF_RANGE) || names(asked, header::IF_RANGE, tag);
    let (status, part) = match wanted(range.filter(|_| is_same), size) {
        Wanted::All => (StatusCode::OK, 0..size),
        Wanted::Part(part) => {
            let place = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            described.insert(header::CONTENT_RANGE, ascii(&place)?);
            (StatusCode::PARTIAL_CONTENT, part)
        }
        Wanted::Outside => return Ok(None),
    };
    described.insert(header::CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    Ok(Some((status, part)))
}

/// The refusal of a range in which nothing lies.
///
/// # Errors
/// Never in practice: numbers are ASCII.
pub fn outside(size: u64) -> Result<Response, ApiError> {
    let refusal = ApiError::field("range", "lies outside of the file");
    let mut response = error::response_with(&refusal, StatusCode::RANGE_NOT_SATISFIABLE);
    let place = ascii(&format!("bytes */{size}"))?;
    response.headers_mut().insert(header::CONTENT_RANGE, place);
    Ok(response)
}

/// Does the asker have what goes by this tag?
pub fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    names(asked, header::IF_NONE_MATCH, tag)
}

fn names(asked: &HeaderMap, header: header::HeaderName, tag: &HeaderValue) -> bool {
    let given = asked.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut given = given.split(',').map(|one| one.trim().trim_start_matches("W/"));
    tag.to_str().is_ok_and(|tag| given.any(|one| one == tag))
}

/// A header of our own making.
///
/// # Errors
/// `not_found` where it is not ASCII.
pub fn ascii(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(|_| not_found())
}
