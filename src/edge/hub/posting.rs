//! Where writing is restricted, and when whom wrote there last: what a send is checked against without asking anyone.
//!
//! Only the few conversations with a rule are here: read from Postgres before the tail begins, and kept up by the events
//! of the log, which every node sees in the same order. So a member who wrote on one node waits on every other one, as
//! soon as the event is there: two messages to two nodes within that moment (a millisecond or two) both pass. On
//! one node a message that is on its way counts already.
//!
//! What a writer is (a member or an admin), and when they last wrote before this node began, is asked of Postgres
//! once for each writer in such a conversation.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dashmap::DashMap;
use foldhash::HashMap;
use foldhash::fast::RandomState;
use jiff::Timestamp;

use crate::domain::conversation::Role;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::posting::{Posting, PostingRefused};

/// Conversations with a rule that a node keeps: at 150 bytes each, 15 MB. The others' rules are asked of Postgres with each
/// message: slower, and right.
pub const MAX_KEPT: u32 = 100_000;
/// Writers of a conversation, from which on those are forgotten who may write again: at 80 bytes each, 80 KB.
const MANY_WRITERS: usize = 1_000;

/// What is known of somebody who writes in a restricted conversation.
#[derive(Debug, Default, Clone, Copy)]
struct Writer {
    role: Option<Role>,
    /// When they wrote last, and what.
    last: Option<(Timestamp, Option<MessageId>)>,
}

#[derive(Debug, Default)]
struct Kept {
    posting: Posting,
    writers: HashMap<UserId, Writer>,
    /// Moves with each change of the rule or of a role: what was asked for before is outdated then.
    version: u64,
}

/// The conversations with a rule.
#[derive(Default)]
pub struct Restricted {
    kept: DashMap<ConversationId, Kept, RandomState>,
    /// How many are kept, so that the many messages elsewhere cost one look at a number.
    count: AtomicUsize,
    /// There are more than are kept.
    is_partial: AtomicBool,
}

/// What the rules say of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Free,
    /// The sender has to be looked up first; the number goes with what was found.
    Unknown(u64),
    Refused(PostingRefused),
}

impl Restricted {
    /// Takes in what Postgres knows; `all` of it, or as much as is kept.
    pub fn load(&self, found: Vec<(ConversationId, Posting)>, all: bool) {
        self.is_partial.store(!all, Ordering::Relaxed);
        found.into_iter().for_each(|(conversation, posting)| self.set(conversation, posting));
    }

    /// A conversation has this rule from now on.
    pub fn set(&self, conversation: ConversationId, posting: Posting) {
        let is_kept = self.kept.contains_key(&conversation);
        if posting.is_free() {
            if self.kept.remove(&conversation).is_some() {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
        if !is_kept && self.count.load(Ordering::Relaxed) >= MAX_KEPT as usize {
            return self.is_partial.store(true, Ordering::Relaxed);
        }
        let mut kept = self.kept.entry(conversation).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Kept::default()
        });
        kept.posting = posting;
        kept.version += 1;
    }

    /// The roles of these people may be others than before.
    pub fn roles_changed(&self, conversation: ConversationId, users: &[UserId]) {
        let Some(mut kept) = self.get_mut(conversation) else { return };
        kept.version += 1;
        for user in users {
            if let Some(writer) = kept.writers.get_mut(user) {
                writer.role = None;
            }
        }
    }

    /// A message has come through the log.
    pub fn wrote(
        &self,
        conversation: ConversationId,
        user: UserId,
        id: Option<MessageId>,
        at: i64,
    ) {
        let Some(mut kept) = self.get_mut(conversation) else { return };
        if kept.posting.slow_mode_seconds == 0 {
            return;
        }
        let at = Timestamp::from_nanosecond(at.into()).unwrap_or(Timestamp::UNIX_EPOCH);
        let writer = kept.writer(user, at);
        if writer.last.is_none_or(|(last, _)| last <= at) {
            writer.last = Some((at, id));
        }
    }

    /// May `user` send this message now? A message that may is counted as sent, so that another one that comes before it
    /// is back does not pass as well; the same message again does.
    pub fn ask(
        &self,
        conversation: ConversationId,
        user: UserId,
        id: MessageId,
        now: Timestamp,
    ) -> Verdict {
        let Some(mut kept) = self.get_mut(conversation) else {
            return self.elsewhere();
        };
        let (posting, version) = (kept.posting, kept.version);
        let Some(Writer { role: Some(role), last }) = kept.writers.get(&user).copied() else {
            return Verdict::Unknown(version);
        };
        let before = last.filter(|(_, wrote)| *wrote != Some(id)).map(|(at, _)| at);
        match posting.may_write(role, before, now) {
            Ok(()) => {
                if role == Role::Member && posting.slow_mode_seconds > 0 {
                    kept.writer(user, now).last = Some((now, Some(id)));
                }
                Verdict::Free
            }
            Err(why) => Verdict::Refused(why),
        }
    }

    /// The rule of a conversation, if it is kept here.
    pub fn posting(&self, conversation: ConversationId) -> Option<Posting> {
        self.get_mut(conversation).map(|kept| kept.posting)
    }

    /// May there be rules that are not kept here?
    pub fn is_partial(&self) -> bool {
        self.is_partial.load(Ordering::Relaxed)
    }

    /// What Postgres said of a writer, unless something has changed since `version`.
    pub fn learned(
        &self,
        conversation: ConversationId,
        user: UserId,
        version: u64,
        role: Role,
        last_at: Option<Timestamp>,
    ) -> bool {
        let Some(mut kept) = self.get_mut(conversation) else { return false };
        if kept.version != version {
            return false;
        }
        let now = last_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let writer = kept.writer(user, now);
        writer.role = Some(role);
        if let Some(at) = last_at.filter(|at| writer.last.is_none_or(|(last, _)| last < *at)) {
            writer.last = Some((at, None));
        }
        true
    }

    fn get_mut(
        &self,
        conversation: ConversationId,
    ) -> Option<dashmap::mapref::one::RefMut<'_, ConversationId, Kept>> {
        (self.count.load(Ordering::Relaxed) > 0).then(|| self.kept.get_mut(&conversation))?
    }

    fn elsewhere(&self) -> Verdict {
        if self.is_partial() { Verdict::Unknown(0) } else { Verdict::Free }
    }
}

impl Kept {
    /// The entry of a writer. Where there are many, those go first who may write again at `now`.
    fn writer(&mut self, user: UserId, now: Timestamp) -> &mut Writer {
        if self.writers.len() >= MANY_WRITERS && self.writers.len().is_power_of_two() {
            let posting = self.posting;
            self.writers.retain(|_, writer| {
                let last = writer.last.map(|(at, _)| at);
                posting.may_write(Role::Member, last, now).is_err()
            });
        }
        self.writers.entry(user).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::domain::posting::PostingPolicy;

    const HERE: ConversationId = Uuid::from_u128(1);
    const ADA: UserId = Uuid::from_u128(2);
    const SLOW: Posting = Posting { policy: PostingPolicy::Everyone, slow_mode_seconds: 30 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn id(number: u128) -> MessageId {
        Uuid::from_u128(number)
    }

    fn slow() -> Restricted {
        let restricted = Restricted::default();
        restricted.set(HERE, SLOW);
        let Verdict::Unknown(version) = restricted.ask(HERE, ADA, id(1), at(0)) else {
            panic!("nobody is known");
        };
        assert!(restricted.learned(HERE, ADA, version, Role::Member, None));
        restricted
    }

    #[test]
    fn what_is_on_its_way_counts_and_may_be_repeated() {
        let restricted = slow();
        assert_eq!(restricted.ask(HERE, ADA, id(1), at(100)), Verdict::Free);
        assert_eq!(restricted.ask(HERE, ADA, id(1), at(101)), Verdict::Free);
        let refused = restricted.ask(HERE, ADA, id(2), at(111));
        let (every, wait) = (Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!(refused, Verdict::Refused(PostingRefused::TooSoon { every, wait }));
        assert_eq!(restricted.ask(HERE, ADA, id(2), at(131)), Verdict::Free);
    }

    #[test]
    fn what_was_written_on_another_node_counts() {
        let restricted = slow();
        restricted.wrote(HERE, ADA, Some(id(1)), 100_000_000_000);
        assert!(matches!(restricted.ask(HERE, ADA, id(2), at(110)), Verdict::Refused(_)));
        assert_eq!(restricted.ask(HERE, ADA, id(2), at(130)), Verdict::Free);
    }

    #[test]
    fn a_role_that_has_changed_is_looked_up_anew() {
        let restricted = slow();
        restricted.roles_changed(HERE, &[ADA]);
        let Verdict::Unknown(version) = restricted.ask(HERE, ADA, id(1), at(0)) else {
            panic!("the role may be another");
        };
        restricted.set(HERE, SLOW);
        assert!(!restricted.learned(HERE, ADA, version, Role::Admin, None), "outdated");
    }

    #[test]
    fn a_rule_that_is_lifted_leaves_nothing_behind() {
        let restricted = slow();
        restricted.set(HERE, Posting::default());
        assert_eq!(restricted.ask(HERE, ADA, id(1), at(0)), Verdict::Free);
        assert_eq!(restricted.count.load(Ordering::Relaxed), 0);
        restricted.load(Vec::new(), false);
        assert_eq!(restricted.ask(HERE, ADA, id(1), at(0)), Verdict::Unknown(0));
    }
}
