//! What has been sent and not yet acknowledged, in the order of sending.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::time::Instant;

use super::Completion;

/// One publish that waits.
pub struct Pending {
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Bytes,
    pub done: Completion,
    /// After this it fails.
    pub deadline: Instant,
    /// When it was last sent; `None` when it must be sent (again).
    pub sent_at: Option<Instant>,
    /// How often it was sent.
    pub attempts: u32,
    /// Why the log turned it away last time.
    pub refusal: Option<String>,
}

/// What [`Queue::push`] admits: its token, and the message to send unless the queue is stalled.
type Admitted = (u64, Option<(String, HeaderMap, Bytes)>);

/// A message to send again.
pub struct Resend {
    pub token: u64,
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Bytes,
}

/// Publishes by token. Tokens count up, acknowledgements come mostly in order, so a deque whose front is
/// popped as it completes serves as the map.
pub struct Queue {
    slots: VecDeque<Option<Pending>>,
    /// The token of the first slot.
    base: u64,
    waiting: usize,
    bytes: usize,
    /// Set while the oldest is being tried again: what comes later waits behind it.
    stalled: bool,
    /// The stream has answered since the queue stalled.
    answered: bool,
    closed: bool,
    max: usize,
    max_bytes: usize,
}

impl Queue {
    pub fn new(max: usize, max_bytes: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            base: 0,
            waiting: 0,
            bytes: 0,
            stalled: false,
            answered: false,
            closed: false,
            max,
            max_bytes,
        }
    }

    pub fn len(&self) -> usize {
        self.waiting
    }

    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Admits a publish, or gives its completion back when there is no room.
    pub fn push(&mut self, mut pending: Pending) -> Result<Admitted, Completion> {
        // The slots are bounded as well: one that is never answered must not let them grow behind it.
        let full =
            self.slots.len() >= self.max || self.bytes + pending.payload.len() > self.max_bytes;
        if full || self.closed {
            return Err(pending.done);
        }
        let send = if self.stalled {
            pending.sent_at = None;
            pending.attempts = 0;
            None
        } else {
            Some((pending.subject.clone(), pending.headers.clone(), pending.payload.clone()))
        };
        self.bytes += pending.payload.len();
        self.waiting += 1;
        let token = self.base + self.slots.len() as u64;
        self.slots.push_back(Some(pending));
        Ok((token, send))
    }

    /// Takes a publish out because its outcome is known.
    pub fn take(&mut self, token: u64) -> Option<Pending> {
        let slot = usize::try_from(token.checked_sub(self.base)?).ok()?;
        let pending = self.slots.get_mut(slot)?.take()?;
        self.answered = true;
        self.forget(&pending);
        Some(pending)
    }

    /// Notes that a publish has to be sent again, and stalls what comes later. Returns whether that is news.
    pub fn unsent(&mut self, token: u64, refusal: Option<String>) -> bool {
        let slot = token.checked_sub(self.base).and_then(|at| usize::try_from(at).ok());
        let Some(Some(pending)) = slot.and_then(|at| self.slots.get_mut(at)) else { return false };
        pending.sent_at = None;
        pending.refusal = refusal.or(pending.refusal.take());
        self.stall()
    }

    /// The connection broke: what was handed to it may be lost, and is sent again on the next one.
    pub fn broken(&mut self) {
        if !self.is_empty() {
            self.stalled = false;
            self.stall();
        }
    }

    /// As [`Self::unsent`], for one that met another of the same id: it does not count as an attempt, because what the
    /// next one finds stored is not its own.
    pub fn in_process(&mut self, token: u64) {
        let slot = token.checked_sub(self.base).and_then(|at| usize::try_from(at).ok());
        if let Some(Some(pending)) = slot.and_then(|at| self.slots.get_mut(at)) {
            pending.attempts = pending.attempts.saturating_sub(1);
        }
        self.unsent(token, None);
    }

    /// Takes out what has passed its deadline.
    pub fn expired(&mut self, now: Instant) -> Vec<Pending> {
        let late = |slot: &mut Option<Pending>| slot.take_if(|pending| pending.deadline <= now);
        let expired: Vec<_> = self.slots.iter_mut().filter_map(late).collect();
        for pending in &expired {
            self.forget(pending);
        }
        expired
    }

    /// What to send now. While stalled and unanswered that is the oldest alone, as a probe; once the stream
    /// has answered anything, all that is unsent goes out in its order.
    pub fn due(&mut self, now: Instant, attempt: Duration) -> Vec<Resend> {
        let mut timed_out = false;
        for pending in self.slots.iter_mut().flatten() {
            if pending.sent_at.is_some_and(|at| now.duration_since(at) >= attempt) {
                pending.sent_at = None;
                timed_out = true;
            }
        }
        if timed_out {
            self.stall();
        }
        if !self.stalled {
            return Vec::new();
        }
        if self.answered {
            self.stalled = false;
            // The probe as well: it may have been lost, and the answer have been to another.
            self.doubt_all();
            return self.resend(now, usize::MAX);
        }
        match self.slots.iter().flatten().next() {
            Some(oldest) if oldest.sent_at.is_some() => Vec::new(),
            _ => self.resend(now, 1),
        }
    }

    /// Returns whether it was not stalled before.
    fn stall(&mut self) -> bool {
        if self.stalled {
            return false;
        }
        self.stalled = true;
        self.answered = false;
        self.doubt_all();
        true
    }

    /// What is on its way may be lost as well, and what comes behind it must not pass it: all of it is sent
    /// again, in its order. The stream stores each once.
    fn doubt_all(&mut self) {
        for pending in self.slots.iter_mut().flatten() {
            pending.sent_at = None;
        }
    }

    fn resend(&mut self, now: Instant, limit: usize) -> Vec<Resend> {
        let base = self.base;
        let unsent = self.slots.iter_mut().enumerate().filter_map(|(at, slot)| {
            let pending = slot.as_mut().filter(|p| p.sent_at.is_none())?;
            pending.sent_at = Some(now);
            pending.attempts += 1;
            Some(Resend {
                token: base + at as u64,
                subject: pending.subject.clone(),
                headers: pending.headers.clone(),
                payload: pending.payload.clone(),
            })
        });
        unsent.take(limit).collect()
    }

    /// Takes everything out and admits nothing more.
    pub fn close(&mut self) -> Vec<Pending> {
        self.closed = true;
        self.waiting = 0;
        self.bytes = 0;
        self.slots.drain(..).flatten().collect()
    }

    fn forget(&mut self, pending: &Pending) {
        self.waiting -= 1;
        self.bytes -= pending.payload.len();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: Duration = Duration::from_secs(1);

    fn pending(now: Instant) -> Pending {
        Pending {
            subject: "chat.00.x".into(),
            headers: HeaderMap::new(),
            payload: Bytes::from_static(b"{}"),
            done: Box::new(|_| {}),
            deadline: now + Duration::from_secs(10),
            sent_at: Some(now),
            attempts: 1,
            refusal: None,
        }
    }

    fn tokens(resends: &[Resend]) -> Vec<u64> {
        resends.iter().map(|r| r.token).collect()
    }

    #[test]
    fn a_stalled_queue_probes_with_the_oldest_and_then_sends_the_rest_in_order() {
        let start = Instant::now();
        let mut queue = Queue::new(10, 1000);
        for _ in 0..3 {
            assert!(queue.push(pending(start)).is_ok_and(|(_, send)| send.is_some()));
        }
        let late = start + ATTEMPT;
        assert_eq!(tokens(&queue.due(late, ATTEMPT)), [0], "the oldest alone");
        assert!(queue.push(pending(late)).is_ok_and(|(_, send)| send.is_none()), "waits behind it");
        assert!(queue.due(late, ATTEMPT).is_empty(), "the probe is under way");
        assert!(queue.take(0).is_some());
        assert_eq!(tokens(&queue.due(late, ATTEMPT)), [1, 2, 3]);
        assert!(queue.push(pending(late)).is_ok_and(|(_, send)| send.is_some()), "flows again");
    }

    #[test]
    fn what_was_on_its_way_when_the_queue_stalled_is_not_overtaken() {
        let start = Instant::now();
        let mut queue = Queue::new(10, 1000);
        for _ in 0..4 {
            assert!(queue.push(pending(start)).is_ok());
        }
        // The connection broke: 1 and 2 were handed over and lost, 3 was not. 0 is answered late.
        assert!(queue.unsent(3, None));
        assert!(!queue.unsent(3, None), "it is known");
        assert!(queue.take(0).is_some());
        assert_eq!(tokens(&queue.due(start, ATTEMPT)), [1, 2, 3]);
    }

    #[test]
    fn an_answer_is_taken_once_and_makes_room() {
        let now = Instant::now();
        let mut queue = Queue::new(1, 1000);
        assert!(queue.push(pending(now)).is_ok());
        assert!(queue.push(pending(now)).is_err(), "no room");
        assert!(queue.take(0).is_some());
        assert!(queue.take(0).is_none());
        assert!(queue.is_empty());
        assert!(queue.push(pending(now)).is_ok_and(|(token, _)| token == 1));
    }

    #[test]
    fn what_waited_too_long_comes_out_and_nothing_else() {
        let start = Instant::now();
        let mut queue = Queue::new(10, 1000);
        assert!(queue.push(pending(start)).is_ok());
        assert!(queue.push(pending(start + ATTEMPT)).is_ok());
        assert_eq!(queue.expired(start + Duration::from_secs(10)).len(), 1);
        assert_eq!(queue.len(), 1);
        assert!(queue.take(1).is_some());
    }

    #[test]
    fn one_that_met_another_of_its_id_is_sent_again_as_if_for_the_first_time() {
        let now = Instant::now();
        let mut queue = Queue::new(10, 1000);
        assert!(queue.push(pending(now)).is_ok());
        queue.in_process(0);
        assert_eq!(tokens(&queue.due(now, ATTEMPT)), [0]);
        assert!(queue.take(0).is_some_and(|pending| pending.attempts == 1));
    }

    #[test]
    fn a_closed_queue_gives_back_what_it_held_and_admits_nothing() {
        let now = Instant::now();
        let mut queue = Queue::new(10, 1000);
        assert!(queue.push(pending(now)).is_ok());
        assert_eq!(queue.close().len(), 1);
        assert!(queue.push(pending(now)).is_err());
    }
}
