//! What runs beside requests, from the start of an edge to its end.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bus::log::Log;
use crate::bus::publish;
use crate::bus::signals::Signal;
use crate::bus::{self, BusError, progress, tail};
use crate::domain::ids::Seq;
use crate::edge::hub::Fanout;
use crate::edge::presence::announcer;
use crate::edge::presence::keeper::Keeper;
use crate::edge::{
    Edge, arrivals, behind, blocks, control, delivery, erased, freshness, reads, signals, standing,
};
use crate::lifecycle::Lifecycle;

/// Tasks that are ready to begin, with what each needs.
pub(super) struct Work {
    pub(super) driver: publish::Driver,
    pub(super) tail_log: Log,
    pub(super) tail_client: bus::Client,
    pub(super) tail_from: Seq,
    pub(super) tail_status: watch::Sender<tail::Status>,
    pub(super) persisted: watch::Sender<Seq>,
    pub(super) asker: freshness::Asker,
    pub(super) loader: arrivals::Loader,
    pub(super) committer: reads::Committer,
    pub(super) keeper: Keeper,
}

impl Work {
    /// What clients depend on while they are served ends after them, at the hard stop or when the drain is done;
    /// the rest ends at the soft stop.
    pub(super) fn spawn(self, edge: &Arc<Edge>, lifecycle: &Lifecycle) {
        let last = edge.finished.clone();
        lifecycle.spawn_critical("publisher", self.driver.run(last.clone()));
        let fanout = Fanout(edge.hub.clone());
        let tail = tail::run(self.tail_log, self.tail_from, fanout, self.tail_status, last.clone());
        lifecycle.spawn_critical("tail", tail);
        let client = self.tail_client;
        let persisted = self.persisted;
        lifecycle.spawn_critical("progress", {
            let last = last.clone();
            async move { stoppable(&last, progress::follow(&client, persisted)).await }
        });
        lifecycle.spawn_critical("signals", {
            let (last, edge) = (last.clone(), edge.clone());
            async move {
                let pass_on = |signal: Signal| match signal.event.as_str() {
                    blocks::CHANGED => edge.blocks.heard(),
                    _ => edge.hub.signal(&signal),
                };
                stoppable(&last, bus::signals::follow(&edge.signals, pass_on)).await
            }
        });
        lifecycle.spawn_critical("log heads", self.asker.run(last.clone()));
        lifecycle.spawn_critical("arrivals", self.loader.run(last.clone()));
        lifecycle.spawn_critical("read markers", self.committer.run(last.clone()));
        lifecycle.spawn_critical("deliveries", delivery::commit(edge.clone(), last.clone()));
        lifecycle.spawn_critical("returns", delivery::returned::commit(edge.clone(), last.clone()));
        let soft = &lifecycle.soft;
        lifecycle.spawn_critical("presence", self.keeper.run(soft.clone()));
        lifecycle.spawn_critical("announcer", announcer::run(edge.clone(), soft.clone()));
        lifecycle.spawn_critical("statuses", {
            let (soft, edge) = (soft.clone(), edge.clone());
            async move {
                let node = edge.presence.process();
                let deliver = |news: &_| announcer::deliver(&edge, news);
                stoppable(&soft, bus::statuses::follow(&edge.signals, node, deliver)).await
            }
        });
        lifecycle.spawn_critical("control", {
            let (last, edge) = (last.clone(), edge.clone());
            async move { stoppable(&last, control::follow(&edge)).await }
        });
        lifecycle.spawn_critical("standings", standing::keep_current(edge.clone(), last.clone()));
        lifecycle.spawn_critical("erased users", erased::keep_current(edge.clone(), last.clone()));
        lifecycle.spawn_critical("blocks", blocks::keep_current(edge.clone(), last.clone()));
        lifecycle.spawn_critical("outbox sweep", {
            let (edge, soft) = (edge.clone(), soft.clone());
            async move { edge.outbox.sweep(soft).await }
        });
        lifecycle.spawn_critical("typing", signals::expire_typing(edge.clone(), soft.clone()));
        lifecycle.spawn_critical("lag of Postgres", {
            let (edge, soft) = (edge.clone(), soft.clone());
            async move { behind::watch(&edge, soft).await }
        });
        lifecycle.spawn_critical("token keys", {
            let (edge, last) = (edge.clone(), last.clone());
            async move { edge.auth.follow_keys(last).await }
        });
        lifecycle.spawn_critical("retention", {
            let (edge, soft) = (edge.clone(), soft.clone());
            async move { edge.hub.forget_the_old(edge.settings.kept_for, soft).await }
        });
        lifecycle.spawn_critical("limits", {
            let (edge, soft) = (edge.clone(), soft.clone());
            let now = edge.clock.clone();
            async move { edge.limits.forget_the_quiet(&now, soft).await }
        });
    }
}

async fn stoppable(
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), BusError>>,
) -> Result<(), BusError> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = work => ended,
    }
}
