//! The outbound queue of one connection: bounded, drained as a whole.
//!
//! The connection's task takes everything at once and writes it in one go, so what became ready together leaves
//! together. Whoever fills the queue decides when to wake the task: the fan-out wakes each connection once a
//! chunk of events, not once an event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use axum::extract::ws::Utf8Bytes;
use futures_util::task::AtomicWaker;

use crate::domain::ids::Seq;
use crate::wire::error::CloseCode;

use super::event::Origin;

/// One thing to write, shared by all receivers of the same protocol: a queue holds a pointer.
pub type Frame = Arc<Content>;

/// What a frame says.
#[derive(Debug)]
pub struct Content {
    pub text: Utf8Bytes,
    /// A second packet that belongs to it (Socket.IO's list update), counted as one with it.
    pub companion: Option<Utf8Bytes>,
    /// The event of the log that it carries; none for replies and signals.
    pub origin: Option<Origin>,
}

impl Content {
    /// A reply or a signal.
    pub fn plain(text: impl Into<Utf8Bytes>) -> Frame {
        Arc::new(Self { text: text.into(), companion: None, origin: None })
    }

    /// The place of its event in the log; 0 for replies and signals.
    pub fn seq(&self) -> Seq {
        self.origin.map_or(0, |origin| origin.seq)
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is the first that waits: the connection must be woken.
    First,
    /// Others wait already.
    Behind,
    /// The queue was full: the connection closes now, and its client resumes.
    Overflow,
    /// The connection is closing.
    Closed,
}

/// Connections that were woken and have not come to take their frames: what the scheduler owes. The fan-out
/// waits for them between two chunks of events, so that a burst meets the speed of sockets and not the
/// limit of queues. Who writes, or deals with a request, is not counted: nobody waits for a slow one.
pub type Awake = Arc<AtomicUsize>;

#[derive(Default)]
struct State {
    frames: VecDeque<Frame>,
    /// How many of them were only offered.
    offered: usize,
    closing: Option<CloseCode>,
    /// Counted in [`Awake`].
    awake: bool,
    /// Its task is at work and comes back by itself.
    occupied: bool,
    /// Events up to here reach the client another way, or have done so.
    after: Seq,
    /// What was missed is being replayed: nothing of what happens now may come before it, and it is read from
    /// the log in its turn.
    replaying: bool,
}

/// Frames on their way to one socket.
pub struct Queue {
    state: parking_lot::Mutex<State>,
    waker: AtomicWaker,
    limit: usize,
    awake: Awake,
}

/// What [`Queue::take`] found.
pub enum Taken {
    Frames,
    /// Frames that were only offered: there is no hurry.
    Offered,
    /// Nothing more will come; close with this code.
    Close(CloseCode),
}

impl Queue {
    /// At most `limit` frames wait; 0 turns the limit off.
    pub fn new(limit: usize, awake: Awake) -> Self {
        let limit = if limit == 0 { usize::MAX } else { limit };
        // Its task is still busy with the opening, and nobody waits for that either.
        let state = State { occupied: true, ..State::default() };
        Self { state: parking_lot::Mutex::new(state), waker: AtomicWaker::new(), limit, awake }
    }

    /// Adds a frame without waking the connection; see [`Queue::wake`].
    pub fn push(&self, frame: Frame) -> Pushed {
        self.push_to(&mut self.state.lock(), frame)
    }

    fn push_to(&self, state: &mut State, frame: Frame) -> Pushed {
        if state.closing.is_some() {
            return Pushed::Closed;
        }
        if state.replaying || (frame.origin.is_some() && frame.seq() <= state.after) {
            return Pushed::Behind;
        }
        if state.frames.len() >= self.limit {
            // The log is the buffer: what waits here is dropped, the client comes back with its cursor.
            state.frames = VecDeque::new();
            state.closing = Some(CloseCode::TooSlow);
            return Pushed::Overflow;
        }
        state.frames.push_back(frame);
        if state.awake || state.occupied {
            return Pushed::Behind;
        }
        state.awake = true;
        self.awake.fetch_add(1, Ordering::Relaxed);
        Pushed::First
    }

    /// Adds a frame and wakes the connection if needed.
    pub fn send(&self, frame: Frame) -> Pushed {
        let pushed = self.push(frame);
        if matches!(pushed, Pushed::First | Pushed::Overflow) {
            self.wake();
        }
        pushed
    }

    /// Adds a frame that nobody misses, unless half of the queue is taken: it must not be what closes a connection
    /// that has messages to wait for. `false` if it was dropped.
    pub fn offer(&self, frame: Frame) -> bool {
        let mut state = self.state.lock();
        let before = state.frames.len();
        if before >= self.limit / 2 {
            return false;
        }
        let pushed = self.push_to(&mut state, frame);
        state.offered += state.frames.len() - before;
        drop(state);
        if pushed == Pushed::First {
            self.wake();
        }
        true
    }

    /// Wakes the connection's task.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Lets what waits go out and closes then. The first reason stands.
    pub fn close(&self, code: CloseCode) {
        self.state.lock().closing.get_or_insert(code);
        self.wake();
    }

    /// From now on nothing is queued: what was missed comes first.
    pub fn begin_replay(&self) {
        self.state.lock().replaying = true;
    }

    /// Everything up to `seq` was replayed: from now on events behind it are queued.
    pub fn live_after(&self, seq: Seq) {
        let mut state = self.state.lock();
        state.replaying = false;
        state.after = seq;
    }

    /// Waits until there is something to take. For one task at a time.
    pub async fn ready(&self) {
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            let mut state = self.state.lock();
            state.occupied = false;
            let idle = state.frames.is_empty() && state.closing.is_none();
            if idle { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// The task turns to something else and comes back to [`Queue::ready`] by itself.
    pub fn occupied(&self) {
        self.occupy(&mut self.state.lock());
    }

    fn occupy(&self, state: &mut State) {
        state.occupied = true;
        if std::mem::take(&mut state.awake) {
            self.awake.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits until the connection is to close, and says why: for a write that does not get on.
    pub async fn closing(&self) -> CloseCode {
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            self.state.lock().closing.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Moves everything that waits into `out`.
    pub fn take(&self, out: &mut VecDeque<Frame>) -> Taken {
        let mut state = self.state.lock();
        self.occupy(&mut state);
        if state.frames.is_empty() {
            return state.closing.map_or(Taken::Frames, Taken::Close);
        }
        std::mem::swap(&mut state.frames, out);
        match std::mem::take(&mut state.offered) >= out.len() {
            true => Taken::Offered,
            false => Taken::Frames,
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.state.get_mut().awake {
            self.awake.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::event::EventKind;

    use super::*;

    fn frame() -> Frame {
        Content::plain("x")
    }

    /// A queue whose task waits.
    async fn waiting(limit: usize, awake: &Awake) -> Queue {
        let queue = Queue::new(limit, awake.clone());
        poll_once(&queue).await;
        queue
    }

    fn queue(limit: usize) -> Queue {
        Queue::new(limit, Awake::default())
    }

    #[tokio::test]
    async fn a_connection_that_is_still_opening_is_not_waited_for() {
        let awake = Awake::default();
        let queue = Queue::new(8, awake.clone());
        assert_eq!(queue.push(frame()), Pushed::Behind);
        assert_eq!(awake.load(Ordering::Relaxed), 0);
        queue.ready().await;
        let mut out = VecDeque::new();
        queue.take(&mut out);
        assert_eq!(out.len(), 1);
    }

    #[tokio::test]
    async fn the_scheduler_owes_a_woken_connection_until_it_comes() {
        let awake = Awake::default();
        let owed = || awake.load(Ordering::Relaxed);
        let queue = waiting(8, &awake).await;
        assert_eq!((queue.push(frame()), owed()), (Pushed::First, 1));
        let mut out = VecDeque::new();
        queue.ready().await;
        queue.take(&mut out);
        assert_eq!(owed(), 0);
        assert_eq!((queue.push(frame()), owed()), (Pushed::Behind, 0), "it writes: nobody waits");
        queue.ready().await;
        queue.take(&mut out);
        queue.close(CloseCode::Draining);
        queue.ready().await;
        drop(queue);
        assert_eq!(owed(), 0);
    }

    #[tokio::test]
    async fn a_connection_at_work_or_gone_is_not_waited_for() {
        let awake = Awake::default();
        let queue = waiting(8, &awake).await;
        queue.push(frame());
        queue.occupied();
        assert_eq!(awake.load(Ordering::Relaxed), 0);
        queue.ready().await;
        let other = waiting(8, &awake).await;
        other.push(frame());
        assert_eq!(awake.load(Ordering::Relaxed), 1);
        drop(other);
        assert_eq!(awake.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn only_the_first_frame_asks_for_a_wake() {
        let queue = waiting(3, &Awake::default()).await;
        assert_eq!(queue.push(frame()), Pushed::First);
        assert_eq!(queue.push(frame()), Pushed::Behind);
        let mut out = VecDeque::new();
        assert!(matches!(queue.take(&mut out), Taken::Frames));
        assert_eq!(out.len(), 2);
        assert_eq!(queue.push(frame()), Pushed::Behind, "it comes back by itself");
        queue.ready().await;
        queue.take(&mut out);
        queue.take(&mut VecDeque::new());
        poll_once(&queue).await;
        assert_eq!(queue.push(frame()), Pushed::First);
    }

    /// The task waits again.
    async fn poll_once(queue: &Queue) {
        tokio::select! {
            biased;
            () = queue.ready() => panic!("nothing is there"),
            () = std::future::ready(()) => {}
        }
    }

    #[test]
    fn what_was_replayed_is_not_queued_again() {
        let queue = queue(8);
        let event = |seq| {
            let (conversation, kind) = (uuid::Uuid::nil(), EventKind::NewMessage);
            let origin = Some(Origin { seq, conversation, kind, sender: None, stored_at: 1 });
            Arc::new(Content { text: "x".into(), companion: None, origin })
        };
        queue.begin_replay();
        queue.push(event(3));
        queue.push(frame());
        queue.live_after(4);
        for seq in [4, 5] {
            queue.push(event(seq));
        }
        queue.push(frame());
        let mut out = VecDeque::new();
        queue.take(&mut out);
        assert_eq!(out.iter().map(|frame| frame.seq()).collect::<Vec<_>>(), [5, 0]);
    }

    #[test]
    fn a_full_queue_drops_what_waits_and_closes_as_too_slow() {
        let queue = queue(2);
        queue.push(frame());
        queue.push(frame());
        assert_eq!(queue.push(frame()), Pushed::Overflow);
        assert_eq!(queue.push(frame()), Pushed::Closed);
        let mut out = VecDeque::new();
        assert!(matches!(queue.take(&mut out), Taken::Close(CloseCode::TooSlow)));
        assert!(out.is_empty());
    }

    #[test]
    fn what_is_offered_takes_half_of_the_queue_at_most_and_is_known_as_such() {
        let queue = queue(4);
        let mut out = VecDeque::new();
        assert!(queue.offer(frame()) && queue.offer(frame()) && !queue.offer(frame()));
        assert!(matches!(queue.take(&mut out), Taken::Offered));
        out.clear();
        assert!(queue.offer(frame()));
        queue.push(frame());
        assert!(matches!(queue.take(&mut out), Taken::Frames));
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn closing_lets_what_waits_go_out_first() {
        let queue = queue(2);
        queue.push(frame());
        queue.close(CloseCode::Draining);
        let mut out = VecDeque::new();
        assert!(matches!(queue.take(&mut out), Taken::Frames));
        out.clear();
        assert!(matches!(queue.take(&mut out), Taken::Close(CloseCode::Draining)));
    }
}
