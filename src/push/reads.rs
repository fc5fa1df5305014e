//! What was read on one device is withdrawn from the others.
//!
//! That somebody has read is told by a signal, which may get lost; the decider looks through what is shown now and then
//! and finds what nobody told (`decide.rs`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bus::signals::{self, Signal};
use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::store::push::Read;
use crate::wire::event::MessageRead;

use super::Push;

/// The event's name among the signals.
const EVENT: &str = "messageRead";
/// Readers that may wait for a round, some 2 MB of them. Beyond it what they have read is found a little later.
const MAX_WAITING: usize = 20_000;
/// Readers of one statement: some 10 ms.
const ROUND: usize = 500;
/// How long a round is gathered. A dismissal is not urgent, and whoever scrolls through a conversation reads often.
const PACE: Duration = Duration::from_millis(100);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Who has read what since the last round.
#[derive(Debug, Default)]
pub struct Reads {
    waiting: Mutex<HashMap<(ConversationId, UserId), Seq>>,
    arrived: Notify,
}

impl Reads {
    fn take_in(&self, signal: &Signal) {
        if signal.event != EVENT {
            return;
        }
        let Ok(read) = serde_json::from_slice::<MessageRead>(&signal.payload) else {
            tracing::warn!("a messageRead is not one; ignored");
            return;
        };
        let mut waiting = self.waiting.lock();
        let key = (read.conversation_id, read.user_id);
        if waiting.len() < MAX_WAITING || waiting.contains_key(&key) {
            let seq = waiting.entry(key).or_default();
            *seq = read.seq.max(*seq);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    fn take(&self) -> Vec<Read> {
        let mut waiting = self.waiting.lock();
        let taken = waiting.extract_if(|_, _| true).take(ROUND);
        let read = |((conversation_id, user_id), seq)| Read { conversation_id, user_id, seq };
        taken.map(read).collect()
    }
}

impl Push {
    /// Listens until cancelled. Several workers share the signals.
    pub async fn listen_for_reads(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let listening = signals::share(&self.client, super::NAME, |s| self.reads.take_in(&s));
            tokio::select! {
                () = stop.cancelled() => return,
                ended = listening => if let Err(cause) = ended {
                    tracing::warn!(%cause, "reads are not heard; what is shown is looked through instead");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Notes what is to be withdrawn, until cancelled.
    pub async fn withdraw(self: Arc<Self>, stop: CancellationToken) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.reads.arrived.notified() => {}
            }
            loop {
                let pause = if failing { RETRY } else { PACE };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                let round = self.reads.take();
                if round.is_empty() {
                    break;
                }
                match self.store.withdraw_read(&round, self.clock.now()).await {
                    Ok(jobs) => {
                        failing = false;
                        self.planned(jobs);
                    }
                    // Found later, by looking through what is shown.
                    Err(cause) if failing => tracing::debug!(%cause, "reads are left for later"),
                    Err(cause) => {
                        failing = true;
                        tracing::warn!(%cause, "reads are left for later");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn signal(event: &str, payload: String) -> Signal {
        Signal {
            conversation: Uuid::nil(),
            event: event.to_owned(),
            only_users: Vec::new(),
            except_users: Vec::new(),
            except_connection: None,
            payload: payload.into(),
        }
    }

    fn read(user: u128, seq: u64) -> Signal {
        let (id, nil) = (Uuid::from_u128(user), Uuid::nil());
        let payload = format!(
            r#"{{"conversationId":"{nil}","userId":"{id}","messageId":null,"seq":{seq},"readAt":"2026-11-22T09:00:00.000Z"}}"#
        );
        signal(EVENT, payload)
    }

    #[test]
    fn the_furthest_read_of_each_person_waits_and_other_signals_do_not() {
        let reads = Reads::default();
        reads.take_in(&signal("userTyping", "{}".to_owned()));
        reads.take_in(&signal(EVENT, "[]".to_owned()));
        for (user, seq) in [(1, 5), (2, 7), (1, 9), (1, 8)] {
            reads.take_in(&read(user, seq));
        }
        let mut round = reads.take();
        round.sort_by_key(|read| read.user_id);
        let found: Vec<Seq> = round.iter().map(|read| read.seq).collect();
        assert_eq!(found, [9, 7]);
        assert!(reads.take().is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let reads = Reads::default();
        for user in 0..=MAX_WAITING as u128 {
            reads.take_in(&read(user, 1));
        }
        assert_eq!(reads.waiting.lock().len(), MAX_WAITING);
        assert_eq!(reads.take().len(), ROUND);
    }
}
