//! Files: what uploads answer, what direct uploads ask, and the links that messages carry.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::ids::ConversationId;
use crate::domain::media::{Media, MediaKey};

use super::error::{ApiError, FieldErrors};
use super::time;

/// Where files are on this service.
const PATH: &str = "/messaging/media/";
/// What follows the key in the link of a thumbnail.
const THUMBNAIL: &str = "/thumbnail";
/// Longest file name of common file systems.
const MAX_NAME_CHARS: usize = 255;

/// The answer to an upload.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Uploaded {
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
    pub mime_type: String,
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blurhash: Option<String>,
}

impl Uploaded {
    /// With links below `base`, which is empty for links that begin with a slash.
    pub fn new(media: Media, base: &str) -> Self {
        let thumbnail = media.facts.thumbnail_type.is_some();
        Self {
            url: link(base, media.key, false),
            thumbnail_url: thumbnail.then(|| link(base, media.key, true)),
            mime_type: media.facts.mime_type,
            size: media.facts.size,
            width: media.facts.width,
            height: media.facts.height,
            duration: media.facts.duration,
            blurhash: media.facts.blurhash,
        }
    }
}

/// The form of an upload. It is read while it arrives, so that this describes it only.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read field by field")]
pub struct UploadForm {
    #[schemars(extend("format" = "binary"))]
    file: String,
    conversation_id: Option<ConversationId>,
}

/// A link that works for a short time without a token.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SignedLink {
    pub url: String,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
}

/// What a client says about a file that it will put into the store itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BeginUpload {
    pub file_name: Option<String>,
    #[schemars(length(max = 127))]
    pub mime_type: String,
    #[schemars(range(min = 1))]
    pub size: u64,
    pub conversation_id: Option<ConversationId>,
}

impl BeginUpload {
    /// # Errors
    /// `invalid`, field by field.
    pub fn validate(&self) -> Result<(), ApiError> {
        let mut errors = FieldErrors::default();
        if self.file_name.as_deref().is_some_and(|name| name.contains('\0')) {
            errors.push("fileName", "must not contain the NUL character");
        }
        let well_formed = self.mime_type.len() <= 127
            && self.mime_type.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
            && self.mime_type.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if !well_formed {
            errors.push("mimeType", "must be a MIME type such as image/jpeg");
        }
        if self.size == 0 {
            errors.push("size", "must be the number of bytes, at least 1");
        }
        errors.finish()
    }
}

/// Where to put it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct UploadTicket {
    pub id: MediaKey,
    pub method: &'static str,
    pub url: String,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub expires_at: Timestamp,
}

/// The link of a file.
pub fn link(base: &str, key: MediaKey, thumbnail: bool) -> String {
    format!("{base}{PATH}{key}{}", if thumbnail { THUMBNAIL } else { "" })
}

/// The key of the file that a link on this service names; `None` where it names none. The link is a path, or a URL whose
/// host has been looked at already.
pub fn key_in(link: &str) -> Option<MediaKey> {
    let path = match link.find("://") {
        Some(at) => {
            let rest = &link[at + 3..];
            &rest[rest.find('/')?..]
        }
        None => link,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let key = path.strip_prefix(PATH)?;
    let key = key.strip_suffix(THUMBNAIL).unwrap_or(key);
    // The hyphenated form alone: one file, one address.
    (key.len() == 36).then(|| Uuid::try_parse(key).ok())?
}

/// A file name that can be shown and stored: the last part of a path, without what a terminal or a header would take
/// for a command; `None` if nothing is left.
pub fn clean_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = last.chars().filter(|c| !c.is_control() && !is_direction(*c));
    let name: String = kept.take(MAX_NAME_CHARS).collect();
    let name = name.trim().trim_start_matches('.').trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Characters that turn the direction of text: `exe.jpg` is shown where `gpj.exe` is meant.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_key_and_nothing_else_does() {
        let key = Uuid::new_v4();
        for base in ["", "https://chat.example.com"] {
            for thumbnail in [false, true] {
                assert_eq!(key_in(&link(base, key, thumbnail)), Some(key));
            }
        }
        assert_eq!(key_in(&format!("{}?expires=1&signature=x", link("", key, false))), Some(key));
        for other in [
            format!("/media/{key}"),
            format!("/messaging/media/{key}/../x"),
            format!("/messaging/media/../media/{key}"),
            format!("/messaging/media/{}", key.simple()),
            format!("/messaging/media/%2e%2e/{key}"),
            "https://x.example".to_owned(),
            "/messaging/media/".to_owned(),
        ] {
            assert_eq!(key_in(&other), None, "{other}");
        }
    }

    #[test]
    fn names_lose_their_folders_and_tricks() {
        for (given, kept) in [
            ("photo.jpg", Some("photo.jpg")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\Users\\me\\cv.pdf", Some("cv.pdf")),
            ("a\r\nSet-Cookie: x.txt", Some("aSet-Cookie: x.txt")),
            ("in\u{202e}gpj.exe", Some("ingpj.exe")),
            (".htaccess", Some("htaccess")),
            ("..", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(clean_name(given).as_deref(), kept, "{given:?}");
        }
        assert_eq!(clean_name(&"é".repeat(400)).map(|name| name.chars().count()), Some(255));
    }
}
