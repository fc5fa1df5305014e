//! Who wants to hear nothing of whom, held in memory: it is asked for at every message, signal and view.
//!
//! In a direct conversation of two people of whom one has blocked the other nothing passes. In groups messages do; presence,
//! typing and notifications do not. Only whoever has blocked learns of it, and the other one finds that they are refused.
//!
//! Read as a whole at the start, then what has changed: at once when a node says so with a signal, and every few seconds in
//! case it was not heard.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use foldhash::fast::RandomState;
use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::bus::signals::Signal;
use crate::domain::ids::{ConversationId, UserId};
use crate::store::blocks::{Blocked, MAX_BLOCKS, Outcome, Pair};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Rule;
use crate::wire::error::{ApiError, Code};
use crate::wire::event::Change;
use crate::wire::objects::Participant;

use super::auth::Caller;
use super::error::store as store_error;
use super::rereading::{EVERY, OVERLAP, Rereading};
use super::{Edge, presence, signals};

/// What nodes tell one another; no client hears it.
pub const CHANGED: &str = "blocksChanged";
/// Conversations that the devices of whoever blocks are told of: a view of each costs a few queries. The others show it when
/// they are opened.
const MAX_TOLD: u32 = 20;

/// What this node knows. A pair with a direct conversation takes some 250 bytes: a million of them 250 MB.
pub struct Blocks {
    known: RwLock<Known>,
    /// Whether there is anything to look up.
    any: AtomicBool,
    /// The database's time of the last reading; one reading at a time.
    read_at: Mutex<Option<Timestamp>>,
    changed: Notify,
}

#[derive(Default)]
struct Known {
    /// From each of a pair to the other one.
    ties: HashMap<UserId, Vec<Tie>, RandomState>,
    /// Direct conversations in which nothing passes.
    severed: HashSet<ConversationId, RandomState>,
}

#[derive(Clone, Copy)]
struct Tie {
    other: UserId,
    /// This one has blocked the other one.
    blocks: bool,
}

impl Known {
    /// Takes in a pair; `true` if the two are apart now and were not before, or the other way round.
    fn take(&mut self, pair: &Pair) -> bool {
        let were_apart = self.find(pair.low, pair.high).is_some();
        self.tie(pair.low, pair.high, pair.low_blocks, pair.high_blocks);
        self.tie(pair.high, pair.low, pair.high_blocks, pair.low_blocks);
        for conversation in &pair.direct {
            match pair.low_blocks || pair.high_blocks {
                true => self.severed.insert(*conversation),
                false => self.severed.remove(conversation),
            };
        }
        were_apart != (pair.low_blocks || pair.high_blocks)
    }

    fn tie(&mut self, one: UserId, other: UserId, blocks: bool, is_blocked: bool) {
        let ties = self.ties.entry(one).or_default();
        ties.retain(|tie| tie.other != other);
        if blocks || is_blocked {
            ties.push(Tie { other, blocks });
        }
        if ties.is_empty() {
            self.ties.remove(&one);
        }
    }

    fn find(&self, one: UserId, other: UserId) -> Option<Tie> {
        self.ties.get(&one)?.iter().find(|tie| tie.other == other).copied()
    }
}

impl Blocks {
    /// Reads all of them.
    ///
    /// # Errors
    /// As every statement.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let blocks = Self {
            known: RwLock::default(),
            any: AtomicBool::new(false),
            read_at: Mutex::default(),
            changed: Notify::new(),
        };
        blocks.read(store).await?;
        Ok(blocks)
    }

    /// Takes in what has changed, and returns the pairs that are apart now and were not before, or the other way round.
    async fn read(&self, store: &Store) -> Result<Vec<(UserId, UserId)>, StoreError> {
        let mut read_at = self.read_at.lock().await;
        let (now, pairs) = store.block_pairs(read_at.map(|at| at - OVERLAP)).await?;
        *read_at = Some(now);
        let mut known = self.known.write();
        let changed =
            pairs.iter().filter(|pair| known.take(pair)).map(|pair| (pair.low, pair.high));
        let changed = changed.collect();
        self.any.store(!known.ties.is_empty(), Ordering::Release);
        Ok(changed)
    }

    fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> Option<T> {
        self.any.load(Ordering::Acquire).then(|| look(&self.known.read()))
    }

    /// May anything be said in this conversation? Always, unless it is a direct one of two people of whom one has blocked
    /// the other.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_reach(&self, conversation: ConversationId) -> Result<(), ApiError> {
        if self.is_severed(conversation) { Err(out_of_reach()) } else { Ok(()) }
    }

    /// Does nothing pass in this conversation?
    pub fn is_severed(&self, conversation: ConversationId) -> bool {
        self.look(|known| known.severed.contains(&conversation)).unwrap_or(false)
    }

    /// Has one of these blocked the other?
    pub fn are_apart(&self, one: UserId, other: UserId) -> bool {
        self.look(|known| known.find(one, other).is_some()).unwrap_or(false)
    }

    /// Everybody who has blocked a user or was blocked by them.
    pub fn apart_from(&self, user: UserId) -> Vec<UserId> {
        let others = |known: &Known| {
            let ties = known.ties.get(&user).map(Vec::as_slice).unwrap_or_default();
            ties.iter().map(|tie| tie.other).collect()
        };
        self.look(others).unwrap_or_default()
    }

    /// Keeps from a viewer who of these is online, where one has blocked the other, and in their direct conversation also
    /// how far the other one has read. Marks whom the viewer has blocked.
    pub fn show_to(
        &self,
        viewer: UserId,
        conversation: ConversationId,
        participants: &mut [Participant],
    ) {
        self.look(|known| {
            let is_severed = known.severed.contains(&conversation);
            for participant in participants {
                if let Some(tie) = known.find(viewer, participant.user_id) {
                    participant.is_blocked = tie.blocks;
                    conceal(participant, is_severed);
                }
            }
        });
    }

    /// The same for something that all of them will see.
    pub fn show_to_all(&self, conversation: ConversationId, participants: &mut [Participant]) {
        self.look(|known| {
            let is_severed = known.severed.contains(&conversation);
            let among: Vec<UserId> = participants.iter().map(|p| p.user_id).collect();
            for participant in participants {
                let ties = known.ties.get(&participant.user_id).map(Vec::as_slice);
                if ties.unwrap_or_default().iter().any(|tie| among.contains(&tie.other)) {
                    conceal(participant, is_severed);
                }
            }
        });
    }

    /// Another node has changed something.
    pub fn heard(&self) {
        self.changed.notify_one();
    }
}

fn conceal(participant: &mut Participant, is_severed: bool) {
    participant.is_online = false;
    participant.last_seen_at = None;
    if is_severed {
        participant.last_read_message_id = None;
        participant.last_read_seq = 0;
        participant.delivered_seq = 0;
    }
}

impl Edge {
    /// May anything be said in this conversation? As [`Blocks::may_reach`], and counted.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_reach(&self, conversation: ConversationId) -> Result<(), ApiError> {
        let checked = self.blocks.may_reach(conversation);
        checked.inspect_err(|_| self.metrics.safety.refused(Rule::Blocked))
    }
}

/// The refusal to the one who blocks and to the one who is blocked.
pub fn out_of_reach() -> ApiError {
    ApiError::new(Code::Forbidden, "this person cannot be reached by you")
}

/// Reads again when somebody says so and every few seconds, until cancelled.
pub async fn keep_current(edge: Arc<Edge>, stop: CancellationToken) {
    let rereading =
        Rereading { every: EVERY, bell: Some(&edge.blocks.changed), what: "who has blocked whom" };
    let counted = || async {
        let read = refresh(&edge).await;
        read.inspect_err(|_| _ = edge.metrics.safety.read_failures.inc())
    };
    rereading.run(&stop, counted).await;
}

/// Takes in what has changed, and shows the two of each pair that the other one is gone, or back.
async fn refresh(edge: &Edge) -> Result<(), StoreError> {
    let changed = edge.blocks.read(&edge.store).await?;
    edge.metrics.safety.block_changes.inc_by(changed.len() as u64);
    if let Err(cause) = presence::show_anew(edge, &changed).await {
        // Their apps show it with their next look.
        tracing::warn!(%cause, "some people are not shown that others are gone");
    }
    Ok(())
}

/// Blocks somebody; doing it twice is harmless.
///
/// # Errors
/// `invalid` for oneself, `not_found` for who is nobody, `conflict` for too many, `unavailable`.
pub async fn block(edge: &Edge, caller: &Caller, other: UserId) -> Result<(), ApiError> {
    if caller.user_id == other {
        return Err(ApiError::field("userId", "must be somebody else"));
    }
    let done = edge.store.block(caller.user_id, other, edge.clock.now()).await;
    match done.map_err(store_error)? {
        Outcome::Now => tell(edge, caller, other, Change::Blocked).await,
        Outcome::Before => Ok(()),
        Outcome::NoSuchUser => Err(ApiError::new(Code::NotFound, "there is no such user")),
        Outcome::Full => {
            let detail = format!("nobody can block more than {MAX_BLOCKS} people");
            Err(ApiError::new(Code::Conflict, detail))
        }
    }
}

/// Takes a block back; doing it twice is harmless.
///
/// # Errors
/// `unavailable`.
pub async fn unblock(edge: &Edge, caller: &Caller, other: UserId) -> Result<(), ApiError> {
    match edge.store.unblock(caller.user_id, other).await.map_err(store_error)? {
        true => tell(edge, caller, other, Change::Unblocked).await,
        false => Ok(()),
    }
}

/// Whom the caller has blocked.
///
/// # Errors
/// `unavailable`.
pub async fn list(edge: &Edge, caller: &Caller) -> Result<Vec<Blocked>, ApiError> {
    edge.store.blocks_of(caller.user_id).await.map_err(store_error)
}

/// This node knows before the answer, the others a moment later, and then the caller's devices.
async fn tell(edge: &Edge, caller: &Caller, other: UserId, change: Change) -> Result<(), ApiError> {
    let user = caller.user_id;
    refresh(edge).await.map_err(store_error)?;
    let signal = Signal {
        // It is about no conversation; the subject needs an id, and this one has no listeners.
        conversation: user,
        event: CHANGED.to_owned(),
        only_users: Vec::new(),
        except_users: Vec::new(),
        except_connection: None,
        payload: Bytes::from_static(b"{}"),
    };
    signals::send(edge, signal).await;
    match edge.store.shared_conversations(user, other, false, MAX_TOLD).await {
        Ok(shared) => {
            for conversation in shared {
                signals::own_change(edge, user, conversation, change).await;
            }
        }
        // The devices find out when they look.
        Err(cause) => tracing::debug!(%cause, "devices are not told of a block"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ADA: Uuid = Uuid::from_u128(1);
    const BEN: Uuid = Uuid::from_u128(2);
    const DIRECT: Uuid = Uuid::from_u128(100);

    fn pair(low_blocks: bool, high_blocks: bool) -> Pair {
        Pair { low: ADA, high: BEN, low_blocks, high_blocks, direct: vec![DIRECT] }
    }

    #[test]
    fn a_pair_is_apart_until_neither_blocks_the_other() {
        let mut known = Known::default();
        assert!(known.take(&pair(true, true)));
        assert!(known.severed.contains(&DIRECT));
        assert!(!known.take(&pair(false, true)), "they were apart before");
        assert!(known.severed.contains(&DIRECT));
        assert!(known.find(ADA, BEN).is_some_and(|tie| !tie.blocks));
        assert!(known.find(BEN, ADA).is_some_and(|tie| tie.blocks));
        assert!(known.take(&pair(false, false)));
        assert!(!known.take(&pair(false, false)), "so it was");
        assert!(known.ties.is_empty() && known.severed.is_empty());
    }
}
