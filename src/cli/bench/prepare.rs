//! Who takes part: users, their tokens and their conversations, made over REST before the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use hyper::Method;
use indicatif::ProgressBar;
use rand::seq::SliceRandom;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::codec::Id;
use super::engine::User;
use super::rest::{Base, Client};
use crate::cli::token;

/// REST calls at once. Creating is bound by Postgres' commits, which gather well at this number.
const PARALLEL_CALLS: usize = 16;

/// Tokens outlive any run.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// A conversation to be made; its first member makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Planned {
    pub members: Vec<u32>,
    pub direct: bool,
}

/// Who is in which conversation, and who sends.
#[derive(Debug)]
pub struct Plan {
    pub conversations: Vec<Planned>,
    /// Users below this number send, to the first conversation they are in.
    pub senders: u32,
    /// One line for the report.
    pub arrangement: String,
}

impl Plan {
    /// Pairs; both sides send.
    pub fn direct(users: u32, senders: u32) -> Self {
        let pairs = users / 2;
        let pair = |i| Planned { members: vec![i, i + pairs], direct: true };
        Self {
            conversations: (0..pairs).map(pair).collect(),
            senders,
            arrangement: format!("{pairs} direct conversations"),
        }
    }

    /// Everybody in one group.
    pub fn group(users: u32, senders: u32) -> Self {
        let members = (0..users).collect();
        Self {
            conversations: vec![Planned { members, direct: false }],
            senders,
            arrangement: format!("one group of {users}"),
        }
    }

    /// Nobody sends; everybody is in `each` conversations of `size` members.
    ///
    /// For direct conversations each user meets the next `each / 2` users in a ring. Groups are dealt
    /// anew for each round, so that a user meets different people in each of its groups.
    pub fn idle(users: u32, each: u32, size: u32) -> Self {
        let conversations: Vec<Planned> = if size == 2 {
            let pair = |i, k| Planned { members: vec![i, (i + k) % users], direct: true };
            (1..=each / 2).flat_map(|k| (0..users).map(move |i| pair(i, k))).collect()
        } else {
            let mut deck: Vec<u32> = (0..users).collect();
            let mut groups = Vec::new();
            for _ in 0..each {
                deck.shuffle(&mut rand::rng());
                let hands = deck.chunks(size as usize).filter(|hand| hand.len() > 1);
                groups.extend(hands.map(|hand| Planned { members: hand.to_vec(), direct: false }));
            }
            groups
        };
        let kind = if size == 2 { "direct".to_owned() } else { format!("groups of {size}") };
        let arrangement = format!("{} {kind}, {each} for each user", conversations.len());
        Self { conversations, senders: 0, arrangement }
    }
}

impl Plan {
    /// Clients that will be cut off, each in `each` groups of `size`, and a sender in the first of them who stays:
    /// a sender for each `size` clients. Senders come first.
    pub fn storm(clients: u32, each: u32, size: u32) -> Self {
        let senders = clients.div_ceil(size);
        let first = (0..senders).map(|sender| {
            let from = senders + sender * size;
            let group = from..(from + size).min(senders + clients);
            Planned { members: std::iter::once(sender).chain(group).collect(), direct: false }
        });
        let mut conversations: Vec<Planned> = first.collect();
        let quiet = Self::idle(clients, each - 1, size).conversations;
        conversations.extend(quiet.into_iter().map(|mut planned| {
            planned.members.iter_mut().for_each(|member| *member += senders);
            planned
        }));
        let arrangement = format!(
            "{clients} clients that are cut off, {each} groups of {size} each, {senders} senders that stay"
        );
        Self { conversations, senders, arrangement }
    }
}

/// Users, with tokens and conversations.
#[derive(Debug)]
pub struct Prepared {
    pub users: Vec<User>,
    pub conversations: Vec<Id>,
}

/// Makes new users and all conversations of the plan.
pub async fn prepare(
    base: &Base,
    secret: &str,
    users: u32,
    plan: Arc<Plan>,
    bar: ProgressBar,
) -> anyhow::Result<Prepared> {
    let ids: Arc<Vec<Uuid>> = Arc::new((0..users).map(|_| Uuid::new_v4()).collect());
    let tokens: anyhow::Result<Vec<String>> = {
        let named = |(number, id): (usize, &Uuid)| {
            token::sign(*id, Some(&format!("Bench {number}")), TOKEN_TTL, secret)
        };
        ids.iter().enumerate().map(named).collect()
    };
    let tokens = Arc::new(tokens?);
    let conversations = create_all(base, &plan, &ids, &tokens, &bar).await?;

    let mut users: Vec<User> = tokens
        .iter()
        .map(|token| User { token: token.clone(), conversations: Vec::new(), target: None })
        .collect();
    for (place, planned) in plan.conversations.iter().enumerate() {
        for member in &planned.members {
            let user = &mut users[*member as usize];
            user.conversations.push(place as u32);
            if *member < plan.senders {
                user.target.get_or_insert(place as u32);
            }
        }
    }
    Ok(Prepared { users, conversations })
}

async fn create_all(
    base: &Base,
    plan: &Arc<Plan>,
    ids: &Arc<Vec<Uuid>>,
    tokens: &Arc<Vec<String>>,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Id>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..PARALLEL_CALLS.min(plan.conversations.len()) {
        let mut client = Client::connect(base).await?;
        let (plan, ids, tokens) = (Arc::clone(plan), Arc::clone(ids), Arc::clone(tokens));
        let (next, bar) = (Arc::clone(&next), bar.clone());
        workers.spawn(async move {
            let mut made = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(planned) = plan.conversations.get(place) else {
                    return anyhow::Ok(made);
                };
                made.push((place, create(&mut client, planned, &ids, &tokens).await?));
                bar.inc(1);
            }
        });
    }
    let mut made = Vec::with_capacity(plan.conversations.len());
    while let Some(part) = workers.join_next().await {
        made.extend(part??);
    }
    made.sort_unstable_by_key(|(place, _)| *place);
    Ok(made.into_iter().map(|(_, id)| id).collect())
}

async fn create(
    client: &mut Client,
    planned: &Planned,
    ids: &[Uuid],
    tokens: &[String],
) -> anyhow::Result<Id> {
    let (creator, others) = planned.members.split_first().context("a conversation of nobody")?;
    let others: Vec<Uuid> = others.iter().map(|user| ids[*user as usize]).collect();
    let body = if planned.direct {
        json!({"type": "direct", "participantIds": others})
    } else {
        json!({"type": "group", "title": "Bench", "participantIds": others})
    };
    let token = &tokens[*creator as usize];
    let answer = client.json(Method::POST, "/messaging/conversations", token, Some(&body)).await?;
    let id = answer["id"].as_str().and_then(|id| id.as_bytes().try_into().ok());
    id.with_context(|| format!("the new conversation has no id: {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many conversations each user is in.
    fn seats(plan: &Plan, users: usize) -> Vec<usize> {
        let mut seats = vec![0; users];
        for member in plan.conversations.iter().flat_map(|c| &c.members) {
            seats[*member as usize] += 1;
        }
        seats
    }

    #[test]
    fn every_shape_seats_each_user_as_often_as_it_says() {
        assert_eq!(seats(&Plan::direct(10, 10), 10), [1; 10]);
        assert_eq!(seats(&Plan::group(5, 1), 5), [1; 5]);
        assert_eq!(seats(&Plan::idle(100, 20, 20), 100), [20; 100]);
        assert_eq!(seats(&Plan::idle(100, 20, 2), 100), [20; 100]);
        assert_eq!(seats(&Plan::storm(100, 3, 20), 105), [&[1; 5][..], &[3; 100][..]].concat());
        assert!(Plan::idle(50, 4, 2).conversations.iter().all(|c| c.members[0] != c.members[1]));
    }
}
