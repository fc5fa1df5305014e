//! One connection of a client, until it ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Client, Need, Order};
use crate::faults::link::{Gone, Incoming, Link};
use crate::faults::record::{Event, What, now};

/// How often a client does something.
const PACE: Duration = Duration::from_millis(60);
/// Without a sign of life for so long, the client asks for one.
const QUIET: Duration = Duration::from_millis(1_500);
/// Without an answer to that for so long, the connection is given up.
const SILENCE: Duration = Duration::from_secs(6);
/// Every request gets a reply in this time while the connection lives: a publish is tried for 10 s, and a database
/// that does not answer is waited for nearly as long.
const REPLY: Duration = Duration::from_secs(30);
/// Coming back has an end.
const CAUGHT_UP: Duration = Duration::from_secs(30);
/// What a client leaves with that goes into the background.
const AWAY: u16 = 1000;

/// What is known of a connection.
struct Watch {
    heard: Instant,
    pinged: Option<Instant>,
    /// It goes on where the client was, and has not said yet that it has come to the present.
    catching_up: Option<Instant>,
    edge_is_leaving: bool,
}

impl Client {
    /// Until the connection ends, or the client has had enough of it.
    pub(super) async fn serve(&mut self, mut link: Link, recovered: bool) -> Gone {
        let start = Instant::now();
        let mut watch = Watch {
            heard: start,
            pinged: None,
            catching_up: recovered.then_some(start),
            edge_is_leaving: false,
        };
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let idle = watch.catching_up.is_none() && self.is_done();
            self.status.idle.store(idle, Ordering::SeqCst);
            tokio::select! {
                incoming = link.next() => match incoming {
                    Ok(incoming) => {
                        watch.heard = Instant::now();
                        watch.pinged = None;
                        self.take(incoming, &mut watch);
                    }
                    Err(gone) => return gone,
                },
                Some(called) = self.calls.join_next(), if !self.calls.is_empty() => {
                    self.called(called.expect("a call does not panic"));
                }
                _ = ticks.tick() => {
                    if let Err(gone) = self.tick(&mut link, &mut watch).await {
                        return gone;
                    }
                    if self.goes_away() {
                        link.close().await;
                        return Gone(AWAY);
                    }
                }
            }
        }
    }

    async fn tick(&mut self, link: &mut Link, watch: &mut Watch) -> Result<(), Gone> {
        let now = Instant::now();
        if watch.pinged.is_some_and(|at| now - at > SILENCE) {
            return Err(Gone(1006));
        }
        if watch.pinged.is_none() && now - watch.heard > QUIET {
            watch.pinged = Some(now);
            link.request("ping", &json!({})).await?;
        }
        if watch.catching_up.is_some_and(|since| now - since > CAUGHT_UP) {
            self.record.complaints.push("it never caught up".to_owned());
            watch.catching_up = None;
        }
        let unanswered =
            |sent: Option<(u64, Instant)>| sent.is_some_and(|(_, at)| now - at > REPLY);
        if let Some(pending) = self.pending.iter().find(|pending| unanswered(pending.sent)) {
            self.record.complaints.push(format!("no reply to {:?} in 30 s", pending.op));
            return Err(Gone(1006));
        }
        if matches!(*self.orders.borrow(), Order::Talk) && !watch.edge_is_leaving {
            self.act();
        }
        self.load();
        if !watch.edge_is_leaving {
            for pending in &mut self.pending {
                if pending.sent.is_none() && pending.not_before <= now {
                    let (op, data) = pending.request();
                    pending.sent = Some((link.request(op, &data).await?, now));
                }
            }
        }
        Ok(())
    }

    /// Now and then somebody puts the phone away.
    fn goes_away(&mut self) -> bool {
        // Not before it has a place to come back to.
        let may = matches!(*self.orders.borrow(), Order::Talk) && self.place.cursor.is_some();
        if !may || !self.random.random_bool(0.004) {
            return false;
        }
        self.back_at = Instant::now() + Duration::from_millis(self.random.random_range(50..2_000));
        true
    }

    fn take(&mut self, incoming: Incoming, watch: &mut Watch) {
        match incoming {
            Incoming::Nothing => {}
            Incoming::Malformed(text) => {
                self.record.complaints.push(format!("got a malformed frame: {text}"));
            }
            Incoming::Reply { id, result } => {
                let is_it = |at: Option<(u64, Instant)>| at.is_some_and(|(sent, _)| sent == id);
                if let Some(at) = self.pending.iter().position(|p| is_it(p.sent)) {
                    let pending = self.pending.remove(at).expect("it is there");
                    self.settle(pending, result);
                }
            }
            Incoming::Event { name, cursor, data } => {
                let place = cursor.as_deref().and_then(place_of);
                self.event(&name, place, &data, watch);
                if cursor.is_some() {
                    // Kept together with what it stands for, as an app does in one transaction.
                    self.place.cursor = cursor;
                }
            }
        }
    }

    fn event(&mut self, name: &str, cursor: Option<u64>, data: &Value, watch: &mut Watch) {
        match name {
            "reset" => {
                self.status.resets.fetch_add(1, Ordering::Relaxed);
                watch.catching_up = None;
                self.record.note(What::Reset);
                self.needs.push_back(Need::Everything { until: now() });
            }
            "caughtUp" => {
                watch.catching_up = None;
                self.record.note(What::CaughtUp);
            }
            "limited" => {
                let gap = || {
                    let conversation: Uuid = data["conversationId"].as_str()?.parse().ok()?;
                    let (after, before) = (data["afterSeq"].as_u64()?, data["beforeSeq"].as_u64()?);
                    Some(Need::Gap { conversation, after, before })
                };
                match gap() {
                    Some(need) => self.needs.push_back(need),
                    None => self.record.complaints.push(format!("limited with {data}")),
                }
            }
            "reconnect" => {
                watch.edge_is_leaving = true;
                let after = data["afterMs"].as_u64().unwrap_or_default().min(2_000);
                self.back_at = Instant::now() + Duration::from_millis(after);
            }
            _ => {
                // Signals have no place and are not noted.
                if let (Some(event), Some(_)) = (Event::read(name, data), cursor) {
                    if let Event::New(message) = &event {
                        self.sees(message.conversation, message.seq, message.id);
                    }
                    self.record.note(What::Event { cursor, event });
                }
            }
        }
    }
}

/// The place in a cursor. Clients take it for opaque; the checker does not.
fn place_of(cursor: &str) -> Option<u64> {
    cursor.rsplit_once('.')?.1.parse().ok()
}
