//! Read markers, many at a time: group commit on the edge, answered after the commit.

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::signals::Signal;
use crate::domain::clock::SharedClock;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::store::Store;
use crate::store::markers::{MarkOutcome, MarkRead, Marker};
use crate::wire::error::ApiError;
use crate::wire::event::MessageRead;

use super::auth::Caller;
use super::rounds::{Rounds, Size, Work, rounds};
use super::{Edge, freshness, signals};

/// A statement for 500 markers takes some 10 ms. Two at once, so that one is being gathered and executed while the
/// other waits for the disk. Four full rounds that wait are as much as may be answered within 30 ms.
const SIZE: Size = Size { round: 500, at_once: 2, waiting: 4 * 500 };

/// The database could not be reached.
struct Unreachable;

type Marked = Result<MarkOutcome, Unreachable>;

/// Where requests hand their markers in.
pub struct Reads {
    rounds: Rounds<MarkRead, Marked>,
}

/// The work behind [`Reads`].
pub struct Committer {
    work: Work<MarkRead, Marked>,
    store: Store,
    clock: SharedClock,
}

/// Makes both ends.
pub fn reads(store: Store, clock: SharedClock) -> (Reads, Committer) {
    let (rounds, work) = rounds(SIZE);
    (Reads { rounds }, Committer { work, store, clock })
}

impl Committer {
    /// Serves until cancelled; what was handed in by then is committed.
    pub async fn run(self, stop: CancellationToken) {
        let Self { work, store, clock } = self;
        work.run(stop, |marks| commit(store.clone(), clock.clone(), marks)).await;
    }
}

async fn commit(store: Store, clock: SharedClock, marks: Vec<MarkRead>) -> Vec<Marked> {
    match store.mark_read(&marks, clock.now()).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(cause) => {
            tracing::warn!(%cause, markers = marks.len(), "read markers could not be written");
            marks.iter().map(|_| Err(Unreachable)).collect()
        }
    }
}

/// Marks a conversation as read up to a message, by default the newest, tells the others, and returns how many
/// messages are unread then. Whatever was acknowledged when the request began counts in both. `connection` is where it
/// was asked, if that was a socket.
///
/// # Errors
/// `not_a_participant`, `not_found` for a message that is not there, `unavailable`.
pub async fn mark_read(
    edge: &Edge,
    caller: &Caller,
    connection: Option<Uuid>,
    conversation: ConversationId,
    message: Option<MessageId>,
) -> Result<u64, ApiError> {
    let mark =
        MarkRead { conversation_id: conversation, user_id: caller.user_id, message_id: message };
    let is_fresh = freshness::everything(edge).await;
    match edge.reads.rounds.ask(mark).await {
        Some(Ok(MarkOutcome::Marked(marker))) => {
            if marker.advanced {
                announce(edge, caller.user_id, connection, conversation, &marker).await;
            }
            Ok(marker.unread_count)
        }
        Some(Ok(MarkOutcome::NotAParticipant)) => Err(ApiError::not_a_participant()),
        Some(Ok(MarkOutcome::NoSuchMessage)) if is_fresh => Err(ApiError::message_not_found()),
        // It may be on its way to Postgres.
        Some(Ok(MarkOutcome::NoSuchMessage) | Err(Unreachable)) | None => {
            Err(ApiError::unavailable())
        }
    }
}

async fn announce(
    edge: &Edge,
    user: UserId,
    connection: Option<Uuid>,
    conversation: ConversationId,
    marker: &Marker,
) {
    let read = MessageRead {
        conversation_id: conversation,
        user_id: user,
        message_id: marker.message_id,
        seq: marker.seq,
        read_at: edge.clock.now(),
    };
    // Who has blocked the other one, or was blocked, is told nothing by reading.
    let is_told = !edge.blocks.is_severed(conversation);
    if is_told && let Some(payload) = signals::json(&read) {
        let signal = Signal {
            conversation,
            event: "messageRead".to_owned(),
            only_users: Vec::new(),
            except_users: Vec::new(),
            except_connection: None,
            payload,
        };
        signals::send(edge, signal).await;
    }
    signals::own_read(edge, user, connection, conversation, marker).await;
}
