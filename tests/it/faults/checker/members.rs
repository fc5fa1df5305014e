//! Who was a participant when, by the log.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::faults::record::{Entry, Event};

/// From and, if it has ended, until: places in the log.
type Stay = (u64, Option<u64>);

pub struct Members(BTreeMap<(Uuid, Uuid), Vec<Stay>>);

impl Members {
    pub fn new(log: &[Entry]) -> Self {
        let mut stays: BTreeMap<(Uuid, Uuid), Vec<Stay>> = BTreeMap::new();
        for entry in log {
            let Some(Event::Membership { conversation, change, users }) =
                Event::read(&entry.kind, &entry.data)
            else {
                continue;
            };
            for user in users {
                let stays = stays.entry((conversation, user)).or_default();
                let open = stays.last_mut().filter(|stay| stay.1.is_none());
                match (change.as_str(), open) {
                    ("created" | "participantsAdded", None) => stays.push((entry.seq, None)),
                    ("participantsRemoved", Some(open)) => open.1 = Some(entry.seq),
                    _ => {}
                }
            }
        }
        Self(stays)
    }

    /// Where the present stay of a participant began.
    pub fn since(&self, conversation: Uuid, user: Uuid) -> Option<u64> {
        let (from, until) = self.0.get(&(conversation, user))?.last()?;
        until.is_none().then_some(*from)
    }

    /// Where the last stay of somebody who is no participant any more ended.
    pub fn left(&self, conversation: Uuid, user: Uuid) -> Option<u64> {
        self.0.get(&(conversation, user))?.last()?.1
    }

    /// Was the user ever a participant?
    pub fn ever(&self, conversation: Uuid, user: Uuid) -> bool {
        self.0.contains_key(&(conversation, user))
    }

    /// The conversations of a user now.
    pub fn conversations(&self, user: Uuid) -> Vec<Uuid> {
        let own = self.0.iter().filter(|((_, member), _)| *member == user);
        own.filter(|(_, stays)| stays.last().is_some_and(|stay| stay.1.is_none()))
            .map(|((conversation, _), _)| *conversation)
            .collect()
    }
}
