//! A stretch of one conversation straight from the stream, by batch direct get.
//!
//! The request and the answer are those of the server's published design (ADR-31, "JetStream Direct Get API",
//! <https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md>). Any replica may
//! answer, so this is for what is no longer recent.

use std::time::Duration;

use async_nats::{Message, StatusCode};
use futures_util::StreamExt;
use jiff::Timestamp;

use crate::domain::ids::{ConversationId, Seq};
use crate::wire::subjects;

use super::BusError;
use super::log::{self, Entry, Log, LogEvent};
use super::reads;
use super::tail::seq_of;

/// The longest silence within an answer: a replica reads a batch from disk in some 10 ms.
const SILENCE: Duration = Duration::from_secs(2);
/// Bytes of one answer: a few hundred large messages, or thousands of usual ones.
const MAX_BYTES: u32 = 4 << 20;

/// Events of a conversation, in order.
#[derive(Debug, Default)]
pub struct Stretch {
    pub events: Vec<LogEvent>,
    /// There are more behind the last one.
    pub more: bool,
}

/// The first events, `limit` at most, of a conversation behind `after` and up to `until`.
///
/// # Errors
/// [`BusError::Unavailable`] without a complete answer.
pub async fn events(
    log: &Log,
    conversation: ConversationId,
    after: Seq,
    until: Seq,
    limit: usize,
) -> Result<Stretch, BusError> {
    let mut stretch = Stretch::default();
    let mut next = after + 1;
    let subject = subjects::chat(conversation);
    while next <= until {
        let batch = batch(log, &subject, next, limit + 1 - stretch.events.len()).await?;
        let Some(last) = batch.last() else { break };
        next = last + 1;
        // What is no event is the persister's to park.
        let events = batch.entries.into_iter().flatten();
        stretch.events.extend(events.filter(|event| event.seq <= until));
        if stretch.events.len() > limit {
            stretch.events.truncate(limit);
            stretch.more = true;
            break;
        }
        if batch.complete {
            break;
        }
    }
    Ok(stretch)
}

/// Entries of the log, in order, for a reader that goes through all of it.
#[derive(Debug, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Up to here nothing was left out; behind it the next page begins.
    pub through: Seq,
}

/// How often a replica is asked again that does not have yet what its leader has, and the pause before that. A
/// follower that is ten times this behind is no place to read from.
const LAGGING: u32 = 10;
const LAG: Duration = Duration::from_millis(200);

/// The entries from `from` up to `until`, of one conversation or of all, `size` at most.
///
/// # Errors
/// [`BusError::Unavailable`] without a complete answer, or while whoever answers lacks what the log's leader has.
pub async fn page(
    log: &Log,
    conversation: Option<ConversationId>,
    from: Seq,
    until: Seq,
    size: usize,
) -> Result<Page, BusError> {
    let subject = conversation.map_or_else(|| "chat.*.*".to_owned(), subjects::chat);
    for _ in 0..LAGGING {
        let mut batch = batch(log, &subject, from, size).await?;
        let last = batch.last();
        if last.is_none() && !batch.complete {
            return Err(BusError::unavailable("a direct get was answered with nothing"));
        }
        let is_done = last.is_some_and(|last| last >= until);
        if !is_done && batch.complete {
            // Any replica may answer. Whether this is the end is the leader's to say.
            let behind = last.map_or(from.saturating_sub(1), |last| last);
            let next = reads::next_behind(log, &subject, behind).await?;
            if next.is_some_and(|next| next <= until) {
                tokio::time::sleep(LAG).await;
                continue;
            }
        }
        batch.entries.retain(|entry| seq_of(entry) <= until);
        let through = if is_done || batch.complete { until } else { last.unwrap_or(until) };
        return Ok(Page { entries: batch.entries, through });
    }
    Err(BusError::unavailable("a replica of the log is behind its leader"))
}

struct Batch {
    entries: Vec<Entry>,
    /// There is nothing behind it.
    complete: bool,
}

async fn batch(log: &Log, subject: &str, from: Seq, size: usize) -> Result<Batch, BusError> {
    let client = log.context.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(BusError::unavailable)?;
    let request = serde_json::json!({
        "seq": from,
        "next_by_subj": subject,
        "batch": size,
        "max_bytes": MAX_BYTES,
    });
    let subject = format!("$JS.API.DIRECT.GET.{}", subjects::CHAT_STREAM);
    client
        .publish_with_reply(subject, inbox, request.to_string().into())
        .await
        .map_err(BusError::unavailable)?;
    let mut batch = Batch { entries: Vec::new(), complete: false };
    loop {
        let answer = tokio::time::timeout(SILENCE, answers.next()).await.ok().flatten();
        let answer =
            answer.ok_or_else(|| BusError::unavailable("a direct get was not answered"))?;
        match answer.status {
            None => batch.take(answer)?,
            Some(StatusCode::NOT_FOUND) => {
                batch.complete = true;
                return Ok(batch);
            }
            // The end of the batch, with the number of what lies behind it.
            Some(status) if status.as_u16() == 204 => {
                batch.complete = number(&answer, "Nats-Num-Pending") == Some(0);
                return Ok(batch);
            }
            Some(status) => {
                return Err(BusError::unavailable(format!("a direct get was answered {status}")));
            }
        }
    }
}

impl Batch {
    /// The last sequence of the answer, whether or not it was an event.
    fn last(&self) -> Option<Seq> {
        self.entries.last().map(seq_of)
    }

    fn take(&mut self, mut answer: Message) -> Result<(), BusError> {
        let lacking = || BusError::unavailable("a direct get's answer lacks its place");
        let seq = number(&answer, "Nats-Sequence").ok_or_else(lacking)?;
        let stored_at = header(&answer, "Nats-Time-Stamp").and_then(|at| at.parse().ok());
        let stored_at = stored_at.map_or(0, Timestamp::as_nanosecond);
        let subject = header(&answer, "Nats-Subject").ok_or_else(lacking)?.to_owned();
        answer.subject = subject.into();
        let stored_at = i64::try_from(stored_at).unwrap_or(i64::MAX);
        self.entries.push(log::decode(&answer, seq, stored_at));
        Ok(())
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.headers.as_ref()?.get(name).map(|value| value.as_str())
}

fn number(message: &Message, name: &str) -> Option<u64> {
    header(message, name)?.parse().ok()
}
