//! How far Postgres is, told by the persister after every commit.
//!
//! A core subject: a lost notice costs a reader one look at the database, nothing more.

use async_nats::Client;
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::domain::ids::Seq;
use crate::wire::event::itoa;
use crate::wire::subjects;

use super::BusError;

/// Tells everyone that Postgres has everything up to `seq`.
///
/// # Errors
/// [`BusError::Unavailable`] when the connection is closed.
pub async fn announce(client: &Client, seq: Seq) -> Result<(), BusError> {
    let text = itoa(seq, &mut [0; 20]).to_vec();
    client.publish(subjects::PROGRESS, text.into()).await.map_err(BusError::unavailable)
}

/// Keeps `progress` at the highest sequence that was announced, until the connection closes.
///
/// # Errors
/// [`BusError::Unavailable`] when the subscription ends.
pub async fn follow(client: &Client, progress: watch::Sender<Seq>) -> Result<(), BusError> {
    let mut notices = client.subscribe(subjects::PROGRESS).await.map_err(BusError::unavailable)?;
    while let Some(notice) = notices.next().await {
        let seq = std::str::from_utf8(&notice.payload).ok().and_then(|t| t.parse::<Seq>().ok());
        let Some(seq) = seq else {
            tracing::warn!("a progress notice is not a number; ignored");
            continue;
        };
        progress.send_if_modified(|known| {
            let ahead = seq > *known;
            *known = seq.max(*known);
            ahead
        });
    }
    Err(BusError::unavailable("the progress subscription ended"))
}
