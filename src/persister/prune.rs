//! Forgetting what nobody can come back for: changes that are older than the log itself.

use std::time::Duration;

use tokio::time::Instant;

use crate::bus::reads;
use crate::store::leadership::Leader;

use super::{Fault, Persister};

/// Rows of each table in one go: some 20 ms, during which batches wait.
const ROWS: u32 = 5_000;
/// Between two looks. The log expires by the age of its events, so an hour is little.
const EVERY: Duration = Duration::from_secs(3_600);
/// Between two goes while there is more: batches have nearly all of the time.
const MORE: Duration = Duration::from_secs(1);

/// When it is time again.
pub struct Pruning(Instant);

impl Pruning {
    /// Due at once.
    pub fn due() -> Self {
        Self(Instant::now())
    }
}

impl Persister {
    /// Prunes if it is time.
    pub(super) async fn prune(&self, leader: &Leader, pruning: &mut Pruning) -> Result<(), Fault> {
        if Instant::now() < pruning.0 {
            return Ok(());
        }
        let extent = reads::extent(&self.log).await?;
        let more = leader.prune_changes(extent.first, ROWS).await?;
        pruning.0 = Instant::now() + if more { MORE } else { EVERY };
        Ok(())
    }
}
