//! What a client has received, proven by its own WebSocket: a ping whose pong comes back has had everything before it
//! delivered, because the transport keeps the order. Clients' libraries and browsers answer by themselves.
//!
//! A ping follows the frames of new messages in the same write, at most once a second; what is written meanwhile is asked
//! for together. A connection with nothing to prove has no timer and keeps nothing.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::edge::delivery::{Batch, Deliveries};
use crate::edge::hub::queue::Frame;
use crate::wire::event::EventKind;

/// A connection is not asked more often.
const EVERY: Duration = Duration::from_secs(1);
/// Conversations with their senders that one connection may leave unproven, some 100 KiB in a hash map: as many as the
/// conversations that a user hears. What goes beyond is proven with a later message.
const MAX_UNPROVEN: usize = 2048;

/// What one connection has still to prove.
#[derive(Default)]
pub struct Proof {
    asked_at: Option<Instant>,
    /// The last large conversation that was heard, and until when it need not be looked up: what all connections
    /// share is not touched for each frame of a busy group.
    unfollowed: Option<(ConversationId, Instant)>,
    /// Apart, and gone when everything is proven: most connections are idle.
    open: Option<Box<Open>>,
}

#[derive(Default)]
struct Open {
    /// Written since the last ping.
    written: Batch,
    /// The furthest place among it.
    through: Seq,
    /// The ping that was not answered yet, and what its answer proves.
    asked: Option<(Seq, Batch)>,
    /// When the next ping may go, if one has to wait for that.
    due: Option<Pin<Box<Sleep>>>,
}

impl Proof {
    /// A frame is being written to the connection of `user`.
    pub fn written(&mut self, frame: &Frame, user: UserId, deliveries: &Deliveries, now: Instant) {
        let Some(origin) = frame.origin else { return };
        let Some(sender) = origin.sender.filter(|sender| *sender != user) else { return };
        if origin.kind != EventKind::NewMessage
            || self.leaves_out(origin.conversation, deliveries, now)
        {
            return;
        }
        let open = self.open.get_or_insert_default();
        let key = (origin.conversation, sender);
        if let Some(seq) = open.written.get_mut(&key) {
            *seq = origin.seq.max(*seq);
        } else if open.written.len() < MAX_UNPROVEN {
            open.written.insert(key, origin.seq);
        }
        open.through = open.through.max(origin.seq);
    }

    /// Is the conversation too large to be followed?
    fn leaves_out(
        &mut self,
        conversation: ConversationId,
        deliveries: &Deliveries,
        now: Instant,
    ) -> bool {
        if self.unfollowed.is_some_and(|(known, until)| known == conversation && until > now) {
            return true;
        }
        let until = deliveries.unfollowed_until(conversation, now);
        self.unfollowed = until.map(|until| (conversation, until)).or(self.unfollowed);
        until.is_some()
    }

    /// The payload of the ping that is to follow what was written, if one is due.
    pub fn ping(&mut self, now: Instant) -> Option<Bytes> {
        let open = self.open.as_deref_mut()?;
        if open.written.is_empty() || open.asked.is_some() {
            return None;
        }
        if let Some(next) = self.asked_at.map(|at| at + EVERY).filter(|next| *next > now) {
            open.due.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            return None;
        }
        open.due = None;
        self.asked_at = Some(now);
        let payload = Bytes::copy_from_slice(&open.through.to_be_bytes());
        open.asked = Some((open.through, std::mem::take(&mut open.written)));
        Some(payload)
    }

    /// Is a ping under way? A client may answer only the last of several (RFC 6455, 5.5.3), so no other may follow it.
    pub fn is_asking(&self) -> bool {
        self.open.as_deref().is_some_and(|open| open.asked.is_some())
    }

    /// Waits until [`Proof::ping`] has something to ask; for ever while it has not.
    pub async fn due(&mut self) {
        match self.open.as_deref_mut().and_then(|open| open.due.as_mut()) {
            Some(due) => due.await,
            None => std::future::pending().await,
        }
    }

    /// What a pong proves: nothing, unless it answers the ping that is under way.
    pub fn pong(&mut self, payload: &[u8], now: Instant) -> Option<Batch> {
        let open = self.open.as_deref_mut()?;
        let (_, proven) = open.asked.take_if(|(place, _)| place.to_be_bytes() == payload)?;
        if open.written.is_empty() {
            self.open = None;
        } else if let Some(next) = self.asked_at.map(|at| (at + EVERY).max(now)) {
            open.due = Some(Box::pin(tokio::time::sleep_until(next)));
        }
        Some(proven)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::edge::hub::event::Origin;
    use crate::edge::hub::queue::Content;

    const OWN: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn frame(seq: Seq, kind: EventKind, sender: Option<Uuid>) -> Frame {
        let origin = Origin { seq, conversation: Uuid::from_u128(9), kind, sender, stored_at: 0 };
        Arc::new(Content { text: "x".into(), companion: None, origin: Some(origin) })
    }

    fn message(seq: Seq, sender: Uuid) -> Frame {
        frame(seq, EventKind::NewMessage, Some(sender))
    }

    fn places(batch: Option<Batch>) -> Option<Vec<Seq>> {
        batch.map(|batch| batch.into_values().collect())
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_pong_of_the_ping_under_way_proves_and_only_what_was_written_before_it() {
        let (mut proof, deliveries) = (Proof::default(), Deliveries::default());
        let now = Instant::now();
        assert!(proof.pong(&7_u64.to_be_bytes(), now).is_none(), "nobody has asked");
        proof.written(&message(7, OTHER), OWN, &deliveries, now);
        assert!(proof.pong(&7_u64.to_be_bytes(), now).is_none(), "written is not asked");
        assert!(!proof.is_asking());
        let ping = proof.ping(now).expect("at once after a quiet time");
        assert!(proof.is_asking());
        proof.written(&message(8, OTHER), OWN, &deliveries, now);
        for forged in [&b""[..], b"7", &8_u64.to_be_bytes(), &6_u64.to_be_bytes()] {
            assert!(proof.pong(forged, now).is_none(), "{forged:?}");
        }
        assert_eq!(places(proof.pong(&ping, now)), Some(vec![7]));
        assert!(proof.pong(&ping, now).is_none(), "once");
        assert!(!proof.is_asking());
        assert!(proof.ping(now).is_none(), "once a second");
        proof.due().await;
        assert_eq!(Instant::now() - now, EVERY);
        let ping = proof.ping(Instant::now()).expect("due");
        assert_eq!(places(proof.pong(&ping, Instant::now())), Some(vec![8]));
        assert!(proof.open.is_none(), "nothing is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn own_messages_changes_and_large_conversations_need_no_proof() {
        let (mut proof, deliveries) = (Proof::default(), Deliveries::default());
        let now = Instant::now();
        proof.written(&message(1, OWN), OWN, &deliveries, now);
        proof.written(&frame(2, EventKind::MessageUpdated, None), OWN, &deliveries, now);
        proof.written(&Content::plain("a reply"), OWN, &deliveries, now);
        assert!(proof.open.is_none() && proof.ping(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unproven_is_bounded() {
        let (mut proof, deliveries) = (Proof::default(), Deliveries::default());
        let now = Instant::now();
        for sender in 0..3000 {
            let sender = Uuid::from_u128(1000 + sender);
            proof.written(&message(5, sender), OWN, &deliveries, now);
        }
        let ping = proof.ping(now).expect("a ping");
        assert_eq!(proof.pong(&ping, now).map(|batch| batch.len()), Some(MAX_UNPROVEN));
    }
}
