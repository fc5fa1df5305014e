//! What the fake knows: tokens it has issued, messages it has received, and how it was told to behave.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::sync::Notify;

use super::account::{self, Account};
use super::behaviour::Behaviour;

/// Messages kept unless told otherwise: at 2 KB each, 20 MB.
pub const KEPT: usize = 10_000;
/// Access tokens that are valid at a time; the oldest goes. A client keeps one.
const MAX_TOKENS: usize = 1000;

/// A message that was sent here.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// From 1, in the order of arrival.
    pub number: u64,
    /// Since the fake has started.
    pub at_ms: u64,
    pub token: String,
    /// Whether a device would get to see it.
    pub delivered: bool,
    /// The request's `message`.
    pub message: Box<RawValue>,
}

/// A rule and how often it still applies.
#[derive(Debug, Clone)]
struct Rule {
    behaviour: Behaviour,
    times: Option<u64>,
}

/// How access tokens are given out.
#[derive(Debug, Clone)]
pub struct Issuing {
    pub refuse: bool,
    pub down: bool,
    pub life: Duration,
}

/// What has happened, in numbers.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub received: u64,
    pub delivered: u64,
    pub tokens_asked: u64,
    pub tokens_issued: u64,
    /// Requests with a message that are being answered.
    pub in_flight: u64,
    pub most_in_flight: u64,
}

#[derive(Debug)]
struct State {
    counts: Counts,
    kept: VecDeque<Received>,
    rules: HashMap<String, Rule>,
    everywhere: Rule,
    issuing: Issuing,
    issued: VecDeque<(String, Instant)>,
}

/// What is done with each message, besides keeping it.
type Listener = Box<dyn Fn(&Received) + Send + Sync>;

/// A Google of our own.
pub struct Fake {
    pub account: Account,
    pub token_url: String,
    keep: usize,
    started: Instant,
    state: Mutex<State>,
    listener: OnceLock<Listener>,
    arrived: Notify,
}

impl Fake {
    pub fn new(account: Account, url: &str, keep: usize) -> Self {
        let state = State {
            counts: Counts::default(),
            kept: VecDeque::new(),
            rules: HashMap::new(),
            everywhere: Rule { behaviour: Behaviour::Ok, times: None },
            issuing: Issuing { refuse: false, down: false, life: Duration::from_secs(3600) },
            issued: VecDeque::new(),
        };
        Self {
            account,
            token_url: account::token_url(url),
            keep,
            started: Instant::now(),
            state: Mutex::new(state),
            listener: OnceLock::new(),
            arrived: Notify::new(),
        }
    }

    /// Has `listener` called with each message from now on. Once only.
    pub fn listen(&self, listener: Listener) {
        if self.listener.set(listener).is_err() {
            tracing::warn!("somebody listens to the fake FCM already");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An access token and its life, or `None` as ordered.
    pub fn issue(&self, now: Instant) -> Option<(String, Duration)> {
        let mut state = self.state();
        state.counts.tokens_asked += 1;
        if state.issuing.refuse || state.issuing.down {
            return None;
        }
        let life = state.issuing.life;
        let token = format!("fake-{:032x}", rand::random::<u128>());
        if state.issued.len() == MAX_TOKENS {
            state.issued.pop_front();
        }
        state.issued.push_back((token.clone(), now + life));
        state.counts.tokens_issued += 1;
        Some((token, life))
    }

    pub fn is_issued(&self, token: &str, now: Instant) -> bool {
        self.state().issued.iter().any(|(issued, over)| issued == token && now < *over)
    }

    pub fn issuing(&self) -> Issuing {
        self.state().issuing.clone()
    }

    pub fn set_issuing(&self, change: impl FnOnce(&mut Issuing)) {
        change(&mut self.state().issuing);
    }

    pub fn revoke_all(&self) {
        self.state().issued.clear();
    }

    /// From now on, for one device or for all that have no rule of their own; `times` bounds how often.
    pub fn behave(&self, token: Option<String>, behaviour: Behaviour, times: Option<u64>) {
        let rule = Rule { behaviour, times };
        let mut state = self.state();
        match token {
            Some(token) => drop(state.rules.insert(token, rule)),
            None => state.everywhere = rule,
        }
    }

    /// Takes note of a message; says how to answer it, and its number.
    pub fn receive(&self, token: &str, message: Box<RawValue>, now: Instant) -> (Behaviour, u64) {
        let mut state = self.state();
        let behaviour = state.behaviour_for(token);
        state.counts.received += 1;
        state.counts.delivered += u64::from(behaviour.delivers());
        state.counts.in_flight += 1;
        state.counts.most_in_flight = state.counts.most_in_flight.max(state.counts.in_flight);
        let since = now.duration_since(self.started).as_millis();
        let received = Received {
            number: state.counts.received,
            at_ms: u64::try_from(since).unwrap_or(u64::MAX),
            token: token.to_owned(),
            delivered: behaviour.delivers(),
            message,
        };
        let number = received.number;
        if let Some(listener) = self.listener.get() {
            listener(&received);
        }
        if self.keep > 0 {
            if state.kept.len() >= self.keep {
                state.kept.pop_front();
            }
            state.kept.push_back(received);
        }
        drop(state);
        self.arrived.notify_waiters();
        (behaviour, number)
    }

    /// A message was answered, or its sender has gone.
    pub fn answered(&self) {
        self.state().counts.in_flight -= 1;
    }

    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// Everything kept, as soon as that many messages have come, and in any case after `patience`.
    pub async fn received(&self, at_least: u64, patience: Duration) -> Vec<Received> {
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Listening begins before the look, so that nothing slips between.
            arrived.as_mut().enable();
            if self.state().counts.received >= at_least {
                break;
            }
            tokio::select! {
                () = arrived => {}
                () = &mut deadline => break,
            }
        }
        self.state().kept.iter().cloned().collect()
    }

    /// Forgets what was received; numbers go on.
    pub fn forget(&self) {
        self.state().kept.clear();
    }
}

impl State {
    fn behaviour_for(&mut self, token: &str) -> Behaviour {
        match self.rules.get_mut(token) {
            Some(rule) => match rule.apply() {
                Some(behaviour) => behaviour,
                None => {
                    self.rules.remove(token);
                    Behaviour::Ok
                }
            },
            None => self.everywhere.apply().unwrap_or(Behaviour::Ok),
        }
    }
}

impl Rule {
    fn apply(&mut self) -> Option<Behaviour> {
        if let Some(times) = &mut self.times {
            *times = times.checked_sub(1)?;
        }
        Some(self.behaviour.clone())
    }
}

/// Would FCM take this message? Otherwise the field that is wrong.
pub fn check(message: &Value) -> Result<(), &'static str> {
    if message["token"].as_str().is_none_or(str::is_empty) {
        return Err("message");
    }
    for (key, value) in message["data"].as_object().into_iter().flatten() {
        if !value.is_string() {
            return Err("message.data[0].value");
        }
        if ["from", "message_type", "gcm"].contains(&key.as_str()) || key.starts_with("google.") {
            return Err("message.data[0].key");
        }
    }
    Ok(())
}
