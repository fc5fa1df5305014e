//! Who is there, and who is told about it.
//!
//! `state` knows and decides, without I/O: `here` has the users of this node, `directory` those of all, `followers`
//! the connections that asked. `keeper` writes this node's keys and reads everybody's; `announcer` finds out whom
//! news concern and sends them.
//!
//! Nothing here is on a message's way. Without the bucket, chat goes on: users of the same node are known, those of
//! others stay as they were for as long as a death takes to be noticed, and count as offline then.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::clock::SharedClock;
use crate::domain::conversation::View;
use crate::domain::ids::UserId;
use crate::domain::presence::{EdgeId, ProcessId, Status};
use crate::domain::receipt;
use crate::store::StoreError;
use crate::wire::error::ApiError;
use crate::wire::objects;
use crate::wire::presence::MAX_USERS;

use super::Edge;
use super::auth::Caller;
use super::blocks::Blocks;
use super::error::store as store_error;
use super::hub::registry::Connection;

pub mod announcer;
mod directory;
mod followers;
mod here;
pub mod keeper;
mod news;
mod state;

pub use state::Timing;
use state::{Now, State};

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub timing: Timing,
    /// Members of a group are told of each other's coming and going up to this size. Somebody with 20 such groups has
    /// 1,000 contacts at the default of 50; a group of 1,000 would cost 1,000 frames for each member who comes, a
    /// million when all of them come back.
    pub max_group: u32,
    /// Whether and with how many replicas a lost bucket is made anew.
    pub create: Option<usize>,
}

/// Who is there, as this node knows it.
pub struct Presence {
    process: ProcessId,
    max_group: u32,
    clock: SharedClock,
    /// Who is not to learn of whom.
    blocks: Arc<Blocks>,
    state: Mutex<State>,
    /// There may be keys to write.
    changed: Notify,
    /// There may be something to tell.
    news: Notify,
}

impl Presence {
    pub fn new(settings: &Settings, blocks: Arc<Blocks>, clock: SharedClock) -> Self {
        let me = EdgeId::first(rand::random());
        Self {
            process: me.process(),
            max_group: settings.max_group,
            clock,
            blocks,
            state: Mutex::new(State::new(settings.timing, me, Instant::now())),
            changed: Notify::new(),
            news: Notify::new(),
        }
    }

    /// The name under which others reach this node.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    fn now(&self) -> Now {
        Now { instant: Instant::now(), wall: self.clock.now() }
    }

    /// Looks at the state or changes it; whoever tells the news is woken if there are any.
    fn with<T>(&self, act: impl FnOnce(&mut State, Now) -> T) -> T {
        let now = self.now();
        let mut state = self.state.lock();
        let result = act(&mut state, now);
        let news = !state.waiting.is_empty();
        drop(state);
        if news {
            self.news.notify_one();
        }
        result
    }

    /// A connection of a user was admitted; it ends when what is returned is dropped.
    pub fn arrive(self: &Arc<Self>, connection: Arc<Connection>) -> Present {
        if self.with(|state, now| state.came(connection.user, now)) {
            self.changed.notify_one();
        }
        Present { presence: self.clone(), connection, follows: VecDeque::new() }
    }

    /// A conversation as one user sees it, with who is online in it.
    pub fn show(&self, view: View) -> objects::Conversation {
        let viewer = view.viewer;
        let mut shown = objects::Conversation::from(view);
        self.mark(&mut shown.shared.participants);
        let id = shown.shared.id;
        self.blocks.show_to(viewer, id, &mut shown.shared.participants);
        let last = shown.last_message.as_mut().filter(|_| self.blocks.is_severed(id));
        if let Some(status) = last.and_then(|message| message.status.as_mut()) {
            *status = receipt::Status::Sent.as_str().to_owned();
        }
        shown
    }

    /// Fills in who of the participants is online.
    pub fn mark(&self, participants: &mut [objects::Participant]) {
        self.with(|state, now| {
            for participant in participants {
                participant.is_online = state.is_online(participant.user_id, now.instant);
                if participant.is_online {
                    participant.last_seen_at = None;
                }
            }
        });
    }
}

/// The states of those whom the caller shares a conversation with, in the order asked for. Others are left out,
/// whether they exist or not.
///
/// # Errors
/// `unavailable`.
pub async fn of(edge: &Edge, caller: &Caller, users: &[UserId]) -> Result<Vec<Status>, ApiError> {
    let seen = edge.store.visible(caller.user_id, users).await.map_err(store_error)?;
    Ok(edge.presence.with(|state, now| {
        let status = |user: &UserId| {
            let last_seen = seen.get(user)?;
            if edge.blocks.are_apart(caller.user_id, *user) {
                return Some(Status::new(*user, false, None));
            }
            Some(Status::new(*user, state.is_online(*user, now.instant), *last_seen))
        };
        users.iter().filter_map(status).collect()
    }))
}

/// The same, and from now on the connection is told when they change.
///
/// # Errors
/// `unavailable`.
pub async fn follow(
    edge: &Edge,
    present: &mut Present,
    users: &[UserId],
) -> Result<Vec<Status>, ApiError> {
    let viewer = present.connection.user;
    let seen = edge.store.visible(viewer, users).await.map_err(store_error)?;
    let visible = users.iter().filter_map(|user| Some((*user, *seen.get(user)?)));
    let presence = present.presence.clone();
    Ok(presence.with(|state, now| {
        visible
            .map(|(user, last_seen)| {
                if edge.blocks.are_apart(viewer, user) {
                    return Status::new(user, false, None);
                }
                let online = state.is_online(user, now.instant);
                if state.followers.add(user, &present.connection, online) {
                    present.follows.push_back(user);
                }
                if present.follows.len() > MAX_USERS
                    && let Some(oldest) = present.follows.pop_front()
                {
                    state.followers.remove(oldest, present.connection.id);
                }
                Status::new(user, online, last_seen)
            })
            .collect()
    }))
}

/// Shows the two of each pair, on their connections here, that the other one is gone because one of them has blocked the
/// other, or is back. What each of them sees is what they would see by asking.
///
/// # Errors
/// As every statement.
pub async fn show_anew(edge: &Edge, pairs: &[(UserId, UserId)]) -> Result<(), StoreError> {
    let both = pairs.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]);
    let concerns = |(viewer, other): &(UserId, UserId)| {
        // Whoever is offline is shown as that already.
        edge.presence
            .with(|state, now| state.here.is_here(*viewer) && state.is_online(*other, now.instant))
    };
    let concerned: Vec<(UserId, UserId)> = both.filter(concerns).collect();
    if concerned.is_empty() {
        return Ok(());
    }
    for (viewer, other) in edge.store.sharing(&concerned).await? {
        let is_online = !edge.blocks.are_apart(viewer, other);
        announcer::tell_one(edge, viewer, Status::new(other, is_online, None));
    }
    Ok(())
}

/// A connection that counts.
pub struct Present {
    presence: Arc<Presence>,
    connection: Arc<Connection>,
    /// Whom the connection follows, at most [`MAX_USERS`]; the oldest give way.
    follows: VecDeque<UserId>,
}

impl Drop for Present {
    fn drop(&mut self) {
        let last = self.presence.with(|state, now| {
            for user in &self.follows {
                state.followers.remove(*user, self.connection.id);
            }
            state.here.went(self.connection.user, now.instant)
        });
        if last {
            // The keeper waits for the end of the grace that comes next.
            self.presence.changed.notify_one();
        }
    }
}
