//! Files that people share: what is known of one, and of which kind it is.

use jiff::Timestamp;

use super::ids::{ConversationId, UserId};

/// The key of a file: random, and all that its address says about it.
pub type MediaKey = uuid::Uuid;

/// What kind of thing a file is; each has its own limit on size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Image,
    Video,
    Audio,
    /// Everything else.
    File,
}

impl Class {
    /// The class of a MIME type.
    pub fn of(mime_type: &str) -> Self {
        match mime_type.split('/').next() {
            Some("image") => Self::Image,
            Some("video") => Self::Video,
            Some("audio") => Self::Audio,
            _ => Self::File,
        }
    }

    /// May a browser show it by itself, or only save it? Everything that could hold a script is saved.
    pub fn is_shown(self) -> bool {
        self != Self::File
    }
}

/// What a look at its content has told.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub mime_type: String,
    /// Bytes, as they are handed out.
    pub size: u64,
    /// Pixels, as it is shown.
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// Seconds.
    pub duration: Option<f64>,
    pub blurhash: Option<String>,
    /// The MIME type of its thumbnail, if it has one.
    pub thumbnail_type: Option<String>,
}

/// A file that can be had.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    pub key: MediaKey,
    pub owner_id: UserId,
    /// Whose participants may have it; until a message names it, its owner alone.
    pub conversation_id: Option<ConversationId>,
    pub facts: Facts,
    /// What its owner called it.
    pub file_name: Option<String>,
    pub created_at: Timestamp,
}
