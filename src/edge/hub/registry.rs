//! Who is connected here, and who of them hears which conversation.
//!
//! Two maps: users to their connections and conversations, and conversations to the connections that hear them.
//! An event looks up one entry of the second, whatever the number of members or conversations.
//!
//! Locks: an entry of `users` may be held while one of `conversations` is taken, never the other way round.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, UserId};
use crate::telemetry::metrics::Protocol;

use super::queue::Queue;

/// One socket.
pub struct Connection {
    pub id: Uuid,
    pub user: UserId,
    pub protocol: Protocol,
    pub queue: Queue,
}

/// Most conversations have one or two connected members on a node: they need no allocation.
type Receivers = SmallVec<[Arc<Connection>; 2]>;

#[derive(Default)]
struct User {
    connections: SmallVec<[Arc<Connection>; 1]>,
    /// Sorted. `None` until they were loaded.
    conversations: Option<Vec<ConversationId>>,
    /// Changes that came along while they were being loaded: `true` for gained.
    meanwhile: Vec<(ConversationId, bool)>,
}

/// The connections of this node.
#[derive(Default)]
pub struct Registry {
    users: DashMap<UserId, User, RandomState>,
    conversations: DashMap<ConversationId, Receivers, RandomState>,
}

/// What [`Registry::admit`] decided.
pub struct Admitted {
    /// The user's conversations are not known here yet; load them and call [`Registry::loaded`].
    pub needs_loading: bool,
    /// The user has too many connections: this one, the oldest, gives way.
    pub displaced: Option<Arc<Connection>>,
}

impl Registry {
    /// Adds a connection. `max` is the most that a user may have, 0 for any number.
    pub fn admit(&self, connection: &Arc<Connection>, max: usize) -> Admitted {
        let mut user = self.users.entry(connection.user).or_default();
        // Removed here rather than at its end, or those who come meanwhile would displace it once more.
        let displaced =
            (max > 0 && user.connections.len() >= max).then(|| user.connections.remove(0));
        if let Some(displaced) = &displaced {
            for conversation in user.conversations.iter().flatten() {
                self.unhear(*conversation, |other| other.id == displaced.id);
            }
        }
        user.connections.push(connection.clone());
        let needs_loading = match &user.conversations {
            Some(conversations) => {
                for conversation in conversations {
                    self.hear(*conversation, connection);
                }
                false
            }
            None => true,
        };
        Admitted { needs_loading, displaced }
    }

    /// Takes in what the database knows, corrected by what came along in the log while it was asked.
    pub fn loaded(&self, user: UserId, mut loaded: Vec<ConversationId>) {
        let Some(mut entry) = self.users.get_mut(&user) else { return };
        if entry.conversations.is_some() {
            return; // Another connection of the user was faster.
        }
        loaded.sort_unstable();
        loaded.dedup();
        for (conversation, gained) in std::mem::take(&mut entry.meanwhile) {
            change(&mut loaded, conversation, gained);
        }
        loaded.shrink_to_fit();
        for conversation in &loaded {
            for connection in &entry.connections {
                self.hear(*conversation, connection);
            }
        }
        entry.conversations = Some(loaded);
    }

    /// Removes a connection everywhere.
    pub fn remove(&self, connection: &Connection) {
        let Entry::Occupied(mut user) = self.users.entry(connection.user) else { return };
        let entry = user.get_mut();
        entry.connections.retain(|other| other.id != connection.id);
        for conversation in entry.conversations.iter().flatten() {
            self.unhear(*conversation, |other| other.id == connection.id);
        }
        if entry.connections.is_empty() {
            user.remove();
        }
    }

    /// A user has become a participant: all connections hear the conversation from now on.
    pub fn gained(&self, user: UserId, conversation: ConversationId) {
        let Some(mut entry) = self.users.get_mut(&user) else { return };
        let entry = &mut *entry;
        match &mut entry.conversations {
            None => entry.meanwhile.push((conversation, true)),
            Some(conversations) => {
                change(conversations, conversation, true);
                for connection in &entry.connections {
                    self.hear(conversation, connection);
                }
            }
        }
    }

    /// A user is no participant any more: no connection hears the conversation from now on.
    pub fn lost(&self, user: UserId, conversation: ConversationId) {
        let Some(mut entry) = self.users.get_mut(&user) else { return };
        match &mut entry.conversations {
            None => entry.meanwhile.push((conversation, false)),
            Some(conversations) => {
                change(conversations, conversation, false);
                self.unhear(conversation, |other| other.user == user);
            }
        }
    }

    /// Is the user connected here and a participant? A `false` only means that it must be looked up.
    pub fn is_participant(&self, user: UserId, conversation: ConversationId) -> bool {
        self.users.get(&user).is_some_and(|entry| {
            entry.conversations.as_ref().is_some_and(|c| c.binary_search(&conversation).is_ok())
        })
    }

    /// The conversations of a user who is connected here.
    pub fn conversations_of(&self, user: UserId) -> Vec<ConversationId> {
        self.users.get(&user).and_then(|entry| entry.conversations.clone()).unwrap_or_default()
    }

    /// Lets one connection hear a conversation.
    pub fn hear(&self, conversation: ConversationId, connection: &Arc<Connection>) {
        let mut receivers = self.conversations.entry(conversation).or_default();
        if !receivers.iter().any(|other| other.id == connection.id) {
            receivers.push(connection.clone());
        }
    }

    /// Lets the connections that `gone` picks no longer hear a conversation.
    pub fn unhear(&self, conversation: ConversationId, gone: impl Fn(&Connection) -> bool) {
        let Entry::Occupied(mut receivers) = self.conversations.entry(conversation) else { return };
        receivers.get_mut().retain(|connection| !gone(connection));
        if receivers.get().is_empty() {
            receivers.remove();
        }
    }

    /// Calls `deliver` with each connection that hears the conversation.
    pub fn receivers(&self, conversation: ConversationId, deliver: impl FnMut(&Arc<Connection>)) {
        if let Some(receivers) = self.conversations.get(&conversation) {
            receivers.iter().for_each(deliver);
        }
    }

    /// Calls `visit` with each connection of a user.
    pub fn connections_of(&self, user: UserId, visit: impl FnMut(&Arc<Connection>)) {
        if let Some(entry) = self.users.get(&user) {
            entry.connections.iter().for_each(visit);
        }
    }

    /// Every connection.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.users.iter().flat_map(|user| user.connections.to_vec()).collect()
    }
}

fn change(conversations: &mut Vec<ConversationId>, conversation: ConversationId, gained: bool) {
    match (conversations.binary_search(&conversation), gained) {
        (Err(at), true) => conversations.insert(at, conversation),
        (Ok(at), false) => {
            conversations.remove(at);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: u128, user: u128) -> Arc<Connection> {
        Arc::new(Connection {
            id: Uuid::from_u128(id),
            user: Uuid::from_u128(user),
            protocol: Protocol::Native,
            queue: Queue::new(8, Default::default()),
        })
    }

    fn heard_by(registry: &Registry, conversation: Uuid) -> Vec<u128> {
        let mut ids = Vec::new();
        registry.receivers(conversation, |c| ids.push(c.id.as_u128()));
        ids
    }

    const CONVERSATION: Uuid = Uuid::from_u128(100);

    #[test]
    fn what_changes_while_conversations_load_is_not_lost() {
        let registry = Registry::default();
        let phone = connection(1, 7);
        assert!(registry.admit(&phone, 0).needs_loading);
        let (gained, lost) = (Uuid::from_u128(101), Uuid::from_u128(102));
        registry.gained(phone.user, gained);
        registry.lost(phone.user, lost);
        registry.loaded(phone.user, vec![CONVERSATION, lost]);
        assert_eq!(heard_by(&registry, CONVERSATION), [1]);
        assert_eq!(heard_by(&registry, gained), [1]);
        assert!(heard_by(&registry, lost).is_empty());
        assert!(registry.is_participant(phone.user, gained));
    }

    #[test]
    fn a_second_device_hears_at_once_and_the_last_one_leaves_nothing_behind() {
        let registry = Registry::default();
        let (phone, tablet) = (connection(1, 7), connection(2, 7));
        registry.admit(&phone, 0);
        registry.loaded(phone.user, vec![CONVERSATION]);
        assert!(!registry.admit(&tablet, 0).needs_loading);
        assert_eq!(heard_by(&registry, CONVERSATION), [1, 2]);
        registry.remove(&phone);
        assert_eq!(heard_by(&registry, CONVERSATION), [2]);
        registry.remove(&tablet);
        assert!(registry.users.is_empty() && registry.conversations.is_empty());
    }

    #[test]
    fn a_removed_participant_hears_nothing_more() {
        let registry = Registry::default();
        let phone = connection(1, 7);
        registry.admit(&phone, 0);
        registry.loaded(phone.user, vec![CONVERSATION]);
        registry.lost(phone.user, CONVERSATION);
        assert!(heard_by(&registry, CONVERSATION).is_empty());
        assert!(!registry.is_participant(phone.user, CONVERSATION));
    }

    #[test]
    fn the_oldest_connection_gives_way() {
        let registry = Registry::default();
        let (old, new) = (connection(1, 7), connection(2, 7));
        assert!(registry.admit(&old, 1).displaced.is_none());
        let displaced = registry.admit(&new, 1).displaced.expect("the limit is reached");
        assert_eq!(displaced.id, old.id);
        let newer = connection(3, 7);
        let displaced = registry.admit(&newer, 1).displaced.expect("the first has not ended yet");
        assert_eq!(displaced.id, new.id);
    }
}
