//! Taking events out of the log by their place.
//!
//! The server can overwrite what it removes, and then writes the whole block of the stream anew for each: 8 MB, of which a disk
//! takes some 50 a second, whatever is asked at once. Or it only forgets it: nothing gives the event back from then on, some
//! 6,000 a second, and its bytes go with the block, when half of that was forgotten or its time is over.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use async_nats::jetstream::response::Response;

use crate::domain::ids::Seq;
use crate::wire::subjects;

use super::BusError;
use super::log::Log;

/// So many at a time are overwritten: what people delete, with its edits. They take half a second or so, in which batches wait.
/// More of them are the end of a user's data, of a conversation, or of what is kept for a limited time, and would take hours.
const OVERWRITTEN: usize = 32;
/// Requests under way at a time: enough for the server never to wait for the next one.
const AT_ONCE: usize = 64;

/// "no message found" (10037) and "sequence not found" (10043, 10057): it is gone already.
const GONE: [u64; 3] = [10037, 10043, 10057];

/// The server's answer; what matters is that it is no error.
#[derive(Deserialize)]
struct Removed {
    #[serde(rename = "success")]
    _success: bool,
}

/// Takes what is stored at these places out of the log, a few of them overwriting it. Doing it twice is harmless.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer; some may be gone then.
pub async fn all(log: &Log, seqs: &[Seq]) -> Result<(), BusError> {
    let overwrite = seqs.len() <= OVERWRITTEN;
    // Copied: a closure over references would make the future's type too specific to be spawned.
    let removals = seqs.iter().copied().map(|seq| one(log, seq, overwrite));
    stream::iter(removals).buffer_unordered(AT_ONCE).try_collect().await
}

async fn one(log: &Log, seq: Seq, overwrite: bool) -> Result<(), BusError> {
    let subject = format!("STREAM.MSG.DELETE.{}", subjects::CHAT_STREAM);
    let request = json!({"seq": seq, "no_erase": !overwrite});
    let answer: Response<Removed> =
        log.context.request(subject, &request).await.map_err(BusError::unavailable)?;
    match answer {
        Response::Ok(_) => Ok(()),
        Response::Err { error } if GONE.contains(&error.error_code().0) => Ok(()),
        Response::Err { error } => Err(BusError::unavailable(error)),
    }
}
