//! Rebuilding what was found wrong, conversation by conversation.

use std::collections::{BTreeMap, BTreeSet};

use crate::bus::{direct, reads};
use crate::domain::ids::{ConversationId, Seq};
use crate::store::audit::Audit;
use crate::store::inspect::{Finding, Inspector, Kind, Rebuilt};

use super::{PAGE, Report, Scope, Verifier, VerifyError, batch, lowest};

/// While a conversation is rebuilt the persister goes on; what it changed in between is found by looking again.
const ROUNDS: usize = 3;
/// So many files without a row are removed whatever else there is.
const FEW: u64 = 100;
/// Said of them where they are most of what there is.
const DOUBTFUL: &str =
    "; most of the store is unknown, is this its database? --drop-unknown removes it";
/// Said of what is left as it is because the log may still tell what is about to be erased.
const ERASING: &str = "; somebody's data are being erased here, repair it when that is done";

/// What a repair did.
#[derive(Debug, Default)]
pub struct Repaired {
    pub conversations: u64,
    pub files: u64,
    /// What is still wrong.
    pub left: Vec<Finding>,
}

impl Verifier {
    /// Rebuilds what the report names and looks at it again. `drop_unknown` also drops messages that only Postgres has, and
    /// bytes without a row even where they are most of the store: the log, or Postgres, may be what lost the others, so that
    /// is for somebody to decide.
    ///
    /// # Errors
    /// When NATS or Postgres does not answer; what was rebuilt by then stays rebuilt.
    pub async fn repair(
        &self,
        report: &Report,
        drop_unknown: bool,
        note: &Audit,
    ) -> Result<Repaired, VerifyError> {
        let mut repaired = Repaired::default();
        let mut inspector = self.store.inspector().await?;
        for (conversation, findings) in by_conversation(&report.findings) {
            let mut findings = findings;
            for _ in 0..ROUNDS {
                if !drop_unknown {
                    repaired.left.extend(take_unknown(&mut findings));
                }
                if findings.is_empty() {
                    break;
                }
                let rebuilt = self.rebuild(&mut inspector, conversation, &findings, note).await?;
                if rebuilt == Rebuilt::Erasing {
                    findings.iter_mut().for_each(|finding| finding.detail.push_str(ERASING));
                    break;
                }
                findings = self.again(conversation, report.from).await?;
                if !drop_unknown {
                    take_unknown(&mut findings);
                }
            }
            repaired.left.extend(findings);
            repaired.conversations += 1;
        }
        let is_file = |kind| matches!(kind, Kind::MediaUnnamed | Kind::MediaUseUnfounded);
        let files = report.findings.iter().filter(|finding| is_file(finding.kind));
        let keys: Vec<_> = files.filter_map(|finding| finding.id).collect();
        for keys in keys.chunks(PAGE) {
            let note = Audit { target: format!("{} files", keys.len()), ..note.clone() };
            inspector.release_files(keys, self.clock.now(), &note).await?;
            repaired.files += keys.len() as u64;
        }
        let strays = report.findings.iter().filter(|f| f.kind == Kind::ObjectUnknown);
        if drop_unknown || !is_doubtful(report) {
            let strays: BTreeSet<_> = strays.filter_map(|finding| finding.id).collect();
            let strays: Vec<_> = strays.into_iter().collect();
            repaired.files += self.remove_strays(&inspector, &strays, note).await?;
        } else {
            let doubtful = |finding: &Finding| Finding {
                detail: format!("{}{DOUBTFUL}", finding.detail),
                ..finding.clone()
            };
            repaired.left.extend(strays.map(doubtful));
        }
        let lost = report.findings.iter().filter(|f| f.kind == Kind::ObjectMissing);
        repaired.left.extend(lost.cloned());
        Ok(repaired)
    }

    async fn rebuild(
        &self,
        inspector: &mut Inspector,
        conversation: ConversationId,
        findings: &[Finding],
        note: &Audit,
    ) -> Result<Rebuilt, VerifyError> {
        // Before anything is read of the log, and again behind the lock: an erasure takes longer than what is between.
        if inspector.is_erasing(conversation).await? {
            return Ok(Rebuilt::Erasing);
        }
        let note = Audit { target: conversation.to_string(), ..note.clone() };
        inspector.drop_unknown(conversation, findings, &note).await?;
        if let Some(from) = lowest(findings) {
            let rebuilt = self.replay(inspector, conversation, from, &note).await?;
            if rebuilt != Rebuilt::Done {
                return Ok(rebuilt);
            }
        }
        let end = reads::extent(&self.log).await?.last;
        inspector.renumber(conversation, end, &note).await?;
        Ok(Rebuilt::Done)
    }

    /// Applies the log of a conversation again.
    async fn replay(
        &self,
        inspector: &mut Inspector,
        conversation: ConversationId,
        from: Seq,
        note: &Audit,
    ) -> Result<Rebuilt, VerifyError> {
        let until = self.store.progress().await?.last_seq;
        let mut next = from;
        while next <= until {
            let page = direct::page(&self.log, Some(conversation), next, until, PAGE).await?;
            let (mut batch, _) = batch::read(&page.entries);
            batch.through = super::last(&page.entries).unwrap_or(page.through);
            let rebuilt = inspector.replay(conversation, batch, note).await?;
            if rebuilt != Rebuilt::Done {
                return Ok(rebuilt);
            }
            next = page.through + 1;
        }
        Ok(Rebuilt::Done)
    }

    async fn again(
        &self,
        conversation: ConversationId,
        from: Seq,
    ) -> Result<Vec<Finding>, VerifyError> {
        let scope = Scope { conversation: Some(conversation), since: Some(from) };
        // Boxed: a comparison may come to repairing, as far as the compiler knows.
        Ok(Box::pin(self.run(scope, |_, _| {})).await?.findings)
    }
}

/// Are there more files that nobody knows of than there are others? Then it may be the database that is the wrong one, or empty.
fn is_doubtful(report: &Report) -> bool {
    let strays = report.counts.get(&Kind::ObjectUnknown).copied().unwrap_or(0);
    strays > FEW.max(report.files)
}

/// Files apart, which belong to no rebuilding.
fn by_conversation(findings: &[Finding]) -> BTreeMap<ConversationId, Vec<Finding>> {
    let mut groups: BTreeMap<ConversationId, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        let is_file = matches!(
            finding.kind,
            Kind::MediaUnnamed
                | Kind::MediaUseUnfounded
                | Kind::ObjectMissing
                | Kind::ObjectUnknown
        );
        if let Some(conversation) = finding.conversation_id.filter(|_| !is_file) {
            groups.entry(conversation).or_default().push(finding.clone());
        }
    }
    groups
}

/// Takes out messages that only Postgres has.
fn take_unknown(findings: &mut Vec<Finding>) -> Vec<Finding> {
    findings.extract_if(.., |finding| finding.kind == Kind::MessageUnknown).collect()
}
