//! Finding messages, for one who may read them: those of their conversations, as they are now.
//!
//! The store proposes candidates, the newest first, in windows; [`crate::domain::search`] compares them with the query and
//! ranks what answers. A page goes through a window by rank and then to the next, older one. A cursor names its window, so
//! that the pages of a search fit together while people go on writing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::domain::message::Message;
use crate::domain::search::matching::{matches, rank};
use crate::domain::search::query::{Alternative, Query};
use crate::domain::search::snippet::snippet;
use crate::store::search::Searched;
use crate::store::search::candidates::{Asked, Candidate, Filter, Found, Needle};
use crate::wire::error::ApiError;

use super::error::store as store_error;
use super::{Edge, freshness, reactions};
use plan::{Plan, Scope, plan};

mod plan;

/// Searches of a node at a time: a quarter of its connections to Postgres, so that histories never wait behind them.
const AT_ONCE: usize = 4;
/// How long a search waits for its turn: that of a hundred others.
const TURN: Duration = Duration::from_secs(2);
/// Windows of one request. A page that is not full by then has a cursor to go on from.
const WINDOWS: usize = 4;
/// With fewer results words with a slip count as well. To find out which there are costs up to 75 ms.
const FEW: usize = 5;
/// Behind the end of any log.
const END: Seq = i64::MAX as Seq;

/// Whose turn it is.
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turns {
    async fn take(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        match tokio::time::timeout(TURN, self.0.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(ApiError::unavailable()),
        }
    }
}

/// A search.
#[derive(Debug, Clone)]
pub struct Search {
    pub query: Query,
    /// In one conversation only.
    pub only: Option<ConversationId>,
    pub filter: Filter,
    pub place: Place,
    pub limit: usize,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind so many results.
    Skip(usize),
    Behind(Key),
}

/// A place among the results: behind that rank in that window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Ranks depend on how old messages are, seen from this second.
    pub as_of: i64,
    /// Do words with one slip count?
    pub with_slips: bool,
    /// The window: this place in the log and behind, up to before that one. A `low` of 0: not known yet.
    pub low: Seq,
    pub high: Seq,
    pub rank: u64,
    pub seq: Seq,
}

/// A page of results.
pub struct Results {
    pub hits: Vec<Hit>,
    pub next: Option<Key>,
}

/// A message that answers, with where it is and why it was found.
pub struct Hit {
    pub message: Message,
    pub conversation: Searched,
    pub snippet: String,
}

struct Ranked {
    rank: u64,
    candidate: Candidate,
    snippet: String,
}

/// Results, where the next page begins, and whether some were looked for in what is not indexed yet.
struct Collected {
    ranked: Vec<Ranked>,
    next: Option<Key>,
    is_behind: bool,
}

/// Looks for messages.
///
/// # Errors
/// `not_a_participant` for a conversation that is not the user's, `unavailable`.
pub async fn search(edge: &Edge, user: UserId, search: &Search) -> Result<Results, ApiError> {
    let _turn = edge.searches.take().await?;
    freshness::everything(edge).await;
    let conversations = edge.store.searched(user, search.only).await.map_err(store_error)?;
    if conversations.is_empty() && search.only.is_some() {
        return Err(ApiError::not_a_participant());
    }
    if conversations.is_empty() {
        return Ok(Results { hits: Vec::new(), next: None });
    }
    let looking = Looking { edge, search, conversations: &conversations };
    let (ranked, next) = looking.page().await?;
    looking.show(user, ranked, next).await
}

struct Looking<'a> {
    edge: &'a Edge,
    search: &'a Search,
    conversations: &'a [Searched],
}

impl Looking<'_> {
    /// Words with slips count where hardly anything has the words themselves.
    async fn page(&self) -> Result<(Vec<Ranked>, Option<Key>), ApiError> {
        let (start, skipped) = match self.search.place {
            Place::Skip(skipped) => (None, skipped),
            Place::Behind(key) => (Some(key), 0),
        };
        let first = Key {
            as_of: self.edge.clock.now().as_second(),
            with_slips: false,
            low: 0,
            high: END,
            rank: u64::MAX,
            seq: END,
        };
        let at = start.unwrap_or(first);
        let plans = self.plans(at.with_slips).await?;
        let Collected { mut ranked, mut next, is_behind } =
            self.collect(&plans, at, skipped).await?;
        if start.is_none() && next.is_none() && ranked.len() < FEW.min(self.search.limit) {
            let with_slips = self.plans(true).await?;
            let adds = with_slips.iter().zip(&plans).any(|(more, plan)| {
                let words = |plan: &Plan| plan.needles.iter().map(Vec::len).sum::<usize>();
                words(more) > words(plan)
            });
            // The words of what is not indexed are not in the vocabulary either.
            if adds || is_behind {
                let at = Key { with_slips: true, ..first };
                Collected { ranked, next, .. } = self.collect(&with_slips, at, skipped).await?;
            }
        }
        ranked.drain(..skipped.min(ranked.len()));
        Ok((ranked, next))
    }

    /// Results from a place on, `skipped` more than a page has, and where the next page begins.
    async fn collect(
        &self,
        plans: &[Plan],
        mut at: Key,
        skipped: usize,
    ) -> Result<Collected, ApiError> {
        let wanted = self.search.limit + skipped;
        let mut results: Vec<Ranked> = Vec::new();
        let mut is_behind = false;
        for _ in 0..WINDOWS {
            let found = self.window(plans, at).await?;
            is_behind |= found.is_behind;
            if at.high == END {
                // What is written from now on is behind the window.
                at.high = found.candidates.first().map_or(at.high, |newest| newest.seq + 1);
            }
            at.low = found.low;
            let mut window = self.ranked(found.candidates, at);
            window.retain(|one| (one.rank, one.candidate.seq) < (at.rank, at.seq));
            let room = wanted - results.len();
            if window.len() > room {
                window.truncate(room);
                let last = window.last().map(|one| (one.rank, one.candidate.seq));
                let (rank, seq) = last.unwrap_or((at.rank, at.seq));
                results.append(&mut window);
                let next = Some(Key { rank, seq, ..at });
                return Ok(Collected { ranked: results, next, is_behind });
            }
            results.append(&mut window);
            if found.low <= 1 {
                return Ok(Collected { ranked: results, next: None, is_behind });
            }
            at = Key { low: 0, high: found.low, rank: u64::MAX, seq: END, ..at };
            if results.len() == wanted {
                break;
            }
        }
        Ok(Collected { ranked: results, next: Some(at), is_behind })
    }

    /// The candidates of all alternatives in a window.
    async fn window(&self, plans: &[Plan], at: Key) -> Result<Found, ApiError> {
        let mut all = Vec::with_capacity(plans.len());
        for plan in plans {
            let asked = Asked {
                conversations: self.conversations,
                filter: self.search.filter,
                needles: &plan.needles,
                is_common: plan.is_common,
                window: plan.window,
                look_through: plan.look_through,
                low: at.low,
                high: at.high,
            };
            all.push(self.edge.store.candidates(&asked).await.map_err(store_error)?);
        }
        let low = all.iter().map(|found| found.low).max().unwrap_or(1);
        let is_behind = all.iter().any(|found| found.is_behind);
        let candidates: BTreeMap<_, _> = all
            .into_iter()
            .flat_map(|found| found.candidates)
            .filter(|candidate| candidate.seq >= low)
            .map(|candidate| ((candidate.seq, candidate.conversation_id), candidate))
            .collect();
        Ok(Found { candidates: candidates.into_values().rev().collect(), low, is_behind })
    }

    fn ranked(&self, candidates: Vec<Candidate>, at: Key) -> Vec<Ranked> {
        let now = Timestamp::from_second(at.as_of).unwrap_or(Timestamp::UNIX_EPOCH);
        let answer = |candidate: Candidate| {
            let found = matches(&self.search.query, &candidate.content, at.with_slips)?;
            Some(Ranked {
                rank: rank(found.quality, candidate.created_at, now),
                snippet: snippet(&candidate.content, &found.hits),
                candidate,
            })
        };
        let mut ranked: Vec<Ranked> = candidates.into_iter().filter_map(answer).collect();
        ranked.sort_by_key(|one| std::cmp::Reverse((one.rank, one.candidate.seq)));
        ranked
    }

    async fn plans(&self, with_slips: bool) -> Result<Vec<Plan>, ApiError> {
        let mut all = Vec::new();
        for one in &self.search.query.alternatives {
            all.push(self.needles(one, with_slips).await?);
        }
        let asked: Vec<(&str, bool)> = all
            .iter()
            .flatten()
            .flatten()
            .map(|(word, is_prefix)| (word.as_str(), *is_prefix))
            .collect();
        let frequencies = self.edge.store.frequencies(&asked).await.map_err(store_error)?;
        let messages: u64 = self.conversations.iter().map(|one| one.messages).sum();
        let expected = |needle: &Needle| {
            needle.iter().map(|(word, _)| frequencies.expected(word, messages)).sum::<u64>()
        };
        let Filter { sender, kind, to, .. } = self.search.filter;
        let scope = Scope {
            messages,
            limit: self.search.limit as u64,
            is_narrowed: sender.is_some() || kind.is_some() || to.is_some(),
        };
        let alternatives = self.search.query.alternatives.iter().zip(all);
        Ok(alternatives.map(|(one, needles)| plan(one, needles, expected, scope)).collect())
    }

    /// What a message that answers has: each word, its beginning, or what may be meant by it.
    async fn needles(&self, one: &Alternative, with_slips: bool) -> Result<Vec<Needle>, ApiError> {
        let mut needles = Vec::new();
        for term in &one.wanted {
            for word in &term.words {
                let mut needle = vec![(word.clone(), term.is_prefix())];
                if with_slips && term.loose().is_some() {
                    let meant = self.edge.store.meant(word, self.conversations).await;
                    needle
                        .extend(meant.map_err(store_error)?.into_iter().map(|word| (word, false)));
                }
                needles.push(needle);
            }
        }
        Ok(needles)
    }

    /// The messages as they are shown. One that was deleted this moment is left out.
    async fn show(
        &self,
        user: UserId,
        ranked: Vec<Ranked>,
        next: Option<Key>,
    ) -> Result<Results, ApiError> {
        let places: Vec<(ConversationId, Seq)> =
            ranked.iter().map(|one| (one.candidate.conversation_id, one.candidate.seq)).collect();
        let mut messages = self.edge.store.messages_at(&places).await.map_err(store_error)?;
        reactions::name_caller(self.edge, user, &mut messages).await?;
        let mut messages: HashMap<_, _> =
            messages.into_iter().map(|one| ((one.conversation_id, one.seq), one)).collect();
        let conversations: HashMap<_, _> =
            self.conversations.iter().map(|one| (one.id, one)).collect();
        let hit = |one: Ranked| {
            let Candidate { conversation_id, seq, .. } = one.candidate;
            let message = messages.remove(&(conversation_id, seq))?;
            let conversation = (*conversations.get(&conversation_id)?).clone();
            let is_there = message.deleted_at.is_none();
            is_there.then_some(Hit { message, conversation, snippet: one.snippet })
        };
        Ok(Results { hits: ranked.into_iter().filter_map(hit).collect(), next })
    }
}
