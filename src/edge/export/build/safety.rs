//! Whom a user has blocked, and what they have reported.
//!
//! A report is the words of whoever made it, so it is theirs. What was kept as evidence are other people's, and what operators
//! made of it is about somebody else: neither is in the copy.

use std::pin::pin;

use futures_util::TryStreamExt as _;

use crate::wire::own_data::{BlockLine, ReportLine};

use super::{Build, Fault, Packing, pages};

impl Build {
    pub(super) async fn blocks(&mut self) -> Result<(), Fault> {
        self.entry("blocks.ndjson", Packing::Deflated).await?;
        let mut pages = pin!(pages::blocks(&self.sources.store, self.user));
        while let Some(page) = pages.try_next().await? {
            for block in page {
                self.line(&BlockLine { user_id: block.user, created_at: block.since }).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn reports(&mut self) -> Result<(), Fault> {
        self.entry("reports.ndjson", Packing::Deflated).await?;
        let mut pages = pin!(pages::reports(&self.sources.store, self.user));
        while let Some(page) = pages.try_next().await? {
            for report in page {
                self.line(&ReportLine {
                    id: report.id,
                    user_id: report.reported_id,
                    message_id: report.message_id,
                    conversation_id: report.conversation_id,
                    reason: report.reason,
                    details: report.details,
                    created_at: report.created_at,
                })
                .await?;
            }
        }
        Ok(())
    }
}
