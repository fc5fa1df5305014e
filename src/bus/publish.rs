//! Publishing to the log.
//!
//! One task reads all PubAcks from one inbox and completes what waits for them; one timer looks after all
//! time-outs. A request per publish (a timer, a channel and a map entry each) costs more than the publish
//! itself, and in async-nats an unanswered one is never forgotten.
//!
//! **Order.** Publishes leave in the order of the calls. When one goes unanswered, or finds no leader, the
//! publisher *stalls*: what comes later waits behind it, the oldest is sent again with the same
//! `Nats-Msg-Id` until the stream answers, and then the rest follow in their order. The stream's duplicate
//! window makes sending again harmless. A connection that breaks is given up with all that was handed to it, and
//! everything unanswered is sent anew on the next: what it had not written must not overtake what it had.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{ConversationId, Seq};
use crate::telemetry::metrics::Metrics;
use crate::wire::event::{EVENT_HEADER, EventKind};
use crate::wire::subjects;

use super::log::TRACE_HEADER;
use super::{BusError, connect};

mod ack;
mod pending;

use pending::{Pending, Queue};

/// What to publish.
pub struct Record {
    pub conversation: ConversationId,
    pub kind: EventKind,
    /// The stream stores one of several with the same id within its duplicate window.
    pub msg_id: String,
    pub payload: Bytes,
    /// After this the stream drops it, if given. Whole seconds, one at least.
    pub ttl: Option<Duration>,
    /// A W3C `traceparent`, when the request is traced.
    pub trace: Option<String>,
}

/// The stream's acceptance: from here on the event is not lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub seq: Seq,
    /// The stream had it already; `seq` is the original's.
    pub duplicate: bool,
    /// It had to be sent more than once, so that the stream may know it from this very publish.
    pub repeated: bool,
}

/// Called once, with the outcome. It runs on the task that reads acknowledgements: it must not block.
pub type Completion = Box<dyn FnOnce(Result<Stored, BusError>) + Send>;

/// How the publisher waits.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a publish is tried before it fails as unavailable. An election takes 4 to 9 s.
    pub retry_for: Duration,
    /// How long one attempt may go unanswered. Long enough for a slow disk, short enough to try several
    /// times while an election runs.
    pub attempt: Duration,
}

/// How often time-outs are looked at while anything waits: a twentieth of the default attempt.
const TICK: Duration = Duration::from_millis(100);

/// For how long a log that turned something away counts as taking nothing: a probe of a balancer falls into it.
const LATELY: Duration = Duration::from_secs(10);

/// Publishes that may wait for their acknowledgement. At 15,000 a second it is four seconds of traffic: more
/// than any healthy stream takes, and less than an outage would bring.
const MAX_PENDING: usize = 65_536;

/// Bytes that may wait. 65,536 messages of 1 KiB; a few of the largest cannot take all memory either.
const MAX_PENDING_BYTES: usize = 64 << 20;

/// Publishes to the log. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

/// A connection, until it breaks.
struct Line {
    client: Client,
    /// Acknowledgements arrive on `<inbox>.<token>`.
    inbox: String,
}

struct Shared {
    line: parking_lot::Mutex<Arc<Line>>,
    queue: parking_lot::Mutex<Queue>,
    /// Wakes the time-out loop when the queue is no longer empty.
    filled: Notify,
    /// Keeps the order of calls into the client equal to the order of tokens.
    order: tokio::sync::Mutex<()>,
    /// When the log turned something away, unless it has taken it since.
    turned_away_at: parking_lot::Mutex<Option<Instant>>,
    settings: Settings,
    metrics: Arc<Metrics>,
}

impl Publisher {
    /// Makes a publisher with a connection of its own, and the work that must run beside it.
    ///
    /// # Errors
    /// As [`connect::connect`], and [`BusError::Unavailable`] when the inbox cannot be subscribed to.
    pub async fn start(
        nats: connect::Settings,
        name: &'static str,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Driver), BusError> {
        let (line, acks) = Line::open(&nats, &[], name).await?;
        let shared = Arc::new(Shared {
            line: parking_lot::Mutex::new(Arc::new(line)),
            queue: parking_lot::Mutex::new(Queue::new(MAX_PENDING, MAX_PENDING_BYTES)),
            filled: Notify::new(),
            order: tokio::sync::Mutex::new(()),
            turned_away_at: parking_lot::Mutex::new(None),
            settings,
            metrics,
        });
        Ok((Self { shared: shared.clone() }, Driver { shared, acks, nats, name }))
    }

    /// Is the connection up at this moment?
    pub fn is_connected(&self) -> bool {
        connect::is_connected(&self.shared.line().client)
    }

    /// Has the log turned away what it was sent last, a moment ago? Nobody knows how it is when nothing is sent.
    pub fn is_turned_away(&self) -> bool {
        self.shared.turned_away_at.lock().is_some_and(|at| at.elapsed() < LATELY)
    }

    /// Sends a record; `done` learns the outcome. Returns when the record has its place in the order, so
    /// that calls made one after another are stored in that order.
    pub async fn submit(&self, record: Record, done: Completion) {
        self.shared.submit(record, done).await;
    }

    /// Sends a record and waits for the outcome.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] after `retry_for`, [`BusError::Overloaded`], or [`BusError::Refused`].
    pub async fn publish(&self, record: Record) -> Result<Stored, BusError> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        let completion = Box::new(move |result| {
            // The caller may have gone away meanwhile; the event is stored all the same.
            let _ = done.send(result);
        });
        self.submit(record, completion).await;
        outcome.await.unwrap_or_else(|_| Err(BusError::unavailable("the publisher has stopped")))
    }

    /// Publishes that wait for an acknowledgement now.
    pub fn in_flight(&self) -> usize {
        self.shared.queue.lock().len()
    }
}

impl Line {
    async fn open(
        nats: &connect::Settings,
        discovered: &[String],
        name: &'static str,
    ) -> Result<(Self, async_nats::Subscriber), BusError> {
        let client = connect::connect_once(nats, discovered, name).await?;
        let inbox = client.new_inbox();
        let acks = client.subscribe(format!("{inbox}.*")).await.map_err(BusError::unavailable)?;
        Ok((Self { client, inbox }, acks))
    }
}

impl Shared {
    fn line(&self) -> Arc<Line> {
        self.line.lock().clone()
    }

    async fn submit(&self, record: Record, done: Completion) {
        let now = Instant::now();
        let pending = Pending {
            subject: subjects::chat(record.conversation),
            headers: headers(&record),
            payload: record.payload,
            done,
            deadline: now + self.settings.retry_for,
            sent_at: Some(now),
            attempts: 1,
            refusal: None,
        };
        // Held over the hand-over to the client's queue, which is the order on the wire. It is not held
        // over any round trip: the client's queue is drained by its own task.
        let order = self.order.lock().await;
        let admitted = self.queue.lock().push(pending);
        let (token, sent) = match admitted {
            Ok(admitted) => admitted,
            Err(done) => return done(Err(BusError::Overloaded)),
        };
        self.filled.notify_one();
        let Some((subject, headers, payload)) = sent else {
            return; // Stalled: the driver sends it in its turn.
        };
        self.send(token, subject, headers, payload).await;
        drop(order);
    }

    /// Hands a message to the connection. A failure needs no handling here: without an acknowledgement the
    /// attempt times out and is repeated.
    async fn send(&self, token: u64, subject: String, headers: HeaderMap, payload: Bytes) {
        let Line { client, inbox } = &*self.line();
        if !connect::is_connected(client) {
            self.queue.lock().unsent(token, None);
            return;
        }
        let reply = format!("{inbox}.{token}");
        let sending = client.publish_with_reply_and_headers(subject, reply, headers, payload);
        // Should the connection break just now, the client's queue can fill up; waiting longer than an
        // attempt would only delay the decision to fail.
        if !matches!(tokio::time::timeout(self.settings.attempt, sending).await, Ok(Ok(()))) {
            self.queue.lock().unsent(token, None);
        }
    }

    /// The log has no leader or no room: tried again, and told once for each time that it happens.
    fn turned_away(&self, token: u64, cause: String) {
        self.metrics.publishes_turned_away.inc();
        *self.turned_away_at.lock() = Some(Instant::now());
        if self.queue.lock().unsent(token, Some(cause.clone())) {
            tracing::warn!(cause, "the log takes no messages now; trying again");
        }
    }

    fn acknowledged(&self, token: u64, message: &Message) {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            self.turned_away(token, "no leader".to_owned());
            return;
        }
        match ack::parse(&message.payload) {
            Ok((seq, duplicate)) => {
                let taken = self.queue.lock().take(token);
                if let Some(pending) = taken {
                    self.metrics.published.inc();
                    let repeated = pending.attempts > 1;
                    if repeated {
                        *self.turned_away_at.lock() = None;
                    }
                    (pending.done)(Ok(Stored { seq, duplicate, repeated }));
                }
            }
            Err(ack::Failure::Temporary(cause)) => self.turned_away(token, cause),
            Err(ack::Failure::InProcess) => self.queue.lock().in_process(token),
            Err(ack::Failure::Final(cause)) => {
                let taken = self.queue.lock().take(token);
                if let Some(pending) = taken {
                    (pending.done)(Err(BusError::Refused(cause)));
                }
            }
        }
    }

    /// Fails what has waited too long and sends again what needs it.
    async fn sweep(&self) {
        let now = Instant::now();
        let expired = self.queue.lock().expired(now);
        for pending in expired {
            let cause = match pending.refusal {
                Some(refusal) => format!("no acknowledgement in time; at last: {refusal}"),
                None => "no acknowledgement in time".to_owned(),
            };
            (pending.done)(Err(BusError::unavailable(cause)));
        }
        let order = self.order.lock().await;
        let due = self.queue.lock().due(now, self.settings.attempt);
        for resend in due {
            self.metrics.publish_retries.inc();
            self.send(resend.token, resend.subject, resend.headers, resend.payload).await;
        }
        drop(order);
    }
}

fn headers(record: &Record) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, record.msg_id.as_str());
    headers.insert(EVENT_HEADER, record.kind.as_str());
    if let Some(ttl) = record.ttl {
        // Up to the next second: never before its time.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        headers.insert(async_nats::header::NATS_MESSAGE_TTL, seconds.max(1).to_string());
    }
    if let Some(trace) = &record.trace {
        headers.insert(TRACE_HEADER, trace.as_str());
    }
    headers
}

/// The work beside a [`Publisher`]: reads acknowledgements and watches over time-outs.
pub struct Driver {
    shared: Arc<Shared>,
    acks: async_nats::Subscriber,
    nats: connect::Settings,
    name: &'static str,
}

impl Driver {
    /// Runs until cancelled; what still waits then fails as unavailable.
    pub async fn run(mut self, stop: CancellationToken) {
        let sweeper = self.shared.clone();
        let sweeping = async move {
            loop {
                if sweeper.queue.lock().is_empty() {
                    sweeper.filled.notified().await;
                }
                tokio::time::sleep(TICK).await;
                sweeper.sweep().await;
            }
        };
        let shared = self.shared.clone();
        let reading = async {
            loop {
                let skip = self.shared.line().inbox.len() + 1;
                while let Some(message) = self.acks.next().await {
                    let token = message.subject.get(skip..).and_then(|t| t.parse().ok());
                    if let Some(token) = token {
                        self.shared.acknowledged(token, &message);
                    }
                }
                self.connect_again().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sweeping => {}
            () = reading => {}
        }
        let abandoned = shared.queue.lock().close();
        for pending in abandoned {
            (pending.done)(Err(BusError::unavailable("shutting down")));
        }
    }
    /// A new connection in place of one that broke.
    async fn connect_again(&mut self) {
        let discovered = connect::discovered(&self.shared.line().client);
        for attempt in 1.. {
            tokio::time::sleep(connect::reconnect_delay(attempt)).await;
            match Line::open(&self.nats, &discovered, self.name).await {
                Ok((line, acks)) => {
                    self.acks = acks;
                    // Nothing is handed over in between.
                    let order = self.shared.order.lock().await;
                    *self.shared.line.lock() = Arc::new(line);
                    self.shared.queue.lock().broken();
                    drop(order);
                    return;
                }
                Err(cause) => tracing::debug!(%cause, attempt, "NATS cannot be reached"),
            }
        }
    }
}
