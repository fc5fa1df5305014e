//! Read markers, many at a time: group commit on the edge, answered after the commit.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::bus::signals::Signal;
use crate::domain::clock::SharedClock;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::store::Store;
use crate::store::markers::{MarkOutcome, MarkRead, Marker};
use crate::wire::error::ApiError;
use crate::wire::event::MessageRead;

use super::auth::Caller;
use super::{Edge, freshness, signals};

/// Markers of one commit. A statement for 500 takes some 10 ms.
const ROUND: usize = 500;
/// Markers that may wait: four commits.
const WAITING: usize = 4 * ROUND;

/// The database could not be reached.
struct Unreachable;

type Waiting = (MarkRead, oneshot::Sender<Result<MarkOutcome, Unreachable>>);

/// Where requests hand their markers in.
pub struct Reads {
    queue: mpsc::Sender<Waiting>,
}

/// The work behind [`Reads`].
pub struct Committer {
    queue: mpsc::Receiver<Waiting>,
    store: Store,
    clock: SharedClock,
}

/// Makes both ends.
pub fn reads(store: Store, clock: SharedClock) -> (Reads, Committer) {
    let (sender, queue) = mpsc::channel(WAITING);
    (Reads { queue: sender }, Committer { queue, store, clock })
}

impl Committer {
    /// Serves until cancelled; what was handed in by then is committed.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut round = Vec::with_capacity(ROUND);
        loop {
            tokio::select! {
                () = stop.cancelled() => self.queue.close(),
                gathered = self.queue.recv_many(&mut round, ROUND) => if gathered == 0 { return },
            }
            self.commit(&mut round).await;
        }
    }

    async fn commit(&self, round: &mut Vec<Waiting>) {
        if round.is_empty() {
            return;
        }
        let (marks, replies): (Vec<_>, Vec<_>) = round.drain(..).unzip();
        match self.store.mark_read(&marks, self.clock.now()).await {
            Ok(outcomes) => {
                for (outcome, reply) in outcomes.into_iter().zip(replies) {
                    // The request may have been given up meanwhile.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(cause) => {
                tracing::warn!(%cause, markers = marks.len(), "read markers could not be written");
                for reply in replies {
                    let _ = reply.send(Err(Unreachable));
                }
            }
        }
    }
}

/// Marks a conversation as read up to a message, by default the newest, and tells the others.
///
/// # Errors
/// `not_a_participant`, `not_found` for a message that is not there, `unavailable`.
pub async fn mark_read(
    edge: &Edge,
    caller: &Caller,
    conversation: ConversationId,
    message: Option<MessageId>,
) -> Result<u64, ApiError> {
    let mark =
        MarkRead { conversation_id: conversation, user_id: caller.user_id, message_id: message };
    if message.is_none() {
        // "The newest" includes what was acknowledged a moment ago.
        freshness::conversation(edge, conversation).await;
    }
    let outcome = match commit(edge, mark).await? {
        MarkOutcome::NoSuchMessage => {
            freshness::conversation(edge, conversation).await;
            commit(edge, mark).await?
        }
        outcome => outcome,
    };
    match outcome {
        MarkOutcome::NotAParticipant => Err(ApiError::not_a_participant()),
        MarkOutcome::NoSuchMessage => Err(ApiError::message_not_found()),
        MarkOutcome::Marked(marker) => {
            if marker.advanced {
                announce(edge, caller.user_id, conversation, &marker).await;
            }
            Ok(marker.unread_count)
        }
    }
}

async fn commit(edge: &Edge, mark: MarkRead) -> Result<MarkOutcome, ApiError> {
    let (reply, answer) = oneshot::channel();
    edge.reads.queue.send((mark, reply)).await.map_err(|_| ApiError::unavailable())?;
    match answer.await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(Unreachable)) | Err(_) => Err(ApiError::unavailable()),
    }
}

async fn announce(edge: &Edge, user: UserId, conversation: ConversationId, marker: &Marker) {
    let read = MessageRead {
        conversation_id: conversation,
        user_id: user,
        message_id: marker.message_id,
        seq: marker.seq,
        read_at: edge.clock.now(),
    };
    let payload = match serde_json::to_vec(&read) {
        Ok(json) => Bytes::from(json),
        Err(cause) => return tracing::error!(%cause, "a read signal cannot be written"),
    };
    let event = "messageRead".to_owned();
    let signal = Signal { conversation, event, only_user: None, except_connection: None, payload };
    signals::send(edge, signal).await;
    signals::own_read(edge, user, conversation, marker).await;
}
