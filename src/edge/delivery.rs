//! Deliveries: what connections have proven, into the markers of their users, many at a time, and the word to the
//! senders.
//!
//! Proofs wait in a map and not in a queue: only the furthest of a person in a conversation matters, so while Postgres is
//! away what waits grows with the people who receive something and not with the messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::signals::Signal;
use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::domain::receipt::MAX_FOLLOWED;
use crate::store::markers::{Delivered, Delivery, Return};
use crate::wire::event::MessageDelivered;

use super::{Edge, signals};

mod attempts;
pub mod returned;

use attempts::Attempts;

/// Markers of one commit. A statement for 500 takes some 10 ms.
const ROUND: usize = 500;
/// People in conversations whose proofs may wait: 40 full rounds, and some 3 MiB. Beyond it proofs are dropped, which the
/// next message or the next read of the same person makes up for; it takes minutes without Postgres to come here.
const MAX_WAITING: usize = 20_000;
/// Conversations that are remembered as too large to be followed, some 1 MiB of them.
const MAX_UNFOLLOWED: usize = 10_000;
/// For how long. One that has become smaller is followed again after this.
const UNFOLLOWED_FOR: Duration = Duration::from_secs(600);

/// What a person has received in a conversation since the last commit.
struct Waiting {
    seq: Seq,
    at: Timestamp,
    /// Whose messages were among it, at most as many as a followed conversation has participants.
    senders: Vec<UserId>,
}

/// What was written to one connection and is proven together: for each conversation and sender the furthest place.
pub type Batch = HashMap<(ConversationId, UserId), Seq>;

/// Proofs on their way to Postgres, and conversations that need none.
pub struct Deliveries {
    waiting: Mutex<HashMap<(ConversationId, UserId), Waiting>>,
    arrived: Notify,
    returned: returned::Returned,
    unfollowed: Cache<ConversationId, Instant>,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            arrived: Notify::new(),
            returned: returned::Returned::default(),
            unfollowed: Cache::new(MAX_UNFOLLOWED),
        }
    }
}

impl Deliveries {
    /// Until when a conversation is not followed, if this node knows that of it. The database has the last word.
    pub fn unfollowed_until(&self, conversation: ConversationId, now: Instant) -> Option<Instant> {
        self.unfollowed.get(&conversation).filter(|until| *until > now)
    }

    /// Takes in what a connection of `user` has proven, and returns how much of it found no room.
    pub fn proven(&self, user: UserId, batch: &Batch, at: Timestamp) -> usize {
        let mut dropped = 0;
        {
            let mut waiting = self.waiting.lock();
            for ((conversation, sender), seq) in batch {
                let one = Waiting { seq: *seq, at, senders: vec![*sender] };
                dropped += usize::from(!merge(&mut waiting, (*conversation, user), one));
            }
        }
        self.arrived.notify_one();
        dropped
    }

    /// Takes in that a client of `user` has come back with everything up to `seq`, and returns whether that found room.
    pub fn returned(&self, user_id: UserId, seq: Seq, at: Timestamp) -> bool {
        self.returned.came(Return { user_id, seq, at })
    }

    fn take(&self) -> Vec<Delivery> {
        let mut waiting = self.waiting.lock();
        let taken = waiting.extract_if(|_, _| true).take(ROUND);
        let delivery = |((conversation_id, user_id), it): (_, Waiting)| Delivery {
            conversation_id,
            user_id,
            seq: it.seq,
            at: it.at,
            senders: it.senders,
        };
        taken.map(delivery).collect()
    }

    /// Returns how much of it found no room any more.
    fn put_back(&self, round: Vec<Delivery>) -> usize {
        let mut dropped = 0;
        {
            let mut waiting = self.waiting.lock();
            for Delivery { conversation_id, user_id, seq, at, senders } in round {
                let one = Waiting { seq, at, senders };
                dropped += usize::from(!merge(&mut waiting, (conversation_id, user_id), one));
            }
        }
        self.arrived.notify_one();
        dropped
    }

    fn outgrown(&self, conversation: ConversationId) {
        self.unfollowed.insert(conversation, Instant::now() + UNFOLLOWED_FOR);
    }
}

/// Adds a proof to what waits; `false` when there is no room for it.
fn merge(
    waiting: &mut HashMap<(ConversationId, UserId), Waiting>,
    key: (ConversationId, UserId),
    one: Waiting,
) -> bool {
    if let Some(known) = waiting.get_mut(&key) {
        if known.seq < one.seq {
            (known.seq, known.at) = (one.seq, one.at);
        }
        for sender in one.senders {
            if known.senders.len() < MAX_FOLLOWED as usize && !known.senders.contains(&sender) {
                known.senders.push(sender);
            }
        }
        return true;
    }
    let room = waiting.len() < MAX_WAITING;
    if room {
        waiting.insert(key, one);
    }
    room
}

/// Commits what is proven, until cancelled; what was proven by then is committed, too.
///
/// While Postgres is away proofs wait, within [`MAX_WAITING`], and chat goes on. A node that leaves waits for it with
/// what is under way and no longer: the next message proves the same.
pub async fn commit(edge: Arc<Edge>, stop: CancellationToken) {
    let mut attempts = Attempts::new("delivery markers");
    loop {
        let stopping = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = edge.deliveries.arrived.notified() => false,
        };
        loop {
            let round = edge.deliveries.take();
            if round.is_empty() {
                break;
            }
            let outcome = edge.store.mark_delivered(&round, MAX_FOLLOWED).await;
            let put_back = |round| {
                let dropped = edge.deliveries.put_back(round);
                edge.metrics.deliveries_dropped.inc_by(dropped as u64);
            };
            let Some((round, outcomes)) = attempts.taken(outcome, round, put_back) else { break };
            for (delivery, outcome) in round.iter().zip(outcomes) {
                settle(&edge, delivery, outcome).await;
            }
        }
        if stopping || !attempts.pause(&stop).await {
            return;
        }
    }
}

async fn settle(edge: &Edge, delivery: &Delivery, outcome: Delivered) {
    match outcome {
        Delivered::Before => {}
        Delivered::TooMany => edge.deliveries.outgrown(delivery.conversation_id),
        Delivered::Now(senders) => announce(edge, delivery, senders).await,
    }
}

/// Tells those whose messages have arrived, and nobody else: in a group of 100 a message would otherwise cause
/// 10,000 frames.
async fn announce(edge: &Edge, delivery: &Delivery, senders: Vec<UserId>) {
    if senders.is_empty() || edge.blocks.is_severed(delivery.conversation_id) {
        return;
    }
    let delivered = MessageDelivered {
        conversation_id: delivery.conversation_id,
        user_id: delivery.user_id,
        seq: delivery.seq,
        delivered_at: delivery.at,
    };
    let Some(payload) = signals::json(&delivered) else { return };
    let signal = Signal {
        conversation: delivery.conversation_id,
        event: "messageDelivered".to_owned(),
        only_users: senders,
        except_users: Vec::new(),
        except_connection: None,
        payload,
    };
    signals::send(edge, signal).await;
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const CONVERSATION: Uuid = Uuid::from_u128(100);
    const READER: Uuid = Uuid::from_u128(7);

    fn batch(sender: u128, seq: Seq) -> Batch {
        [((CONVERSATION, Uuid::from_u128(sender)), seq)].into()
    }

    #[test]
    fn the_furthest_proof_waits_with_everybody_whose_messages_it_covers() {
        let deliveries = Deliveries::default();
        let at = Timestamp::UNIX_EPOCH;
        for (sender, seq) in [(1, 5), (2, 9), (1, 8)] {
            assert_eq!(deliveries.proven(READER, &batch(sender, seq), at), 0);
        }
        let round = deliveries.take();
        assert_eq!(round.len(), 1);
        assert_eq!((round[0].user_id, round[0].seq, round[0].senders.len()), (READER, 9, 2));
        assert!(deliveries.take().is_empty());
        deliveries.proven(READER, &batch(3, 11), at);
        assert_eq!(deliveries.put_back(round), 0);
        let round = deliveries.take();
        assert_eq!((round.len(), round[0].seq, round[0].senders.len()), (1, 11, 3));
    }

    #[test]
    fn what_waits_is_bounded_and_a_conversation_that_is_too_large_is_remembered_for_a_while() {
        let deliveries = Deliveries::default();
        let at = Timestamp::UNIX_EPOCH;
        for user in 0..MAX_WAITING as u128 {
            assert_eq!(deliveries.proven(Uuid::from_u128(user), &batch(1, 1), at), 0);
        }
        assert_eq!(deliveries.proven(Uuid::from_u128(u128::MAX), &batch(1, 1), at), 1);
        assert_eq!(deliveries.proven(Uuid::from_u128(0), &batch(1, 2), at), 0);
        assert_eq!(deliveries.take().len(), ROUND);

        let now = Instant::now();
        assert!(deliveries.unfollowed_until(CONVERSATION, now).is_none());
        deliveries.outgrown(CONVERSATION);
        assert!(deliveries.unfollowed_until(CONVERSATION, now).is_some());
        assert!(deliveries.unfollowed_until(CONVERSATION, now + 2 * UNFOLLOWED_FOR).is_none());
    }
}
