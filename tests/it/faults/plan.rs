//! What breaks when: all of it follows from the seed.

use std::fmt;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::harness::proxy::Mode;

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub edges: usize,
    pub persisters: usize,
    /// Processes that notify.
    pub senders: usize,
    /// 1 or 3.
    pub nats: usize,
    pub users: usize,
    /// How long faults are injected.
    pub seconds: u64,
    /// The longest that one lasts.
    pub longest: Duration,
    /// How many a run has at the most.
    pub faults: usize,
}

/// A process of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Edge(usize),
    Persister(usize),
    Sender(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `SIGKILL`; a new one starts at the end.
    Kill(Who),
    /// `SIGTERM`; a new one starts at the end.
    Drain(Who),
    /// `SIGSTOP`, and `SIGCONT` at the end.
    Freeze(Who),
    /// The way of one process to all NATS servers.
    NatsLink(Who, Mode),
    /// The way of one process to Postgres.
    PostgresLink(Who, Mode),
    /// Everybody's way to Postgres.
    PostgresLinks(Mode),
    /// `SIGQUIT`; it starts again at the end.
    KillPostgres,
    /// The way of all clients to an edge.
    ClientLink(usize, Mode),
    KillNats(usize),
    FreezeNats(usize),
    /// `SIGUSR2`: it sends its clients away and ends; it starts again at the end.
    LameDuck(usize),
    /// The routes between one server and the others.
    Partition(usize, Mode),
    /// The log's leader hands over.
    StepDown,
}

/// A fault, and its place in time.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

/// What a fault hits: two at once never hit the same, so that each can be undone by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Process(Who),
    Postgres,
    Nats,
    Clients(usize),
}

impl Fault {
    fn target(self) -> Target {
        match self {
            Self::Kill(who) | Self::Drain(who) | Self::Freeze(who) | Self::NatsLink(who, _) => {
                Target::Process(who)
            }
            Self::PostgresLink(..) | Self::PostgresLinks(_) | Self::KillPostgres => {
                Target::Postgres
            }
            Self::ClientLink(edge, _) => Target::Clients(edge),
            Self::KillNats(_)
            | Self::FreezeNats(_)
            | Self::LameDuck(_)
            | Self::Partition(..)
            | Self::StepDown => Target::Nats,
        }
    }

    /// What it is counted as.
    pub fn kind(self) -> &'static str {
        let link = |cut, swallow, slow| match self {
            Self::NatsLink(_, mode)
            | Self::PostgresLink(_, mode)
            | Self::PostgresLinks(mode)
            | Self::ClientLink(_, mode)
            | Self::Partition(_, mode) => match mode {
                Mode::Cut => cut,
                Mode::Swallow => swallow,
                Mode::Truncate(_) => "frames cut in the middle",
                _ => slow,
            },
            _ => cut,
        };
        match self {
            Self::Kill(Who::Edge(_)) => "kill -9 of an edge",
            Self::Kill(Who::Persister(_)) => "kill -9 of a persister",
            Self::Kill(Who::Sender(_)) => "kill -9 of a sender of notifications",
            Self::Drain(_) => "SIGTERM of a process",
            Self::Freeze(Who::Edge(_)) => "SIGSTOP of an edge",
            Self::Freeze(Who::Persister(_)) => "SIGSTOP of a persister",
            Self::Freeze(Who::Sender(_)) => "SIGSTOP of a sender of notifications",
            Self::NatsLink(..) => link("NATS cut off", "NATS half-open", "NATS slow"),
            Self::PostgresLink(..) | Self::PostgresLinks(_) => {
                link("Postgres cut off", "Postgres half-open", "Postgres slow")
            }
            Self::KillPostgres => "kill of Postgres",
            Self::ClientLink(..) => link("clients cut off", "clients half-open", "clients slow"),
            Self::KillNats(_) => "kill -9 of a NATS server",
            Self::FreezeNats(_) => "SIGSTOP of a NATS server",
            Self::LameDuck(_) => "lame duck of a NATS server",
            Self::Partition(..) => {
                link("NATS routes cut", "NATS routes half-open", "NATS routes slow")
            }
            Self::StepDown => "step-down of the log's leader",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "+{at:.2} s for {lasts:.2} s: {:?}", self.fault)
    }
}

/// The schedule of a run.
pub fn plan(random: &mut StdRng, shape: &Shape) -> Vec<Step> {
    let end = Duration::from_secs(shape.seconds);
    let mut steps: Vec<Step> = Vec::new();
    let mut at = Duration::from_millis(random.random_range(300..800));
    while at < end && steps.len() < shape.faults {
        let fault = draw(random, shape);
        let lasts = shape.longest.mul_f64(random.random_range(0.1..1.0_f64).powi(2));
        let lasts = lasts.max(Duration::from_millis(200));
        // What was hit has a moment to recover before it is hit again.
        let free = steps.iter().all(|step| {
            step.fault.target() != fault.target() || step.at + step.lasts + recovery(shape) < at
        });
        if free {
            steps.push(Step { at, lasts, fault });
        }
        // One after another in about half of all cases, several at once in the others.
        let pause = random.random_range(0.05..1.6) * lasts.as_secs_f64();
        at += Duration::from_secs_f64(pause.max(0.1));
    }
    steps
}

/// An upgrade: each process in its turn is told to leave and comes back, a second apart.
pub fn rolling(shape: &Shape) -> Vec<Step> {
    let persisters = (0..shape.persisters).map(Who::Persister);
    let all = persisters
        .chain((0..shape.senders).map(Who::Sender))
        .chain((0..shape.edges).map(Who::Edge));
    let lasts = Duration::from_millis(700);
    let step = |(at, who)| Step { at: Duration::from_secs(at), lasts, fault: Fault::Drain(who) };
    (1..).zip(all).map(step).collect()
}

fn recovery(shape: &Shape) -> Duration {
    if shape.nats > 1 { Duration::from_secs(2) } else { Duration::from_millis(300) }
}

fn draw(random: &mut StdRng, shape: &Shape) -> Fault {
    let edge = random.random_range(0..shape.edges);
    let who = match random.random_range(0..100) {
        0..55 => Who::Edge(edge),
        55..80 => Who::Persister(random.random_range(0..shape.persisters)),
        _ => Who::Sender(random.random_range(0..shape.senders)),
    };
    let nats = random.random_range(0..shape.nats);
    match random.random_range(0..100) {
        0..18 => Fault::Kill(who),
        18..24 => Fault::Drain(who),
        24..32 => Fault::Freeze(who),
        32..42 => Fault::NatsLink(who, link(random)),
        42..48 => Fault::PostgresLink(who, link(random)),
        48..54 => Fault::PostgresLinks(link(random)),
        54..59 => Fault::KillPostgres,
        59..77 => Fault::ClientLink(edge, client_link(random)),
        77..84 => Fault::KillNats(nats),
        84..88 => Fault::FreezeNats(nats),
        88..91 => Fault::LameDuck(nats),
        _ if shape.nats == 1 => Fault::KillNats(0),
        91..96 => {
            let mode = if random.random_bool(0.5) { Mode::Cut } else { Mode::Swallow };
            Fault::Partition(nats, mode)
        }
        _ => Fault::StepDown,
    }
}

fn link(random: &mut StdRng) -> Mode {
    match random.random_range(0..5) {
        0 | 1 => Mode::Cut,
        2 => Mode::Swallow,
        3 => Mode::Delay(Duration::from_millis(random.random_range(20..400))),
        _ => Mode::Throttle(random.random_range(4_000..60_000)),
    }
}

fn client_link(random: &mut StdRng) -> Mode {
    let modes = [
        Mode::Cut,
        Mode::Swallow,
        Mode::Truncate(random.random_range(1..4_000)),
        Mode::Delay(Duration::from_millis(random.random_range(20..800))),
        Mode::Throttle(random.random_range(2_000..40_000)),
    ];
    *modes.choose(random).expect("some")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const SHAPE: Shape = Shape {
        edges: 3,
        persisters: 2,
        senders: 2,
        nats: 3,
        users: 6,
        seconds: 60,
        longest: Duration::from_secs(8),
        faults: 100,
    };

    fn planned(seed: u64) -> Vec<String> {
        let steps = plan(&mut StdRng::seed_from_u64(seed), &SHAPE);
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(planned(7), planned(7));
        assert_ne!(planned(7), planned(8));
        assert!(planned(7).len() > 5, "{:?}", planned(7));
    }

    #[test]
    fn a_target_recovers_before_it_is_hit_again() {
        for seed in 0..50 {
            let steps = plan(&mut StdRng::seed_from_u64(seed), &SHAPE);
            for (at, step) in steps.iter().enumerate() {
                let same = |other: &&Step| other.fault.target() == step.fault.target();
                if let Some(next) = steps[at + 1..].iter().find(same) {
                    assert!(next.at > step.at + step.lasts, "seed {seed}: {step}, then {next}");
                }
            }
        }
    }
}
