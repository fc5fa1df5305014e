//! From the outbound queue into the socket: what is ready together leaves in one write.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::SinkExt;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::edge::Edge;
use crate::edge::hub::queue::{Frame, Queue, Taken};
use crate::edge::hub::registry::Connection;
use crate::wire::error::CloseCode;

use super::proof::Proof;

/// How long one write may take before the peer counts as gone: two heartbeats of the default.
const STALLED: Duration = Duration::from_secs(50);
/// How long a write may go on once the connection is to close: a client that reads at all has what waits by then,
/// and one that does not must not hold up a node that leaves.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// Capacity that a connection's batch keeps between writes: a quiet one keeps nothing to speak of.
const KEEP: usize = 16;

/// What nobody waits for is written in pieces of so many bytes. A socket keeps the memory that its largest write took,
/// and people's coming and going reaches those who are otherwise quiet: they have as much from being greeted.
const PIECE: usize = 512;

/// Why writing ended.
pub enum End {
    /// Close with this code.
    Close(CloseCode),
    /// The socket is gone.
    Gone,
}

/// Writes everything that waits.
pub async fn drain(
    edge: &Edge,
    connection: &Connection,
    socket: &mut WebSocket,
    proof: &mut Proof,
    batch: &mut VecDeque<Frame>,
) -> Result<(), End> {
    let piece = match connection.queue.take(batch) {
        Taken::Close(code) => return Err(End::Close(code)),
        Taken::Offered => PIECE,
        Taken::Frames => usize::MAX,
    };
    let frames = batch.len();
    if frames == 0 {
        return Ok(());
    }
    let stored = |frame: &Frame| frame.origin.map(|origin| origin.stored_at);
    let oldest = batch.iter().find_map(stored);
    let events = batch.iter().filter(|frame| frame.origin.is_some()).count();
    let writing = async {
        let now = Instant::now();
        let mut waiting = 0;
        for frame in batch.drain(..) {
            feed(socket, &frame).await?;
            waiting += frame.text.len();
            if waiting >= piece {
                socket.flush().await?;
                waiting = 0;
            }
            proof.written(&frame, connection.user, &edge.deliveries, now);
        }
        finish(proof, socket, now).await
    };
    in_time(connection, writing).await?;
    if batch.capacity() > KEEP {
        batch.shrink_to(KEEP);
    }
    edge.metrics.frames_out.of(connection.protocol).inc_by(frames as u64);
    if let Some(oldest) = oldest {
        // All of the write count with the one that waited longest: at most a few milliseconds too much.
        let now = Timestamp::now().as_nanosecond();
        let took = u64::try_from(now - i128::from(oldest)).unwrap_or(0);
        edge.metrics.stored_to_delivered.observe_many(Duration::from_nanos(took), events as u64);
    }
    Ok(())
}

/// Writes what somebody missed, in as few writes as it takes. Frames are made as they are written: for a slow client
/// none wait.
pub async fn replay(
    edge: &Edge,
    connection: &Connection,
    socket: &mut WebSocket,
    proof: &mut Proof,
    frames: impl Iterator<Item = Frame>,
) -> Result<(), axum::Error> {
    let now = Instant::now();
    let mut count = 0;
    for frame in frames {
        feed(socket, &frame).await?;
        proof.written(&frame, connection.user, &edge.deliveries, now);
        count += 1;
    }
    finish(proof, socket, now).await?;
    edge.metrics.frames_out.of(connection.protocol).inc_by(count);
    Ok(())
}

/// Asks for proof of what was written before; it has waited for the second to be over.
pub async fn ask(
    connection: &Connection,
    socket: &mut WebSocket,
    proof: &mut Proof,
) -> Result<(), End> {
    in_time(connection, finish(proof, socket, Instant::now())).await
}

async fn in_time(
    connection: &Connection,
    writing: impl Future<Output = Result<(), axum::Error>>,
) -> Result<(), End> {
    tokio::select! {
        written = tokio::time::timeout(STALLED, writing) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Close(CloseCode::HeartbeatMissed)),
        },
        code = given_up(&connection.queue) => Err(End::Close(code)),
    }
}

/// Lets everything go out, with the ping behind it if one is due.
async fn finish(
    proof: &mut Proof,
    socket: &mut WebSocket,
    now: Instant,
) -> Result<(), axum::Error> {
    if let Some(payload) = proof.ping(now) {
        socket.feed(Message::Ping(payload)).await?;
    }
    socket.flush().await
}

async fn feed(socket: &mut WebSocket, frame: &Frame) -> Result<(), axum::Error> {
    socket.feed(Message::Text(frame.text.clone())).await?;
    match &frame.companion {
        Some(companion) => socket.feed(Message::Text(companion.clone())).await,
        None => Ok(()),
    }
}

/// Waits until a write is not worth waiting for any more.
async fn given_up(queue: &Queue) -> CloseCode {
    let code = queue.closing().await;
    // Where the queue was full, the client has had its chance.
    if code != CloseCode::TooSlow {
        tokio::time::sleep(LAST_WRITE).await;
    }
    code
}
