//! Dealing with a batch: each kind of look-up once for all of it, and what it says into the log in its order.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::bus::BusError;
use crate::bus::publish::{Record, Stored};
use crate::domain::conversation::ContextType;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::message::{Message, MessageType};
use crate::domain::service;
use crate::store::services::{Destination, ToldContext, ToldProfile};
use crate::wire::error::{ApiError, Code};
use crate::wire::event::EventKind;
use crate::wire::ingest::{Target, Written};
use crate::wire::objects;

use super::item::{Item, What};
use super::{Fault, Ingest};

/// What became of an item: the ids of its messages, or why it cannot be taken.
pub type Outcome = Result<Vec<MessageId>, ApiError>;

/// Conversations about one context that are dealt with together: as many as a default batch.
const PAGE: u32 = 500;
/// Messages whose ids an outcome names; a reply with 10,000 of them has 390 KB, of at most 1 MiB.
const MAX_NAMED: usize = 10_000;

/// One message to one conversation.
struct Post<'a> {
    /// The place of its item in the batch.
    at: usize,
    item: &'a Item,
    written: &'a Written,
    to: Destination,
}

/// The names of the services in a batch.
type Names = HashMap<UserId, String>;

impl Ingest {
    /// Deals with items and says what became of each.
    ///
    /// # Errors
    /// When something could not be reached: part of it may have been done, and doing all of it again is harmless.
    pub(super) async fn process(&self, items: &[Item]) -> Result<Vec<Outcome>, Fault> {
        self.tell(items).await?;
        let mut outcomes: Vec<Outcome> = items.iter().map(|_| Ok(Vec::new())).collect();
        let senders: HashMap<UserId, String> = items
            .iter()
            .filter(|item| matches!(item.what, What::Message(..)))
            .map(|item| (item.sender, item.service.clone()))
            .collect();
        if !senders.is_empty() {
            let names = self.store.service_names(&senders).await?;
            self.deliver(items, &names, &mut outcomes).await?;
        }
        for item in items {
            self.metrics.ingest.taken(item.kind());
        }
        Ok(outcomes)
    }

    /// Profiles and contexts.
    async fn tell(&self, items: &[Item]) -> Result<(), Fault> {
        let (profiles, contexts) = told(items);
        if !profiles.is_empty() {
            self.store.tell_profiles(&profiles).await?;
        }
        if !contexts.is_empty() {
            self.store.tell_contexts(&contexts).await?;
            self.told.notify_one();
        }
        Ok(())
    }

    /// Messages, in their order: those to a context go by themselves, because they may be many.
    async fn deliver(
        &self,
        items: &[Item],
        names: &Names,
        outcomes: &mut [Outcome],
    ) -> Result<(), Fault> {
        let mut stretch = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match &item.what {
                What::Message(Target::Context(kind, id), written) => {
                    self.stretch(std::mem::take(&mut stretch), names, outcomes).await?;
                    self.everywhere((at, item, written), (*kind, *id), names, outcomes).await?;
                }
                What::Message(target, written) => stretch.push((at, item, *target, written)),
                What::Profile(..) | What::Context(..) => {}
            }
        }
        self.stretch(stretch, names, outcomes).await
    }

    /// Messages that go to one conversation each.
    async fn stretch(
        &self,
        messages: Vec<(usize, &Item, Target, &Written)>,
        names: &Names,
        outcomes: &mut [Outcome],
    ) -> Result<(), Fault> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut named = Vec::new();
        let mut notices = HashMap::new();
        for (_, item, target, _) in &messages {
            match target {
                Target::Conversation(id) => named.push(*id),
                Target::User(user) => {
                    notices.insert(service::notices_id(item.sender, *user), (item.sender, *user));
                }
                Target::Context(..) => {}
            }
        }
        let mut found = HashMap::new();
        if !named.is_empty() {
            let there = self.store.destinations(&named).await?;
            found.extend(there.into_iter().map(|to| (to.id, to)));
        }
        if !notices.is_empty() {
            let there = self.notices(&notices, names).await?;
            found.extend(there.into_iter().map(|to| (to.id, to)));
        }
        let mut posts = Vec::with_capacity(messages.len());
        for (at, item, target, written) in messages {
            let id = match target {
                Target::Conversation(id) => id,
                Target::User(user) => service::notices_id(item.sender, user),
                Target::Context(..) => continue,
            };
            match found.get(&id) {
                Some(to) => posts.push(Post { at, item, written, to: *to }),
                None => outcomes[at] = Err(no_such_conversation()),
            }
        }
        self.post(posts, names, outcomes).await
    }

    /// A message to every conversation about something, page by page.
    async fn everywhere(
        &self,
        (at, item, written): (usize, &Item, &Written),
        (kind, id): (ContextType, Uuid),
        names: &Names,
        outcomes: &mut [Outcome],
    ) -> Result<(), Fault> {
        let mut after = ConversationId::nil();
        loop {
            let page = self.store.destinations_about(kind, id, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let is_last = page.len() < PAGE as usize;
            let posts = page.into_iter().map(|to| Post { at, item, written, to }).collect();
            self.post(posts, names, outcomes).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Puts messages into the log unless they are there, and waits until the log has them.
    async fn post(
        &self,
        posts: Vec<Post<'_>>,
        names: &Names,
        outcomes: &mut [Outcome],
    ) -> Result<(), Fault> {
        let ids: Vec<MessageId> = posts.iter().map(Post::id).collect();
        self.recognises_repetitions().await?;
        let mut known = self.store.known_messages(&ids).await?;
        let mut announced = HashSet::new();
        let mut waiting = Vec::with_capacity(posts.len());
        for (post, id) in posts.iter().zip(ids) {
            if let Ok(named) = &mut outcomes[post.at]
                && named.len() < MAX_NAMED
            {
                named.push(id);
            }
            // From now on it is known: another in the batch with this id is a repetition.
            if !known.insert(id) {
                self.metrics.ingest.duplicates.inc();
                continue;
            }
            // Whoever has just come to the conversation must be known to have come when the message does.
            if post.to.is_announcing && announced.insert(post.to.id) {
                self.outbox.drain(post.to.id).await?;
            }
            let name = names.get(&post.item.sender).cloned();
            let record = post.record(id, name, self.clock.now())?;
            let (done, outcome) = oneshot::channel();
            let completion = Box::new(move |stored| {
                // Whoever waits may have been cancelled; the message is stored all the same.
                let _ = done.send(stored);
            });
            self.publisher.submit(record, completion).await;
            waiting.push(outcome);
        }
        for outcome in waiting {
            let stored: Result<Stored, BusError> = outcome
                .await
                .unwrap_or_else(|_| Err(BusError::unavailable("the publisher has stopped")));
            // Sent more than once, the log may know it from this very publish.
            if stored.map(|stored| stored.duplicate && !stored.repeated)? {
                self.metrics.ingest.duplicates.inc();
            }
        }
        Ok(())
    }
}

impl Post<'_> {
    fn id(&self) -> MessageId {
        service::message_id(self.item.sender, self.to.id, &self.item.key)
    }

    fn record(
        &self,
        id: MessageId,
        sender_name: Option<String>,
        now: Timestamp,
    ) -> Result<Record, Fault> {
        let message = Message {
            id,
            conversation_id: self.to.id,
            seq: 0,
            sender_id: self.item.sender,
            sender_name,
            kind: MessageType::System,
            content: self.written.content.clone(),
            reply_to_message_id: None,
            reply_to: None,
            metadata: self.written.metadata.clone(),
            mentions: Vec::new(),
            reactions: Vec::new(),
            client_message_id: None,
            edited_at: None,
            deleted_at: None,
            expires_at: None,
            created_at: now,
            updated_at: now,
        };
        let payload = serde_json::to_vec(&objects::Message::unsequenced(message))
            .map_err(|cause| BusError::refused(format!("a message cannot be written: {cause}")))?;
        Ok(Record {
            conversation: self.to.id,
            kind: EventKind::NewMessage,
            msg_id: id.to_string(),
            payload: payload.into(),
            ttl: None,
            trace: None,
        })
    }
}

fn no_such_conversation() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such conversation")
}

/// What a batch says of people and contexts: each once, the later over the earlier.
fn told(items: &[Item]) -> (Vec<ToldProfile>, Vec<ToldContext>) {
    let mut profiles: HashMap<UserId, ToldProfile> = HashMap::new();
    let mut contexts: HashMap<(ContextType, Uuid), ToldContext> = HashMap::new();
    let mut in_order: Vec<&Item> = items.iter().collect();
    in_order.sort_by_key(|item| item.told_at);
    for item in in_order {
        let (told_at, told_by) = (item.told_at, item.sender);
        match &item.what {
            What::Profile(user_id, said) => {
                let before = profiles.remove(user_id).and_then(|before| before.avatar_url);
                let said = said.clone();
                let avatar_url = said.avatar_url.or(before);
                let (user_id, display_name) = (*user_id, said.display_name);
                let told = ToldProfile { user_id, display_name, avatar_url, told_at };
                profiles.insert(user_id, told);
            }
            What::Context(kind, id, said) => {
                let said = said.clone();
                let mut told = ToldContext {
                    kind: *kind,
                    id: *id,
                    title: said.title,
                    owner_id: said.owner_id,
                    image_url: said.image_url,
                    url: said.url,
                    told_at,
                    told_by,
                };
                if let Some(before) = contexts.remove(&(*kind, *id)) {
                    told.owner_id = told.owner_id.or(before.owner_id);
                    told.image_url = told.image_url.or(before.image_url);
                    told.url = told.url.or(before.url);
                }
                contexts.insert((*kind, *id), told);
            }
            What::Message(..) => {}
        }
    }
    (profiles.into_values().collect(), contexts.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ingest::{Described, Profiled};

    fn item(second: i64, what: What) -> Item {
        let told_at = Timestamp::from_second(second).expect("in range");
        let sender = service::sender_id("events");
        Item { service: "events".into(), sender, key: "k".into(), told_at, what }
    }

    #[test]
    fn what_was_said_later_counts_and_keeps_what_it_leaves_out() {
        let id = Uuid::from_u128(1);
        let described = |title: &str, url: Option<Option<String>>| Described {
            title: title.to_owned(),
            owner_id: None,
            image_url: None,
            url,
        };
        let context = |second, said| item(second, What::Context(ContextType::Event, id, said));
        let profile = |second, name: &str, avatar_url| {
            let said = Profiled { display_name: name.to_owned(), avatar_url };
            item(second, What::Profile(id, said))
        };
        let (profiles, contexts) = told(&[
            context(2, described("later", None)),
            context(1, described("earlier", Some(Some("/e".into())))),
            profile(1, "Ada", Some(Some("/a".into()))),
            profile(2, "Ada L.", None),
        ]);
        assert_eq!((profiles.len(), contexts.len()), (1, 1));
        assert_eq!(contexts[0].title, "later");
        assert_eq!(contexts[0].url, Some(Some("/e".to_owned())));
        assert_eq!(profiles[0].display_name, "Ada L.");
        assert_eq!(profiles[0].avatar_url, Some(Some("/a".to_owned())));
    }
}
