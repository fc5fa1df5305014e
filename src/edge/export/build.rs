//! Making a copy: page after page out of the database, file after file out of the object store, into an archive.

mod safety;

use std::fs::File;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::domain::clock::SharedClock;
use crate::domain::conversation::ConversationType;
use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::domain::message::Message;
use crate::media::objects::{Object, ObjectError, Objects};
use crate::media::spool::Spooled;
use crate::store::own_data::exports::Export;
use crate::store::own_data::pages::OwnFile;
use crate::store::{Store, StoreError};
use crate::wire::devices::{DeviceView, Notifications};
use crate::wire::objects;
use crate::wire::own_data::{FileLine, LeftLine, ProfileLine, ReactionLine, ReceiptLine};

use super::archive::{Archive, Packing};
use super::pages::{self, ROWS};

/// Messages of a page: of 8,000 characters each at most, 16 MB in the worst of all cases, 100 KB in a usual one.
const MESSAGES: u32 = 500;
/// Conversations of a page: with 50 participants each at most, 1 MB.
const CONVERSATIONS: u32 = 50;
/// Lines are handed to the archive in pieces of about so many bytes.
const PIECE: usize = 64 << 10;
/// How often to tell how far it is.
const BEAT: Duration = Duration::from_secs(2);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("the archive cannot be written: {0}")]
    Disk(#[from] std::io::Error),
    #[error("a line cannot be written: {0}")]
    Line(#[from] serde_json::Error),
    /// Another attempt has begun, or the user's data is being erased.
    #[error("it is not wanted any more")]
    Unwanted,
    /// Another node makes it when it is asked for again.
    #[error("the node is leaving")]
    Leaving,
}

/// Where everything is.
pub struct Sources {
    pub store: Store,
    /// Without a place for files there are none.
    pub objects: Option<Arc<Objects>>,
    pub clock: SharedClock,
    /// It is given up then.
    pub stop: CancellationToken,
    /// Whether there is a row that says how far it is.
    pub is_noted: bool,
}

/// A copy under way.
pub struct Build {
    sources: Sources,
    user: UserId,
    export: Export,
    archive: Archive,
    lines: Vec<u8>,
    beaten: Instant,
}

/// What the archive says of itself.
const ABOUT: &str = include_str!("about.txt");

impl Build {
    /// Begins with an empty file.
    pub fn begin(file: File, sources: Sources, user: UserId, export: Export) -> Self {
        let archive = Archive::begin(file);
        Self { sources, user, export, archive, lines: Vec::new(), beaten: Instant::now() }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Whatever keeps it from being whole.
    pub async fn run(mut self) -> Result<(Spooled, Export), Fault> {
        self.entry("README.txt", Packing::Deflated).await?;
        self.lines.extend_from_slice(ABOUT.as_bytes());
        self.profile().await?;
        self.conversations().await?;
        self.messages().await?;
        self.scheduled().await?;
        self.reactions().await?;
        self.receipts().await?;
        self.devices().await?;
        self.blocks().await?;
        self.reports().await?;
        self.files().await?;
        self.flush().await?;
        let file = self.archive.finish().await?;
        Ok((file, self.export))
    }

    async fn profile(&mut self) -> Result<(), Fault> {
        self.entry("profile.ndjson", Packing::Deflated).await?;
        let Some(own) = self.sources.store.own_profile(self.user).await? else { return Ok(()) };
        self.line(&ProfileLine {
            user_id: own.profile.id,
            display_name: own.profile.display_name,
            avatar_url: own.profile.avatar_url,
            last_seen_at: own.profile.last_seen_at,
            created_at: own.created_at,
            updated_at: own.updated_at,
        })
        .await
    }

    async fn conversations(&mut self) -> Result<(), Fault> {
        self.entry("conversations.ndjson", Packing::Deflated).await?;
        let mut pages = pin!(pages::places(&self.sources.store, self.user, CONVERSATIONS));
        while let Some(places) = pages.try_next().await? {
            let own: Vec<_> = places.iter().filter(|p| p.is_in).map(|p| p.conversation).collect();
            for view in self.sources.store.own_views(self.user, &own).await? {
                self.line(&of_oneself(view.into(), self.user)).await?;
            }
            for left in places.iter().filter(|place| !place.is_in) {
                self.line(&LeftLine { id: left.conversation, has_left: true }).await?;
            }
        }
        Ok(())
    }

    async fn messages(&mut self) -> Result<(), Fault> {
        self.entry("messages.ndjson", Packing::Deflated).await?;
        let mut pages = pin!(pages::places(&self.sources.store, self.user, CONVERSATIONS));
        while let Some(places) = pages.try_next().await? {
            for place in places {
                let membership =
                    self.sources.store.membership(place.conversation, self.user).await?;
                match membership.map(|membership| membership.kind) {
                    Some(ConversationType::Direct | ConversationType::Group) => {
                        self.whole(place.conversation).await?;
                    }
                    Some(ConversationType::Community) | None => {
                        self.own_alone(place.conversation).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Everything that the user may read there.
    async fn whole(&mut self, conversation: ConversationId) -> Result<(), Fault> {
        let mut after: Seq = 0;
        loop {
            let page = self.sources.store.messages_after(conversation, after, MESSAGES).await?;
            let Some(last) = page.messages.last() else { return Ok(()) };
            after = last.seq;
            for message in page.messages {
                self.message(message).await?;
            }
            if !page.has_more {
                return Ok(());
            }
        }
    }

    /// What the user has written there.
    async fn own_alone(&mut self, conversation: ConversationId) -> Result<(), Fault> {
        let mut after = Some(0);
        while let Some(from) = after {
            let stretch = self.sources.store.own_messages(self.user, conversation, from).await?;
            for message in stretch.messages {
                self.message(message).await?;
            }
            self.beat().await?;
            after = stretch.next;
        }
        Ok(())
    }

    async fn message(&mut self, message: Message) -> Result<(), Fault> {
        self.line(&objects::Message::from(message)).await?;
        self.export.messages += 1;
        Ok(())
    }

    async fn scheduled(&mut self) -> Result<(), Fault> {
        self.entry("scheduled.ndjson", Packing::Deflated).await?;
        let found = self.sources.store.scheduled_messages(self.user, None).await?;
        for scheduled in &found {
            match crate::edge::schedule::shown(scheduled) {
                Ok(shown) => self.line(&shown).await?,
                // Logged there, and no reason to have no copy at all.
                Err(_) => continue,
            }
        }
        Ok(())
    }

    async fn reactions(&mut self) -> Result<(), Fault> {
        self.entry("reactions.ndjson", Packing::Deflated).await?;
        let mut pages = pin!(pages::places(&self.sources.store, self.user, CONVERSATIONS));
        while let Some(places) = pages.try_next().await? {
            for place in places {
                self.reactions_in(place.conversation).await?;
            }
        }
        Ok(())
    }

    async fn reactions_in(&mut self, conversation: ConversationId) -> Result<(), Fault> {
        let mut pages = pin!(pages::reactions(&self.sources.store, self.user, conversation));
        while let Some(page) = pages.try_next().await? {
            for own in page {
                self.line(&ReactionLine {
                    message_id: own.message,
                    conversation_id: own.conversation,
                    message_seq: own.message_seq,
                    emoji: own.emoji,
                })
                .await?;
            }
        }
        Ok(())
    }

    async fn receipts(&mut self) -> Result<(), Fault> {
        self.entry("receipts.ndjson", Packing::Deflated).await?;
        let mut pages = pin!(pages::places(&self.sources.store, self.user, ROWS));
        while let Some(places) = pages.try_next().await? {
            let own: Vec<_> = places.iter().filter(|p| p.is_in).map(|p| p.conversation).collect();
            for marker in self.sources.store.own_markers(self.user, &own).await? {
                self.line(&ReceiptLine {
                    conversation_id: marker.conversation,
                    joined_at: marker.joined_at,
                    last_read_seq: marker.last_read_seq,
                    last_read_message_id: marker.last_read_message,
                    last_read_at: marker.last_read_at,
                    delivered_seq: marker.delivered_seq,
                    delivered_at: marker.delivered_at,
                })
                .await?;
            }
        }
        Ok(())
    }

    async fn devices(&mut self) -> Result<(), Fault> {
        self.entry("devices.ndjson", Packing::Deflated).await?;
        for device in self.sources.store.devices_of(self.user).await? {
            self.line(&DeviceView::from(device)).await?;
        }
        self.entry("settings.ndjson", Packing::Deflated).await?;
        let found = self.sources.store.notification_settings(&[self.user]).await?;
        for settings in found.values() {
            self.line(&Notifications::from(settings)).await?;
        }
        Ok(())
    }

    /// The files themselves, and then the list of them, which says where each is.
    async fn files(&mut self) -> Result<(), Fault> {
        let mut lost = Vec::new();
        let mut pages = pin!(pages::files(&self.sources.store, self.user));
        while let Some(page) = pages.try_next().await? {
            for file in page {
                match self.file(&file).await {
                    Ok(is_there) => self.export.files += u64::from(is_there),
                    // Erased between the list and the look. A few, or the store would be broken.
                    Err(Fault::Objects(ObjectError::NotFound)) if lost.len() < MAX_LOST => {
                        lost.push(file.key);
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
        self.entry("files.ndjson", Packing::Deflated).await?;
        let mut pages = pin!(pages::files(&self.sources.store, self.user));
        while let Some(page) = pages.try_next().await? {
            for file in page {
                let is_there = self.sources.objects.is_some() && !lost.contains(&file.key);
                let path = is_there.then(|| path_of(&file));
                self.line(&FileLine {
                    key: file.key,
                    conversation_id: file.conversation.filter(|id| !id.is_nil()),
                    file_name: file.name,
                    mime_type: file.mime_type,
                    size: file.size,
                    created_at: file.created_at,
                    path,
                })
                .await?;
            }
        }
        Ok(())
    }

    /// `false` where there is no place for files.
    async fn file(&mut self, file: &OwnFile) -> Result<bool, Fault> {
        let Some(objects) = self.sources.objects.clone() else { return Ok(false) };
        let bytes = objects.get(Object::Original(file.key), 0..file.size).await?;
        let mut bytes = std::pin::pin!(bytes);
        self.entry(&path_of(file), Packing::Stored).await?;
        while let Some(chunk) = bytes.next().await {
            if !self.archive.write(chunk?).await {
                return Err(self.broken());
            }
            self.beat().await?;
        }
        Ok(true)
    }

    async fn entry(&mut self, name: &str, packing: Packing) -> Result<(), Fault> {
        self.flush().await?;
        if self.archive.entry(name.to_owned(), packing).await { Ok(()) } else { Err(self.broken()) }
    }

    async fn line(&mut self, line: &impl Serialize) -> Result<(), Fault> {
        serde_json::to_writer(&mut self.lines, line)?;
        self.lines.push(b'\n');
        if self.lines.len() < PIECE {
            return Ok(());
        }
        self.flush().await?;
        self.beat().await
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines = Bytes::from(std::mem::take(&mut self.lines));
        if self.archive.write(lines).await { Ok(()) } else { Err(self.broken()) }
    }

    /// The thread that writes has ended, which only a disk makes it do.
    fn broken(&self) -> Fault {
        Fault::Disk(std::io::Error::other("the disk for files on their way refuses"))
    }

    /// Tells how far it is, now and then, and learns whether it is still wanted.
    async fn beat(&mut self) -> Result<(), Fault> {
        if self.sources.stop.is_cancelled() {
            return Err(Fault::Leaving);
        }
        if !self.sources.is_noted || self.beaten.elapsed() < BEAT {
            return Ok(());
        }
        self.beaten = Instant::now();
        let now = self.sources.clock.now();
        match self.sources.store.beat_export(self.user, self.export, now).await? {
            true => Ok(()),
            false => Err(Fault::Unwanted),
        }
    }
}

/// How far others have read, and when they were here, is about them: whoever is blocked would learn it from a copy.
fn of_oneself(mut shown: objects::Conversation, user: UserId) -> objects::Conversation {
    for other in shown.shared.participants.iter_mut().filter(|one| one.user_id != user) {
        other.last_seen_at = None;
        other.last_read_message_id = None;
        other.last_read_seq = 0;
        other.delivered_seq = 0;
    }
    if let Some(last) = &mut shown.last_message {
        last.status = None;
    }
    shown
}

/// Files that may be gone by the time they are read.
const MAX_LOST: usize = 100;

/// The name of a file in the archive: its key, and an ending that programs know it by.
fn path_of(file: &OwnFile) -> String {
    let ending = file.name.as_deref().and_then(|name| name.rsplit_once('.')).map(|(_, end)| end);
    let plain =
        |end: &&str| (1..=8).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_alphanumeric());
    let subtype = || file.mime_type.rsplit_once('/').map(|(_, end)| end);
    let ending = ending.filter(plain).or_else(|| subtype().filter(plain));
    match ending {
        Some(ending) => format!("media/{}.{ending}", file.key),
        None => format!("media/{}", file.key),
    }
}
