//! Tells people of each other's coming and going.
//!
//! As with arrivals, one round is with the database while the next gathers: 10,000 users who come at once are 40
//! rounds. Each contact of a user is told once, however many conversations they share, and only if they are online;
//! the node where they are gets one message a round with all that concerns its connections.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::bus::statuses;
use crate::domain::ids::UserId;
use crate::domain::presence::{ProcessId, Status};
use crate::edge::Edge;
use crate::edge::hub::frames::{Event, Shared};
use crate::store::StoreError;
use crate::wire;
use crate::wire::presence::{News as Letter, UserStatusChanged};

use super::news::{News, Waiting};

const EVENT: &str = "userStatusChanged";
/// Users of one round. At 50 contacts each the database returns 13,000 rows, in some 20 ms.
const ROUND: usize = 256;
/// Contacts of one user who are told. With the largest round that is 256,000 rows, 10 MB for a moment. Whoever knows
/// more people than that is followed by those who look.
const MAX_CONTACTS: u32 = 1_000;
/// Pairs of a follower and a user that are looked up at once.
const PAIRS: usize = 2_000;
/// Bytes of a message to another node, a quarter of what NATS takes by default.
const MAX_BYTES: usize = 256 << 10;
/// How long a database that does not answer is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Tells what there is to tell, until cancelled.
pub async fn run(edge: Arc<Edge>, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let mut round = edge.presence.with(|state, _| state.waiting.take(ROUND));
        if round.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = edge.presence.news.notified() => continue,
            }
        }
        match tell(&edge, &mut round).await {
            Ok(()) => failing = false,
            Err(
                cause @ (StoreError::Refused(_) | StoreError::Bug(_) | StoreError::Settings(_)),
            ) => {
                tracing::error!(%cause, "who is online cannot be told");
            }
            Err(cause) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%cause, "nobody can be told who is online; what waits is told later");
                }
                edge.presence.with(|state, _| state.waiting.put_back(round));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    }
}

/// Tells the news of one round; what was told is taken out of it.
async fn tell(edge: &Edge, round: &mut Waiting) -> Result<(), StoreError> {
    tell_followers(edge, &round.followers).await?;
    round.followers.clear();
    if round.contacts.is_empty() {
        return Ok(());
    }
    let users: Vec<UserId> = round.contacts.keys().copied().collect();
    let gone: Vec<(UserId, Timestamp)> = round
        .contacts
        .values()
        .filter_map(|news| Some((news.status.user_id, news.status.last_seen_at?)))
        .collect();
    let noted = async {
        match gone.is_empty() {
            true => Ok(()),
            false => edge.store.last_seen(&gone).await,
        }
    };
    let known = edge.store.contacts(&users, edge.presence.max_group, MAX_CONTACTS);
    let ((), contacts) = tokio::try_join!(noted, known)?;
    edge.metrics.presence.rounds.inc();
    for (to, letters) in address(edge, &round.contacts, &contacts) {
        send(edge, to, letters).await;
    }
    Ok(())
}

/// What each node is to pass on.
fn address(
    edge: &Edge,
    news: &HashMap<UserId, News>,
    contacts: &HashMap<UserId, Vec<UserId>>,
) -> HashMap<ProcessId, Vec<Draft>> {
    let mut drafts: HashMap<ProcessId, Vec<Draft>> = HashMap::new();
    edge.presence.with(|state, now| {
        for (user, news) in news {
            // What has changed again meanwhile is announced by whoever saw that.
            if state.is_online(*user, now.instant) != news.status.is_online {
                continue;
            }
            let contacts = contacts.get(user).into_iter().flatten();
            for contact in contacts.filter(|contact| !edge.blocks.are_apart(*user, **contact)) {
                for process in state.processes_of(*contact) {
                    let drafts = drafts.entry(process).or_default();
                    match drafts.last_mut() {
                        Some(draft) if draft.about == *user => {
                            // On two edges of one process for a moment, when it has just begun anew.
                            if draft.to.last() != Some(contact) {
                                draft.to.push(*contact);
                            }
                        }
                        _ => drafts.push(Draft { about: *user, news: *news, to: vec![*contact] }),
                    }
                }
            }
        }
    });
    drafts
}

/// News of one user for one node.
struct Draft {
    about: UserId,
    news: News,
    to: Vec<UserId>,
}

async fn send(edge: &Edge, to: ProcessId, drafts: Vec<Draft>) {
    let mut letters = String::new();
    for draft in drafts {
        edge.metrics.presence.told.inc_by(draft.to.len() as u64);
        match write(draft) {
            Ok(letter) => {
                if !letters.is_empty() && letters.len() + letter.len() > MAX_BYTES {
                    post(edge, to, std::mem::take(&mut letters)).await;
                }
                letters.push(if letters.is_empty() { '[' } else { ',' });
                letters.push_str(&letter);
            }
            Err(cause) => tracing::error!(%cause, "a status cannot be written"),
        }
    }
    if !letters.is_empty() {
        post(edge, to, letters).await;
    }
}

fn write(draft: Draft) -> serde_json::Result<String> {
    let data = RawValue::from_string(data(draft.news))?;
    serde_json::to_string(&Letter { about: draft.about, data: &data, to: draft.to })
}

fn data(news: News) -> String {
    let status = wire::presence::Status::from(news.status);
    let changed = UserStatusChanged { status, timestamp: news.at };
    serde_json::to_string(&changed).expect("ids, flags and times are JSON")
}

async fn post(edge: &Edge, to: ProcessId, mut letters: String) {
    letters.push(']');
    edge.metrics.presence.messages.inc();
    let letters = Bytes::from(letters);
    if to == edge.presence.process() {
        return deliver(edge, &letters);
    }
    if let Err(cause) = statuses::send(&edge.signals, to, letters).await {
        tracing::debug!(%cause, "a node was not told who is online");
    }
}

/// Passes on what another node, or this one, has to say to connections here.
pub fn deliver(edge: &Edge, letters: &Bytes) {
    let letters: Vec<Letter<'_>> = match serde_json::from_slice(letters) {
        Ok(letters) => letters,
        Err(cause) => return tracing::warn!(%cause, "news of who is online cannot be read"),
    };
    for letter in letters {
        let followers = edge.presence.with(|state, _| state.followers.of(letter.about));
        let event = Event::passing(EVENT, letter.data.get().as_bytes());
        let mut shared = Shared::default();
        // The node that wrote it may not have heard yet that one has blocked the other.
        let may_see = |user: &&UserId| !edge.blocks.are_apart(letter.about, **user);
        for user in letter.to.iter().filter(may_see) {
            edge.hub.registry().connections_of(*user, |connection| {
                // A follower hears of it without anyone's announcement.
                if !followers.iter().any(|follower| follower.id == connection.id) {
                    connection.queue.offer(shared.of(connection.protocol, &event));
                }
            });
        }
    }
}

/// Tells all connections of a user here what another one's status is for them.
pub fn tell_one(edge: &Edge, viewer: UserId, status: Status) {
    let data = data(News { status, at: edge.clock.now() });
    let event = Event::passing(EVENT, data.as_bytes());
    let mut shared = Shared::default();
    edge.hub.registry().connections_of(viewer, |connection| {
        connection.queue.offer(shared.of(connection.protocol, &event));
    });
}

/// Tells those connections of this node that follow a user and still share a conversation with them.
async fn tell_followers(edge: &Edge, news: &HashMap<UserId, News>) -> Result<(), StoreError> {
    let mut followers = Vec::new();
    edge.presence.with(|state, _| {
        for user in news.keys() {
            followers
                .extend(state.followers.of(*user).into_iter().map(|follower| (follower, *user)));
        }
    });
    for followers in followers.chunks(PAIRS) {
        let pairs: Vec<(UserId, UserId)> =
            followers.iter().map(|(follower, user)| (follower.user, *user)).collect();
        let sharing: HashSet<(UserId, UserId)> =
            edge.store.sharing(&pairs).await?.into_iter().collect();
        let may_see = |pair: &(UserId, UserId)| {
            sharing.contains(pair) && !edge.blocks.are_apart(pair.0, pair.1)
        };
        let mut frames: HashMap<UserId, (String, Shared)> = HashMap::new();
        for ((follower, user), pair) in followers.iter().zip(&pairs) {
            let Some(news) = news.get(user).filter(|_| may_see(pair)) else { continue };
            let (data, shared) =
                frames.entry(*user).or_insert_with(|| (data(*news), Shared::default()));
            let event = Event::passing(EVENT, data.as_bytes());
            follower.queue.offer(shared.of(follower.protocol, &event));
        }
    }
    Ok(())
}
