//! Connections that asked to be told about certain users.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::domain::ids::UserId;
use crate::edge::hub::registry::Connection;

#[derive(Default)]
struct Followed {
    connections: SmallVec<[Arc<Connection>; 2]>,
    /// What they were told last.
    online: bool,
}

/// Who follows whom on this node. A connection follows a bounded number of users, so that this is bounded by
/// connections: 500 each at 60 bytes would be 30 KB for a connection that asks for all it may.
#[derive(Default)]
pub struct Followers {
    users: HashMap<UserId, Followed>,
}

impl Followers {
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Everybody who is followed.
    pub fn followed(&self) -> Vec<UserId> {
        self.users.keys().copied().collect()
    }

    /// Adds a connection, which has just learnt whether the user is online. `true` if it is new.
    pub fn add(&mut self, user: UserId, connection: &Arc<Connection>, online: bool) -> bool {
        let followed = self
            .users
            .entry(user)
            .or_insert_with(|| Followed { connections: SmallVec::new(), online });
        let new = followed.connections.iter().all(|other| other.id != connection.id);
        if new {
            followed.connections.push(connection.clone());
        }
        new
    }

    pub fn remove(&mut self, user: UserId, connection: Uuid) {
        let Some(followed) = self.users.get_mut(&user) else { return };
        followed.connections.retain(|other| other.id != connection);
        if followed.connections.is_empty() {
            self.users.remove(&user);
        }
    }

    /// Is that something which the user's followers do not know yet? They count as told then.
    pub fn is_news(&mut self, user: UserId, online: bool) -> bool {
        let followed = self.users.get_mut(&user);
        followed.is_some_and(|followed| std::mem::replace(&mut followed.online, online) != online)
    }

    /// The connections that follow a user.
    pub fn of(&self, user: UserId) -> SmallVec<[Arc<Connection>; 2]> {
        self.users.get(&user).map(|followed| followed.connections.clone()).unwrap_or_default()
    }
}
