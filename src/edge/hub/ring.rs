//! The recent end of the log in memory, bounded in events and in bytes.
//!
//! It answers a sender that repeats itself, and it is what a storm of returning clients meets instead of Postgres
//! and JetStream: an index by conversation makes the cost of a return that of one's own events, however
//! much went on elsewhere. Deleted content leaves it as soon as the deletion comes along.

use std::collections::VecDeque;

use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use jiff::Timestamp;
use smallvec::SmallVec;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::wire::event::EventKind;
use crate::wire::objects;

use super::event::Event;

#[cfg(test)]
mod tests;

/// Bounds of the ring. 0 turns one off.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub events: usize,
    pub bytes: usize,
}

/// A stretch of a conversation: what is behind `after`, up to and with `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub conversation: ConversationId,
    pub after: Seq,
    pub until: Seq,
}

/// A user came to a conversation or left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    pub seq: Seq,
    pub conversation: ConversationId,
    pub gained: bool,
}

/// The events, oldest first.
pub struct Ring {
    events: VecDeque<Event>,
    bytes: usize,
    limits: Limits,
    /// Everything of the log from here on was taken in and has not left.
    from: Seq,
    /// The last sequence that was taken in.
    last: Seq,
    by_conversation: HashMap<ConversationId, VecDeque<Seq>>,
    moves: HashMap<UserId, VecDeque<Move>>,
    /// Messages by their ids.
    ids: HashMap<MessageId, Seq>,
    /// Edits in the ring by the place of the message they edit: they carry its content too.
    edits: HashMap<Seq, SmallVec<[Seq; 1]>>,
    /// Replies in the ring, and edits of them, by the message that they quote.
    quotes: HashMap<MessageId, SmallVec<[Seq; 1]>>,
    /// Messages whose deletion is in the ring, by place and by id: an edit or a quote that was under way meanwhile
    /// must not bring them back.
    deleted: HashSet<Seq>,
    deleted_ids: HashSet<MessageId>,
}

/// What an entry costs beside its data: the struct (about 150 bytes), its place in the index of its
/// conversation, that index where it is the conversation's only event, and some 40 for its id.
const OVERHEAD: usize = 300;

impl Ring {
    /// An empty ring that will be given everything from `from` on.
    pub fn new(limits: Limits, from: Seq) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            limits,
            from,
            last: from.saturating_sub(1),
            by_conversation: HashMap::default(),
            moves: HashMap::default(),
            ids: HashMap::default(),
            edits: HashMap::default(),
            quotes: HashMap::default(),
            deleted: HashSet::default(),
            deleted_ids: HashSet::default(),
        }
    }

    /// Adds the newest event; the oldest make room. Returns the event as it may be shown, or `None` for what changes a
    /// message, or a reaction to one, that was deleted before it, and for a message that is here already: sent again
    /// when the log had forgotten its id.
    pub fn push(&mut self, mut event: Event) -> Option<Event> {
        self.reached(event.origin.seq);
        if self.is_void(&event) || event.id.is_some_and(|id| self.ids.contains_key(&id)) {
            return None;
        }
        if event.about.is_some_and(|quoted| self.deleted_ids.contains(&quoted)) {
            unquote(&mut event);
        }
        self.note(&event);
        self.bytes += event.data.len() + OVERHEAD;
        self.events.push_back(event.clone());
        while self.over() {
            self.pop_oldest();
        }
        Some(event)
    }

    fn pop_oldest(&mut self) {
        let Some(oldest) = self.events.pop_front() else { return };
        self.bytes -= oldest.data.len() + OVERHEAD;
        self.from = oldest.origin.seq + 1;
        self.forget(&oldest);
    }

    /// Lets go of what the log stored before a time, in nanoseconds since 1970.
    pub fn forget_before(&mut self, stored_at: i64) {
        while self.events.front().is_some_and(|oldest| oldest.origin.stored_at < stored_at) {
            self.pop_oldest();
        }
    }

    /// Everything up to `seq` was taken in, although not all of it was worth keeping.
    pub fn reached(&mut self, seq: Seq) {
        self.last = self.last.max(seq);
    }

    /// The last sequence that was taken in.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Is everything behind `seq` here?
    pub fn covers(&self, seq: Seq) -> bool {
        seq + 1 >= self.from
    }

    /// The first sequence from which on everything is here.
    pub fn from(&self) -> Seq {
        self.from
    }

    /// The event at `seq`, unless it has left or was erased.
    pub fn get(&self, seq: Seq) -> Option<&Event> {
        let at = self.place(seq)?;
        self.events.get(at).filter(|event| !event.data.is_empty())
    }

    /// The conversation and the place of a message.
    pub fn whereabouts(&self, id: MessageId) -> Option<(ConversationId, Seq)> {
        let seq = *self.ids.get(&id)?;
        let event = self.events.get(self.place(seq)?)?;
        Some((event.origin.conversation, seq))
    }

    /// The first event behind `seq`.
    pub fn first_behind(&self, seq: Seq) -> Option<&Event> {
        self.events.get(self.events.partition_point(|event| event.origin.seq <= seq))
    }

    /// A message and its edits, in order.
    pub fn message(&self, id: MessageId) -> Vec<Event> {
        let Some(seq) = self.ids.get(&id) else { return Vec::new() };
        let edits = self.edits.get(seq).into_iter().flatten();
        std::iter::once(seq).chain(edits).filter_map(|seq| self.get(*seq).cloned()).collect()
    }

    /// What happened in these stretches, in order, each event once.
    pub fn collect(&self, spans: &[Span]) -> Vec<Event> {
        let mut seqs: Vec<Seq> = Vec::new();
        for span in spans {
            let Some(all) = self.by_conversation.get(&span.conversation) else { continue };
            let first = all.partition_point(|seq| *seq <= span.after);
            seqs.extend(all.range(first..).take_while(|seq| **seq <= span.until));
        }
        seqs.sort_unstable();
        seqs.dedup();
        seqs.into_iter().filter_map(|seq| self.get(seq).cloned()).collect()
    }

    /// The deletions among what happened in these stretches.
    pub fn deletions(&self, spans: &[Span]) -> Vec<Event> {
        if self.deleted.is_empty() {
            return Vec::new();
        }
        let deletion = |event: &Event| event.origin.kind == EventKind::MessageDeleted;
        self.collect(spans).into_iter().filter(deletion).collect()
    }

    /// When and where a user came or went behind `after`, in order.
    pub fn moves_of(&self, user: UserId, after: Seq) -> Vec<Move> {
        let moves = self.moves.get(&user).into_iter().flatten();
        moves.filter(|moved| moved.seq > after).copied().collect()
    }

    /// Events held, and bytes with what they cost beside their data.
    pub fn size(&self) -> (usize, usize) {
        (self.events.len(), self.bytes)
    }

    fn is_void(&self, event: &Event) -> bool {
        // A deletion too: two devices, or one that repeats itself, may delete a message at once.
        use EventKind::{MessageDeleted, MessageUpdated, ReactionUpdated};
        matches!(event.origin.kind, MessageUpdated | ReactionUpdated | MessageDeleted)
            && event.target.is_some_and(|target| self.deleted.contains(&target))
    }

    fn over(&self) -> bool {
        let Limits { events, bytes } = self.limits;
        (events > 0 && self.events.len() > events) || (bytes > 0 && self.bytes > bytes)
    }

    fn place(&self, seq: Seq) -> Option<usize> {
        self.events.binary_search_by_key(&seq, |event| event.origin.seq).ok()
    }

    /// Enters an event into the indices, and lets it have its effect on earlier ones.
    fn note(&mut self, event: &Event) {
        let origin = event.origin;
        self.ids.extend(event.id.map(|id| (id, origin.seq)));
        self.by_conversation.entry(origin.conversation).or_default().push_back(origin.seq);
        for user in event.membership.iter().flat_map(|membership| &membership.users) {
            let gained = event.membership.as_ref().is_some_and(|membership| membership.gained);
            let moved = Move { seq: origin.seq, conversation: origin.conversation, gained };
            self.moves.entry(*user).or_default().push_back(moved);
        }
        match (origin.kind, event.target, event.about) {
            (EventKind::MessageDeleted, Some(target), id) => {
                self.erase(target, id, origin.stored_at);
                self.deleted.insert(target);
                self.deleted_ids.extend(id);
            }
            (EventKind::MessageUpdated, Some(target), quoted) => {
                self.edits.entry(target).or_default().push(origin.seq);
                if let Some(quoted) = quoted {
                    self.quotes.entry(quoted).or_default().push(origin.seq);
                }
            }
            (EventKind::NewMessage, _, Some(quoted)) => {
                self.quotes.entry(quoted).or_default().push(origin.seq);
            }
            _ => {}
        }
    }

    /// Makes a message a tombstone, drops its edits and empties the quotes of it.
    fn erase(&mut self, message: Seq, id: Option<MessageId>, at: i64) {
        // To the millisecond, as the persister does.
        let at = Timestamp::from_millisecond(at / 1_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        self.rewrite(message, |event| bury(event, at));
        for edit in self.edits.remove(&message).unwrap_or_default() {
            self.rewrite(edit, |event| event.data = Bytes::new());
        }
        for reply in id.and_then(|id| self.quotes.remove(&id)).unwrap_or_default() {
            self.rewrite(reply, unquote);
        }
    }

    fn rewrite(&mut self, seq: Seq, change: impl FnOnce(&mut Event)) {
        let Some(event) = self.place(seq).and_then(|at| self.events.get_mut(at)) else { return };
        self.bytes -= event.data.len();
        change(event);
        self.bytes += event.data.len();
    }

    /// What is known because of an event is forgotten as it leaves. It is the oldest in each index.
    fn forget(&mut self, gone: &Event) {
        let origin = gone.origin;
        pop_front(&mut self.by_conversation, &origin.conversation);
        if let Some(id) = gone.id {
            self.ids.remove(&id);
        }
        for user in gone.membership.iter().flat_map(|membership| &membership.users) {
            pop_front(&mut self.moves, user);
        }
        match (origin.kind, gone.target, gone.about) {
            (EventKind::MessageDeleted, Some(target), id) => {
                self.deleted.remove(&target);
                id.map(|id| self.deleted_ids.remove(&id));
            }
            (EventKind::MessageUpdated, Some(target), quoted) => {
                remove(&mut self.edits, &target, origin.seq);
                if let Some(quoted) = quoted {
                    remove(&mut self.quotes, &quoted, origin.seq);
                }
            }
            (EventKind::NewMessage, _, Some(quoted)) => {
                remove(&mut self.quotes, &quoted, origin.seq);
            }
            _ => {}
        }
    }
}

fn pop_front<K: std::hash::Hash + Eq, T>(index: &mut HashMap<K, VecDeque<T>>, key: &K) {
    if let Some(entries) = index.get_mut(key) {
        entries.pop_front();
        if entries.is_empty() {
            index.remove(key);
        }
    }
}

fn remove<K: std::hash::Hash + Eq>(index: &mut HashMap<K, SmallVec<[Seq; 1]>>, key: &K, seq: Seq) {
    if let Some(seqs) = index.get_mut(key) {
        seqs.retain(|other| *other != seq);
        if seqs.is_empty() {
            index.remove(key);
        }
    }
}

/// Makes a message its tombstone.
pub(super) fn bury(event: &mut Event, at: Timestamp) {
    reshape(event, |message| message.bury(at));
    event.expires_at = None;
}

/// Empties the quote in a reply: what it quoted is deleted.
fn unquote(event: &mut Event) {
    reshape(event, |message| {
        if let Some(quote) = &mut message.reply_to {
            quote.content.clear();
        }
    });
}

/// Content that must go and cannot be rewritten goes as a whole.
fn reshape(event: &mut Event, change: impl FnOnce(&mut objects::Message)) {
    let rewritten = serde_json::from_slice(&event.data).and_then(|mut message| {
        change(&mut message);
        serde_json::to_vec(&message)
    });
    event.data = rewritten.map(Bytes::from).unwrap_or_default();
}
