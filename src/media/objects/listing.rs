//! What lies in the store, for whoever compares it with the rows.

use futures_util::stream::{self, Stream, StreamExt as _};
use jiff::Timestamp;
use object_store::ObjectMeta;
use object_store::path::Path;

use crate::domain::media::MediaKey;

use super::{Object, ObjectError, Objects};

/// An object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub key: MediaKey,
    /// When it was stored last.
    pub stored_at: Timestamp,
}

impl Objects {
    /// Everything in the store that has a name of ours; whatever else lies there is not ours to look at. The store is asked
    /// page by page, some 1,000 objects each, and nothing but a page is held.
    pub fn list(&self) -> impl Stream<Item = Result<Listed, ObjectError>> {
        let kinds: [fn(MediaKey) -> Object; 3] =
            [Object::Original, Object::Thumbnail, Object::Incoming];
        stream::iter(kinds).flat_map(move |kind| {
            let folder = Path::from(format!("{}/{}", self.prefix, folder(kind(MediaKey::nil()))));
            let found = self.store.list(Some(&folder));
            found.filter_map(move |meta| {
                std::future::ready(match meta {
                    Ok(meta) => self.listed(kind, &meta).map(Ok),
                    Err(cause) => Some(Err(cause.into())),
                })
            })
        })
    }

    /// `None` when the name is none that we give.
    fn listed(&self, kind: fn(MediaKey) -> Object, meta: &ObjectMeta) -> Option<Listed> {
        let key: MediaKey = meta.location.filename()?.parse().ok()?;
        if self.path(kind(key)) != meta.location {
            return None;
        }
        let stored_at = Timestamp::from_millisecond(meta.last_modified.timestamp_millis()).ok()?;
        Some(Listed { key, stored_at })
    }
}

/// The folder of a kind of object.
pub(super) fn folder(object: Object) -> &'static str {
    match object {
        Object::Original(_) => "media",
        Object::Thumbnail(_) => "thumbnails",
        Object::Incoming(_) => "incoming",
    }
}
