//! Files: rows against the messages that name them, and against the bytes in the store.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use crate::domain::media::MediaKey;
use crate::media::objects::{Object, ObjectError};
use crate::store::audit::Audit;
use crate::store::inspect::{Finding, Inspector, Kind};

use super::{PAGE, Report, Verifier, VerifyError};

/// Objects that are asked for at a time.
const ASKED: usize = 16;

impl Verifier {
    /// Rows against what names them, and against the store.
    pub(super) async fn files(
        &self,
        inspector: &Inspector,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let mut after = Uuid::nil();
        loop {
            let unnamed = inspector.files(after).await?;
            let Some(last) = unnamed.files.last().copied() else { return Ok(()) };
            after = last;
            report.files += unnamed.files.len() as u64;
            report.add(unnamed.findings);
            let missing = self.missing(&unnamed.files).await?;
            // What was thrown away meanwhile, by the one whose work that is, is not missing.
            let missing = inspector.still_there(&missing).await?;
            let finding = |key| about(key, Kind::ObjectMissing, "its bytes are not in the store");
            report.add(missing.into_iter().map(finding).collect());
        }
    }

    async fn missing(&self, keys: &[MediaKey]) -> Result<Vec<MediaKey>, VerifyError> {
        let Some(objects) = &self.objects else { return Ok(Vec::new()) };
        let mut asked = stream::iter(keys)
            .map(async |key| (*key, objects.size(Object::Original(*key)).await))
            .buffer_unordered(ASKED);
        let mut missing = Vec::new();
        while let Some((key, size)) = asked.next().await {
            match size {
                Ok(_) => {}
                Err(ObjectError::NotFound) => missing.push(key),
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(missing)
    }

    /// Bytes that no row knows of, once no upload can be about to make one.
    pub(super) async fn strays(
        &self,
        inspector: &Inspector,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        let Some(objects) = &self.objects else { return Ok(()) };
        let before = self.clock.now() - self.orphans_after;
        let old = objects.list().try_filter(|listed| std::future::ready(listed.stored_at < before));
        let mut pages = std::pin::pin!(old.map_ok(|listed| listed.key).try_chunks(PAGE));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|broken_off| broken_off.1)?;
            let strays = inspector.without_row(&page).await?;
            let finding = |key| about(key, Kind::ObjectUnknown, "no row knows of these bytes");
            report.add(strays.into_iter().map(finding).collect());
        }
        Ok(())
    }

    /// Removes bytes that no row knows of, looked at again; returns how many files that were.
    pub(super) async fn remove_strays(
        &self,
        inspector: &Inspector,
        keys: &[MediaKey],
        note: &Audit,
    ) -> Result<u64, VerifyError> {
        let Some(objects) = &self.objects else { return Ok(0) };
        let mut removed = 0;
        for keys in keys.chunks(PAGE) {
            let strays = inspector.without_row(keys).await?;
            let target = format!("{} objects", strays.len());
            self.store.note(&Audit { target, ..note.clone() }).await?;
            for key in strays {
                objects.delete(key).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn about(key: MediaKey, kind: Kind, detail: &str) -> Finding {
    Finding { kind, conversation_id: None, seq: None, id: Some(key), detail: detail.to_owned() }
}
