//! Many who ask, few questions: what is asked while one round is under way makes up the next.
//!
//! No timer and no delay when it is quiet; a storm becomes a few large statements instead of thousands of small ones.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

type Waiting<T, R> = (T, oneshot::Sender<R>);

/// How large rounds become.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Items of one round.
    pub round: usize,
    /// Rounds under way at the same time.
    pub at_once: usize,
    /// Items that may wait for a round; whoever comes then waits to be let in.
    pub waiting: usize,
}

/// Where items are handed in.
pub struct Rounds<T, R> {
    queue: mpsc::Sender<Waiting<T, R>>,
}

/// The work behind [`Rounds`].
pub struct Work<T, R> {
    queue: mpsc::Receiver<Waiting<T, R>>,
    size: Size,
}

/// Makes both ends.
pub fn rounds<T, R>(size: Size) -> (Rounds<T, R>, Work<T, R>) {
    let (sender, queue) = mpsc::channel(size.waiting);
    (Rounds { queue: sender }, Work { queue, size })
}

impl<T, R> Rounds<T, R> {
    /// Hands an item in and waits for its answer; `None` when the work has ended.
    pub async fn ask(&self, item: T) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        self.queue.send((item, reply)).await.ok()?;
        answer.await.ok()
    }
}

impl<T, R> Work<T, R> {
    /// Serves until cancelled; what was handed in by then is settled. `settle` answers in the order of its items.
    pub async fn run<S, F>(mut self, stop: CancellationToken, settle: S)
    where
        S: Fn(Vec<T>) -> F,
        F: Future<Output = Vec<R>>,
    {
        let mut under_way = FuturesUnordered::new();
        let mut stopping = false;
        let mut ended = false;
        while !(ended && under_way.is_empty()) {
            let mut round = Vec::new();
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.queue.close();
                }
                gathered = self.queue.recv_many(&mut round, self.size.round),
                    if !ended && under_way.len() < self.size.at_once =>
                {
                    ended = gathered == 0;
                    if !ended {
                        under_way.push(answer(&settle, round));
                    }
                }
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
            }
        }
    }
}

async fn answer<T, R, F: Future<Output = Vec<R>>>(
    settle: impl Fn(Vec<T>) -> F,
    round: Vec<Waiting<T, R>>,
) {
    let (items, replies): (Vec<_>, Vec<_>) = round.into_iter().unzip();
    for (reply, answer) in replies.into_iter().zip(settle(items).await) {
        // Who asked may have given up meanwhile.
        let _ = reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_comes_while_a_round_is_under_way_makes_up_the_next_and_a_stop_settles_it() {
        let (rounds, work) = rounds(Size { round: 3, at_once: 1, waiting: 8 });
        let (stop, gate, sizes) =
            (CancellationToken::new(), Semaphore::new(0), Mutex::new(Vec::new()));
        let settle = async |items: Vec<u32>| {
            sizes.lock().expect("not poisoned").push(items.len());
            gate.acquire().await.expect("open").forget();
            items.into_iter().map(|item| item * 10).collect()
        };
        let asking = async {
            let first = rounds.ask(1);
            let others = futures_util::future::join_all((2..=5).map(|item| rounds.ask(item)));
            let let_go = async {
                while sizes.lock().expect("not poisoned").is_empty() {
                    tokio::task::yield_now().await;
                }
                stop.cancel();
                gate.add_permits(3);
            };
            tokio::join!(first, others, let_go)
        };
        let (_, (first, others, ())) = tokio::join!(work.run(stop.clone(), &settle), asking);
        assert_eq!(first, Some(10));
        assert_eq!(others, [Some(20), Some(30), Some(40), Some(50)]);
        assert!(sizes.lock().expect("not poisoned").iter().all(|size| *size <= 3));
        assert_eq!(rounds.ask(6).await, None);
    }
}
