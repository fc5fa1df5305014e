//! A process without an edge: `messaging serve --role persister`.

use super::{Node, PATIENCE, World};

/// A persister as a process of its own.
pub struct Worker(pub Node);

impl Worker {
    /// Starts one and waits until it leads or stands by.
    pub async fn start(world: &World, settings: &[(&str, &str)]) -> Self {
        let node = Node::start(&["--role", "persister"], &world.settings(settings)).await;
        let worker = Self(node);
        worker.said("persister standing by").await;
        worker
    }

    /// Waits until it leads.
    pub async fn leads(&self) {
        self.said("persister leading").await;
    }

    /// Has it ever led?
    pub fn has_led(&self) -> bool {
        self.0.process.stderr.text().contains("persister leading")
    }

    /// Waits for a line of its log.
    async fn said(&self, what: &'static str) {
        let process = self.0.process.clone();
        let waiting = tokio::task::spawn_blocking(move || {
            process.stderr.wait_for(PATIENCE, |line| line.contains(what).then_some(()))
        });
        if waiting.await.expect("no panic").is_none() {
            panic!("the persister did not say {what:?}, but:\n{}", self.0.process.stderr.text());
        }
    }
}
