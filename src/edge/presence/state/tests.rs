//! Several nodes on one bucket, in every order that a seed comes up with.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::*;

const GRACE: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(15);
const USERS: usize = 3;

struct Node {
    state: State,
    /// How much of the bucket's history it has read.
    read: usize,
    dead: bool,
    open: [u32; USERS],
}

/// An announcement, with the place in the bucket's history that it follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    place: usize,
    user: usize,
    online: bool,
}

struct World {
    random: StdRng,
    start: Instant,
    elapsed: Duration,
    history: Vec<Change>,
    nodes: Vec<Node>,
    said: Vec<Said>,
}

fn user(number: usize) -> UserId {
    Uuid::from_u128(number as u128)
}

impl World {
    fn new(seed: u64, nodes: u64) -> Self {
        let start = Instant::now();
        let mut world = Self {
            random: StdRng::seed_from_u64(seed),
            start,
            elapsed: Duration::ZERO,
            history: Vec::new(),
            nodes: Vec::new(),
            said: Vec::new(),
        };
        for number in 0..nodes {
            let timing = Timing { grace: GRACE, edge_ttl: TTL };
            let mut state = State::new(timing, EdgeId::first(number + 1), start);
            state.begin();
            state.loaded(world.now());
            let node = Node { state, read: 0, dead: false, open: [0; USERS] };
            world.nodes.push(node);
        }
        for number in 0..world.nodes.len() {
            world.write(number);
        }
        for number in 0..world.nodes.len() {
            world.read(number, usize::MAX);
        }
        world
    }

    fn now(&self) -> Now {
        let wall = Timestamp::UNIX_EPOCH + self.elapsed;
        Now { instant: self.start + self.elapsed, wall }
    }

    /// What a node's keeper does between two readings.
    fn write(&mut self, number: usize) {
        let now = self.now();
        let node = &mut self.nodes[number];
        node.state.pass_time(now);
        while let Some(edge) = node.state.bury(now) {
            self.history.push(Change::Forgotten(edge));
        }
        let me = node.state.me();
        if !node.state.directory.lives(me) {
            self.history.push(Change::Lives(me));
        }
        for write in node.state.writes(now) {
            self.history.push(match write {
                Write::Put(user) => Change::Came(me, user),
                Write::Remove(user, last_seen) => Change::Went(me, user, last_seen),
            });
        }
        self.listen(number);
    }

    fn read(&mut self, number: usize, most: usize) {
        let now = self.now();
        for _ in 0..most {
            let node = &mut self.nodes[number];
            let Some(change) = self.history.get(node.read).copied() else { break };
            node.read += 1;
            node.state.apply(Entry { change, at: now.wall }, now);
            self.listen(number);
        }
    }

    fn listen(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let place = node.read;
        for (id, news) in node.state.waiting.take(usize::MAX).contacts {
            let user = usize::try_from(id.as_u128()).expect("small");
            self.said.push(Said { place, user, online: news.status.is_online });
        }
    }

    fn something_happens(&mut self) {
        let number = self.random.random_range(0..self.nodes.len());
        let who = self.random.random_range(0..USERS);
        let now = self.now();
        if self.nodes[number].dead {
            return;
        }
        match self.random.random_range(0..8) {
            0 | 1 => {
                self.nodes[number].open[who] += 1;
                self.nodes[number].state.came(user(who), now);
            }
            2 | 3 if self.nodes[number].open[who] > 0 => {
                self.nodes[number].open[who] -= 1;
                self.nodes[number].state.here.went(user(who), now.instant);
            }
            4 => self.elapsed += Duration::from_secs(self.random.random_range(0..4)),
            5 => self.write(number),
            _ => {
                let most = self.random.random_range(0..4);
                self.read(number, most);
            }
        }
    }

    /// A node dies that has said all it had to say: what dies with it unsaid is not said by others.
    fn kill(&mut self, number: usize) {
        for _ in 0..3 {
            self.write(number);
            self.read(number, usize::MAX);
        }
        let node = &mut self.nodes[number];
        node.dead = true;
        node.open = [0; USERS];
        let me = node.state.me();
        self.history.push(Change::Expired(me));
    }

    /// Until nothing happens any more.
    fn settle(&mut self) {
        // Keys that nodes renewed before they learnt that they had been given up expire in the end.
        let written = self.history.iter().filter_map(|change| match change {
            Change::Lives(edge) => Some(*edge),
            _ => None,
        });
        let written: std::collections::BTreeSet<EdgeId> = written.collect();
        for number in 0..self.nodes.len() {
            if !self.nodes[number].dead {
                self.read(number, usize::MAX);
            }
        }
        let lives = |edge: &EdgeId| self.nodes.iter().any(|n| !n.dead && n.state.me() == *edge);
        let stale: Vec<EdgeId> = written.into_iter().filter(|edge| !lives(edge)).collect();
        self.history.extend(stale.into_iter().map(Change::Expired));
        for _ in 0..8 {
            self.elapsed += GRACE;
            for number in 0..self.nodes.len() {
                if !self.nodes[number].dead {
                    self.write(number);
                    self.read(number, usize::MAX);
                }
            }
        }
    }

    fn is_there(&self, who: usize) -> bool {
        self.nodes.iter().any(|node| node.open[who] > 0)
    }

    /// What was said of a user, in the order of the bucket's history.
    fn said_of(&self, who: usize) -> Vec<bool> {
        let mut said: Vec<Said> = self.said.iter().filter(|s| s.user == who).copied().collect();
        said.sort_by_key(|said| said.place);
        said.into_iter().map(|said| said.online).collect()
    }

    fn all_agree(&self, seed: u64) {
        for who in 0..USERS {
            let there = self.is_there(who);
            for node in self.nodes.iter().filter(|node| !node.dead) {
                let known = node.state.is_online(user(who), self.now().instant);
                assert_eq!(known, there, "seed {seed}, user {who}");
            }
            let last = self.said_of(who).last().copied().unwrap_or(false);
            assert_eq!(last, there, "seed {seed}, user {who}: {:?}", self.said_of(who));
        }
    }
}

#[test]
fn each_coming_and_going_is_announced_once_by_one_node() {
    for seed in 0..400 {
        let mut world = World::new(seed, 3);
        for _ in 0..200 {
            world.something_happens();
        }
        world.settle();
        world.all_agree(seed);
        for who in 0..USERS {
            // Somebody who comes back on another node in the moment in which the key on the first one goes may be
            // announced by both.
            let mut said = world.said_of(who);
            said.dedup_by(|next, before| *next && *before);
            let alternates = said.iter().enumerate().all(|(n, online)| *online == (n % 2 == 0));
            assert!(alternates, "seed {seed}, user {who}: {said:?}");
        }
    }
}

#[test]
fn the_users_of_nodes_that_die_one_after_another_are_gone_in_the_end() {
    for seed in 0..400 {
        let mut world = World::new(seed, 4);
        for round in 0..3 {
            for _ in 0..60 {
                world.something_happens();
            }
            world.kill(round);
        }
        world.settle();
        world.all_agree(seed);
    }
}

#[test]
fn a_node_that_was_given_up_by_mistake_says_again_who_is_there() {
    for seed in 0..400 {
        let mut world = World::new(seed, 3);
        for _ in 0..4 {
            for _ in 0..60 {
                world.something_happens();
            }
            let number = world.random.random_range(0..world.nodes.len());
            let me = world.nodes[number].state.me();
            world.history.push(Change::Expired(me));
        }
        world.settle();
        world.all_agree(seed);
    }
}

#[test]
fn a_lost_bucket_is_written_again_and_nobody_is_told_anything() {
    for seed in 0..200 {
        let mut world = World::new(seed, 3);
        for _ in 0..100 {
            world.something_happens();
        }
        world.settle();
        let said = world.said.len();
        let now = world.now();
        world.history.clear();
        for node in &mut world.nodes {
            assert!(node.state.detach(now.instant));
            node.read = 0;
            node.state.begin();
            node.state.loaded(now);
        }
        world.settle();
        world.all_agree(seed);
        assert_eq!(world.said.len(), said, "seed {seed}: {:?}", &world.said[said..]);
    }
}

#[test]
fn what_is_not_known_for_too_long_counts_as_offline_except_here() {
    let mut world = World::new(1, 2);
    for (number, who) in [(0, 0), (1, 1)] {
        world.nodes[number].open[who] += 1;
        let now = world.now();
        world.nodes[number].state.came(user(who), now);
    }
    world.settle();
    let now = world.now().instant;
    let state = &mut world.nodes[0].state;
    assert!(state.detach(now) && !state.detach(now + TTL / 2));
    assert!(state.is_online(user(1), now + TTL / 2));
    assert!(!state.is_online(user(1), now + TTL));
    assert!(state.is_online(user(0), now + TTL));
}
