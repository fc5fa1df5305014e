//! The log against Postgres, by whoever knows what events become: every event up to where the persister is has its
//! row, and every row its event; what is counted is what a recount says; files are kept for messages that are there.
//!
//! A page of the log is read first and its rows afterwards, so it can be asked while everything runs, and what is
//! in memory is a page. See [`crate::store::inspect`] for what counts as a difference.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::SignedDuration;
use uuid::Uuid;

use crate::bus::log::{Entry, Log};
use crate::bus::tail::seq_of;
use crate::bus::{BusError, dead_letter, direct, reads};
use crate::domain::clock::SharedClock;
use crate::domain::ids::{ConversationId, Seq};
use crate::media::objects::{ObjectError, Objects};
use crate::store::inspect::{Finding, Inspector, Kind};
use crate::store::{Store, StoreError};

use super::{NAME, batch};

mod files;
mod repair;

pub use repair::Repaired;

/// Events of a page: at 1 KiB each a MB here, and as much in the statements that ask about them.
const PAGE: usize = 1_000;
/// Differences that are listed, and can be repaired in one go; more are counted. At 200 bytes each 2 MB.
const LISTED: usize = 10_000;
/// Dead letters that are looked through before something counts as missing.
const LETTERS: usize = 10_000;

/// What is compared with what.
pub struct Verifier {
    pub store: Store,
    pub log: Log,
    /// Where files are, if they are to be looked for.
    pub objects: Option<Arc<Objects>>,
    /// Bytes without a row that are younger may be of an upload that is under way elsewhere.
    pub orphans_after: SignedDuration,
    pub clock: SharedClock,
}

/// How much of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// One conversation, or all.
    pub conversation: Option<ConversationId>,
    /// From this place of the log on; from its beginning without it.
    pub since: Option<Seq>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The first and the last place of the log that was looked at.
    pub from: Seq,
    pub through: Seq,
    pub events: u64,
    /// Events that could never become rows; they are in the dead letters.
    pub parked: u64,
    pub conversations: u64,
    pub files: u64,
    /// How many there are of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many differences there are.
    pub fn differences(&self) -> u64 {
        self.counts.values().sum()
    }

    fn add(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            *self.counts.entry(finding.kind).or_default() += 1;
            if self.findings.len() < LISTED {
                self.findings.push(finding);
            }
        }
    }

    fn drop_where(&mut self, is_none: impl Fn(&Finding) -> bool) -> u64 {
        let before = self.findings.len();
        let gone: Vec<Kind> =
            self.findings.iter().filter(|f| is_none(f)).map(|finding| finding.kind).collect();
        self.findings.retain(|finding| !is_none(finding));
        for kind in gone {
            if let Some(count) = self.counts.get_mut(&kind) {
                *count -= 1;
            }
        }
        self.counts.retain(|_, count| *count > 0);
        (before - self.findings.len()) as u64
    }
}

/// Why a comparison was broken off.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("files cannot be looked for: {0}")]
    Objects(#[from] ObjectError),
    #[error(
        "Postgres follows another log (epoch {expected}) than the one that is there ({found}): nothing can be compared"
    )]
    OtherLog { expected: String, found: String },
    #[error(
        "broken off behind sequence {at}, go on from there with --since {at}: {cause}",
        at = .0, cause = .1
    )]
    BrokenOff(Seq, Box<VerifyError>),
}

impl Verifier {
    /// Compares. `progress` is told how far in the log it is, and where that ends.
    ///
    /// # Errors
    /// When NATS, Postgres or the store of files does not answer; [`VerifyError::BrokenOff`] says where to go on.
    pub async fn run(
        &self,
        scope: Scope,
        mut progress: impl FnMut(Seq, Seq),
    ) -> Result<Report, VerifyError> {
        let position = self.store.progress().await?;
        if let Some(expected) = position.epoch.filter(|epoch| epoch != self.log.epoch()) {
            return Err(VerifyError::OtherLog { expected, found: self.log.epoch().to_owned() });
        }
        let extent = reads::extent(&self.log).await?;
        let from = scope.since.unwrap_or(0).max(extent.first).max(1);
        let mut report = Report { from, through: position.last_seq, ..Report::default() };
        let inspector = self.store.inspector().await?;
        let mut next = from;
        while next <= position.last_seq {
            progress(next, position.last_seq);
            let page = self.page(&inspector, scope, (next, position.last_seq), &mut report).await;
            match page {
                Ok(through) => next = through + 1,
                Err(cause) => return Err(VerifyError::BrokenOff(next, Box::new(cause))),
            }
        }
        progress(position.last_seq, position.last_seq);
        self.recount(&inspector, scope, extent.last, &mut report).await?;
        if scope.conversation.is_none() {
            self.files(&inspector, &mut report).await?;
            self.strays(&inspector, &mut report).await?;
        }
        self.settle(&mut report).await?;
        Ok(report)
    }

    /// Compares a page and returns the last place that it covers.
    async fn page(
        &self,
        inspector: &Inspector,
        scope: Scope,
        (from, until): (Seq, Seq),
        report: &mut Report,
    ) -> Result<Seq, VerifyError> {
        let page = direct::page(&self.log, scope.conversation, from, until, PAGE).await?;
        let stretch = (from, page.through);
        report.events += page.entries.len() as u64;
        let (batch, _) = batch::read(&page.entries);
        let unknown =
            inspector.unknown(scope.conversation, stretch, &batch, self.clock.now()).await?;
        report.add(unknown);
        self.forward(inspector, page.entries, report).await?;
        Ok(stretch.1)
    }

    /// Each event against its row. What Postgres refuses to be asked about could not be written either.
    async fn forward(
        &self,
        inspector: &Inspector,
        entries: Vec<Entry>,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut stretches = vec![entries];
        while let Some(mut entries) = stretches.pop() {
            let (batch, poison) = batch::read(&entries);
            match inspector.compare(&batch).await {
                Ok(findings) => {
                    report.parked += poison.len() as u64;
                    report.add(findings);
                }
                Err(cause) if cause.is_refused_data() => match entries.len() {
                    0 | 1 => report.parked += entries.len() as u64,
                    count => {
                        let second = entries.split_off(count / 2);
                        stretches.extend([second, entries]);
                    }
                },
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    async fn recount(
        &self,
        inspector: &Inspector,
        scope: Scope,
        end: Seq,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut after = Some(Uuid::nil());
        let since = scope.since.unwrap_or(0);
        while let Some(behind) = after {
            // The end moves while this runs, and markers with it.
            let end = reads::extent(&self.log).await?.last.max(end);
            let counted = inspector.recount(behind, scope.conversation, since, end).await?;
            report.conversations += counted.conversations;
            report.add(counted.findings);
            after = counted.last;
        }
        Ok(())
    }

    /// Takes out what is none after all: what lies in the dead letters, and what left the log meanwhile.
    async fn settle(&self, report: &mut Report) -> Result<(), VerifyError> {
        let first = reads::extent(&self.log).await?.first;
        report.drop_where(|finding| finding.seq.is_some_and(|seq| seq < first));
        if report.counts.contains_key(&Kind::MessageMissing) {
            let letters = dead_letter::places(self.log.context(), NAME, LETTERS).await?;
            let letters: HashSet<Seq> = letters.into_iter().collect();
            report.parked += report.drop_where(|finding| {
                finding.kind == Kind::MessageMissing
                    && finding.seq.is_some_and(|seq| letters.contains(&seq))
            });
        }
        Ok(())
    }
}

/// The lowest place that a finding about a conversation names.
fn lowest(findings: &[Finding]) -> Option<Seq> {
    findings.iter().filter_map(|finding| finding.seq).min()
}

/// The last place of entries.
fn last(entries: &[Entry]) -> Option<Seq> {
    entries.last().map(seq_of)
}
