//! The first thing on a connection whose client comes back: what it missed, then `caughtUp`, then what is live.
//!
//! What is replayed goes straight into the socket and not through the queue: a slow client slows down only its own
//! replay. Until it is done nothing is queued for the connection.

use std::time::Duration;

use axum::extract::ws::WebSocket;

use crate::domain::ids::Seq;
use crate::edge::hub::replay::Returning;
use crate::edge::resume::{Page, Replay, Start, frames};
use crate::wire::error::{ApiError, CloseCode};
use crate::wire::event::Cursor;

use super::session::Session;
use super::writer;

/// How long the client may take for a stretch: two heartbeats of the default, like any write.
const STALLED: Duration = Duration::from_secs(50);

/// Brings a client that comes back to where live events begin, or tells it why that is not possible.
///
/// # Errors
/// The code to close with, or none when the client has gone.
pub async fn run(
    session: &mut Session,
    socket: &mut WebSocket,
    start: Start,
) -> Result<(), Option<CloseCode>> {
    let edge = session.edge.clone();
    let since = match start {
        Start::Fresh => return Ok(()),
        Start::Reset(reason) => {
            edge.metrics.replayed("reset");
            let protocol = session.connection.protocol;
            session.queue(frames::reset(&edge.hub, protocol, session.cursor, reason));
            return Ok(());
        }
        Start::Since(seq) => seq,
    };
    let began = tokio::time::Instant::now();
    let connection = session.connection.clone();
    let closing = connection.queue.closing();
    let through = tokio::select! {
        replayed = replay(session, socket, since) => replayed?,
        code = closing => return Err(Some(code)),
    };
    session.cursor = through;
    edge.metrics.resumed.observe(began.elapsed());
    Ok(())
}

async fn replay(
    session: &mut Session,
    socket: &mut WebSocket,
    since: Seq,
) -> Result<Seq, Option<CloseCode>> {
    let (edge, connection) = (session.edge.clone(), session.connection.clone());
    let mut replay = Replay::new(&edge, Returning::Connection(&connection), since);
    loop {
        let page = replay.next().await.map_err(|cause| Some(refused(session, &cause)))?;
        let Page { through, end, .. } = page;
        let last = end.then(|| frames::caught_up(&edge.hub, connection.protocol, through));
        let frames = frames::page(&edge.hub, connection.protocol, &page).chain(last);
        let writing = writer::replay(&edge, &connection, socket, &mut session.proof, frames);
        match tokio::time::timeout(STALLED, writing).await {
            Ok(Ok(())) if end => return Ok(through),
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(None),
            Err(_) => return Err(Some(CloseCode::TooSlow)),
        }
    }
}

fn refused(session: &Session, cause: &ApiError) -> CloseCode {
    session.edge.metrics.error(cause.code.as_str());
    super::refusal_code(cause)
}

/// The cursor that a connection begins with.
pub fn cursor(session: &Session) -> Cursor {
    Cursor { epoch: session.edge.hub.epoch().to_owned(), seq: session.cursor }
}
