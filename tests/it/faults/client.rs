//! A client as an app would have one: it keeps its cursor and what is not acknowledged, comes back whenever its
//! connection breaks, on any edge, repeats with `attempt`, and reloads when it is told to.
//!
//! Its decisions follow from the seed; what it goes through is noted for the checker.

mod files;
mod ops;
mod rest;
mod session;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::link::{Gone, Link, Opened, Place, Protocol};
use super::record::{At, Device, What, now};
use crate::harness::User;
use ops::Pending;
use rest::{Called, Http};

/// What all clients know.
pub struct Cast {
    /// `http://…` of each edge, through the network that breaks.
    pub edges: Vec<String>,
    /// Conversations, with those who stay in them.
    pub conversations: Vec<Scene>,
}

/// A conversation and its people.
#[derive(Debug, Clone)]
pub struct Scene {
    pub id: Uuid,
    /// They stay; the first is an admin.
    pub members: Vec<Uuid>,
    /// They come and go.
    pub guests: Vec<Uuid>,
}

/// What the runner wants.
#[derive(Debug, Clone)]
pub enum Order {
    Talk,
    /// Nothing new; what is not acknowledged is brought to an end.
    Finish,
    /// Until these places of the user's conversations were seen.
    Until(Arc<BTreeMap<Uuid, Vec<(Uuid, u64)>>>),
    Stop,
}

/// What the runner sees of a client.
#[derive(Default)]
pub struct Status {
    /// It has done what it was ordered to.
    pub idle: AtomicBool,
    pub accepted: AtomicUsize,
    pub resumed: AtomicUsize,
    pub resets: AtomicUsize,
}

/// What the app has to load because it was told to.
#[derive(Debug, Clone, Copy)]
enum Need {
    Everything { until: At },
    Gap { conversation: Uuid, after: u64, before: u64 },
}

/// Pauses between two attempts to connect, before some randomness.
const BACKOFF: Duration = Duration::from_millis(100);

pub struct Client {
    pub record: Device,
    pub status: Arc<Status>,
    user: User,
    protocol: Protocol,
    random: StdRng,
    cast: Arc<Cast>,
    orders: watch::Receiver<Order>,
    http: Http,
    place: Place,
    pending: VecDeque<Pending>,
    calls: JoinSet<Called>,
    needs: VecDeque<Need>,
    loading: bool,
    /// Own messages that may still be edited and deleted.
    own: Vec<Uuid>,
    /// The last few messages of each conversation.
    seen: BTreeMap<Uuid, VecDeque<(u64, Uuid)>>,
    newest: BTreeMap<Uuid, u64>,
    next_name: u32,
    /// When to come back at the earliest.
    back_at: Instant,
}

impl Client {
    pub fn new(
        name: &str,
        user: &User,
        protocol: Protocol,
        random: StdRng,
        cast: Arc<Cast>,
        orders: watch::Receiver<Order>,
    ) -> Self {
        let record = Device { name: name.to_owned(), user: user.id, ..Device::default() };
        Self {
            record,
            status: Arc::default(),
            user: user.clone(),
            protocol,
            random,
            cast,
            orders,
            http: Http::new(),
            place: Place::default(),
            pending: VecDeque::new(),
            calls: JoinSet::new(),
            needs: VecDeque::new(),
            loading: false,
            own: Vec::new(),
            seen: BTreeMap::new(),
            newest: BTreeMap::new(),
            next_name: 0,
            back_at: Instant::now(),
        }
    }

    /// Lives until it is told to stop.
    pub async fn run(mut self) -> Device {
        let mut orders = self.orders.clone();
        let stopped = async move {
            // The runner that goes without a word wants nobody to stay.
            let _ = orders.wait_for(|order| matches!(order, Order::Stop)).await;
        };
        tokio::select! {
            () = stopped => {}
            () = self.live() => {}
        }
        self.record
    }

    async fn live(&mut self) {
        loop {
            // A client that was sent away comes back when it was told to; one that broke, a moment later.
            let pause = BACKOFF.mul_f64(self.random.random_range(0.5..2.0));
            tokio::time::sleep_until(self.back_at.max(Instant::now() + pause)).await;
            let edge = self.random.random_range(0..self.cast.edges.len());
            let Some((link, recovered)) = self.connect(edge).await else { continue };
            let end = self.serve(link, recovered).await;
            self.status.idle.store(false, Ordering::SeqCst);
            self.record.note(What::Lost { code: end.0 });
            for pending in &mut self.pending {
                pending.connection_lost();
            }
        }
    }

    async fn connect(&mut self, edge: usize) -> Option<(Link, bool)> {
        let (token, is_valid) = self.token();
        let cursor = self.place.cursor.clone();
        let url = self.cast.edges[edge].clone();
        let opened = Link::open(&url, self.protocol, &token, &self.place).await;
        let Opened { link, recovered, place } = match opened {
            Ok(opened) => opened,
            Err(Gone(4401)) if is_valid => {
                self.record.complaints.push(format!("edge {edge} refused a valid token"));
                return None;
            }
            Err(_) => return None,
        };
        if !is_valid {
            self.record.complaints.push(format!("edge {edge} took an expired token"));
        }
        if recovered {
            self.status.resumed.fetch_add(1, Ordering::Relaxed);
        }
        let native_will_reset = self.protocol == Protocol::Native && cursor.is_some();
        self.record.note(What::Connected { edge, cursor, recovered });
        self.place = place;
        if !recovered && !native_will_reset {
            self.needs.push_back(Need::Everything { until: now() });
        }
        Some((link, recovered))
    }

    /// Most tokens are good for an hour. Some expire soon; and some clients believe in another time, and come with
    /// one that has expired long ago.
    fn token(&mut self) -> (String, bool) {
        if !matches!(*self.orders.borrow(), Order::Talk) || self.place.cursor.is_none() {
            return (self.user.token.clone(), true);
        }
        match self.random.random_range(0..100) {
            0..5 => (self.user.with_token_for(-600).token, false),
            5..15 => {
                let seconds = self.random.random_range(1..4);
                (self.user.with_token_for(seconds).token, true)
            }
            _ => (self.user.token.clone(), true),
        }
    }

    /// Any edge, for a REST call.
    fn any_edge(&mut self) -> String {
        self.cast.edges[self.random.random_range(0..self.cast.edges.len())].clone()
    }

    fn sees(&mut self, conversation: Uuid, seq: u64, id: Uuid) {
        let newest = self.newest.entry(conversation).or_default();
        *newest = (*newest).max(seq);
        let seen = self.seen.entry(conversation).or_default();
        seen.push_back((seq, id));
        if seen.len() > 20 {
            seen.pop_front();
        }
    }

    fn is_done(&self) -> bool {
        let quiet = self.pending.is_empty() && self.calls.is_empty() && self.needs.is_empty();
        match &*self.orders.borrow() {
            Order::Talk | Order::Stop => false,
            Order::Finish => quiet,
            Order::Until(places) => {
                let own = places.get(&self.user.id).into_iter().flatten();
                let seen = |(conversation, seq): &(Uuid, u64)| {
                    self.newest.get(conversation).is_some_and(|newest| newest >= seq)
                };
                quiet && own.into_iter().all(seen)
            }
        }
    }
}
