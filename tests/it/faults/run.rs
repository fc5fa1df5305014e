//! One run: people talk, things break, everything heals, and what everyone saw is compared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::checker::{Case, check};
use super::client::{Cast, Client, Order, Scene, Status};
use super::leaks;
use super::link::Protocol;
use super::plan::{Shape, Step, plan, rolling};
use super::pushes;
use super::record::{Device, Undelivered, now};
use super::stage::Stage;
use super::truth;
use crate::harness::User;
use crate::harness::flow::id_of;
use crate::harness::world::user;

/// What healing may take: an election, a frozen leader's lock, and the clients' own patience.
const HEALED: Duration = Duration::from_secs(60);

/// What a run has come to.
pub struct Outcome {
    pub steps: Vec<Step>,
    pub objections: Vec<String>,
    pub accepted: usize,
    pub resumed: usize,
    pub resets: usize,
    /// The longest that this process itself stood still, in milliseconds: with seconds of it on a machine that is too
    /// busy, objections about replies and times are its own.
    pub stall: usize,
    /// What the processes have said, for those who have to find out why.
    pub logs: String,
}

struct Cased {
    name: String,
    status: Arc<Status>,
    task: JoinHandle<Device>,
}

/// What `look` finds, or what did not come true in time.
pub async fn awaited<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T, String> {
    let deadline = Instant::now() + patience;
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    loop {
        ticks.tick().await;
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {patience:?}"));
        }
    }
}

/// Runs what the seed says.
pub async fn run(seed: u64, shape: &Shape) -> Outcome {
    let mut random = StdRng::seed_from_u64(seed);
    let steps = plan(&mut random, shape);
    carry_out(steps, seed, random, shape).await
}

/// Every process is asked to stop and replaced, one after the other, while everybody talks.
pub async fn upgrade(shape: &Shape) -> Outcome {
    let steps = rolling(shape);
    carry_out(steps, 0, StdRng::seed_from_u64(0), shape).await
}

async fn carry_out(steps: Vec<Step>, seed: u64, mut random: StdRng, shape: &Shape) -> Outcome {
    let mut guard = Telltale { seed, steps: &steps, quiet: false };
    let mut stage = Stage::start(shape, &mut random).await;
    let users: Vec<User> = (0..shape.users).map(|n| user(&format!("U{n}"))).collect();
    let absent = user("Absent");
    let scenes = open_conversations(&stage, &users, &absent).await;
    let phones = pushes::register(&stage, &users, &absent).await;
    let cast = Arc::new(Cast { edges: stage.doors(), conversations: scenes });
    let before = leaks::baseline(&stage).await;
    let began = now();
    let (orders, _) = watch::channel(Order::Talk);
    let clients = invite(&users, &cast, &orders, &mut random);
    let mut objections = Vec::new();

    let talk = awaited("everybody talks", HEALED, async || {
        let talks = |client: &Cased| client.status.accepted.load(Ordering::Relaxed) > 0;
        clients.iter().all(talks).then_some(())
    });
    objections.extend(talk.await.err());
    let stall = Arc::new(AtomicUsize::new(0));
    let watching = tokio::spawn(watch_itself(stall.clone()));
    storm(&mut stage, &steps).await;
    let (unfinished, undelivered) = end(&stage, &users, &cast, &orders, &clients).await;
    objections.extend(unfinished);
    orders.send_replace(Order::Stop);
    watching.abort();
    let count = |what: fn(&Status) -> &AtomicUsize| -> usize {
        clients.iter().map(|client| what(&client.status).load(Ordering::Relaxed)).sum()
    };
    let (accepted, resumed, resets) =
        (count(|s| &s.accepted), count(|s| &s.resumed), count(|s| &s.resets));
    let mut devices = Vec::new();
    for client in clients {
        devices.push(client.task.await.expect("a client does not panic"));
    }
    objections.extend(truth::settled(&stage).await.err());
    objections.extend(pushes::settled(&stage).await.err());
    objections.extend(leaks::check(&stage, &before).await);
    let everybody = [&users[..], &[absent]].concat();
    let mut truth = truth::read(&stage, &everybody).await;
    truth.pushes = pushes::read(&stage).await;
    truth.phones = phones;
    truth.undelivered = undelivered;
    truth.files = truth::files(&stage, &truth, &everybody, &devices).await;
    let case = Case { devices, truth, began };
    objections.extend(check(&case));
    for actor in stage.actors() {
        objections.extend(actor.unexpected());
    }
    let mut logs = String::new();
    if !objections.is_empty() {
        for actor in stage.actors() {
            logs += &format!("---- {} said:\n{}\n", actor.name, actor.said());
        }
    }
    for actor in stage.actors() {
        objections.extend(actor.stop().await);
    }
    guard.quiet = true;
    drop(guard);
    let stall = stall.load(Ordering::Relaxed);
    Outcome { steps, objections, accepted, resumed, resets, stall, logs }
}

/// Notes the longest time in which nothing of this process ran.
async fn watch_itself(longest: Arc<AtomicUsize>) {
    const BEAT: Duration = Duration::from_millis(100);
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        beats.tick().await;
        let late = last.elapsed().saturating_sub(BEAT).as_millis();
        longest.fetch_max(usize::try_from(late).unwrap_or(usize::MAX), Ordering::Relaxed);
        last = Instant::now();
    }
}

/// Says what was going on when something panics.
struct Telltale<'a> {
    seed: u64,
    steps: &'a [Step],
    quiet: bool,
}

impl Drop for Telltale<'_> {
    fn drop(&mut self) {
        if !self.quiet {
            eprintln!("seed {}, with these faults:", self.seed);
            self.steps.iter().for_each(|step| eprintln!("  {step}"));
        }
    }
}

/// Everyone with the next, a group with guests, and one of all. Somebody who never has a connection is in both groups
/// and has a direct conversation.
async fn open_conversations(stage: &Stage, users: &[User], absent: &User) -> Vec<Scene> {
    let mut scenes = Vec::new();
    let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
    let open = async |edge: usize, by: &User, body: Value| {
        let rest = stage.rest(edge % stage.edges.len(), &by.token);
        id_of(&rest.post("/conversations", body).await.expect(201))
    };
    for at in 0..users.len() - 1 {
        let body = json!({"type": "direct", "participantIds": [ids[at + 1]]});
        let id = open(at, &users[at], body).await;
        scenes.push(Scene { id, members: vec![ids[at], ids[at + 1]], guests: Vec::new() });
    }
    let body = json!({"type": "direct", "participantIds": [absent.id]});
    let id = open(0, &users[0], body).await;
    scenes.push(Scene { id, members: vec![ids[0]], guests: Vec::new() });
    let staying = users.len() - users.len() / 3;
    let (members, guests) = ids.split_at(staying);
    for (at, (members, guests)) in [(members, guests), (&ids[..], &[][..])].into_iter().enumerate()
    {
        let others = [&members[1..], guests, &[absent.id]].concat();
        let body = json!({"type": "group", "title": "Talk", "participantIds": others});
        let id = open(at, &users[0], body).await;
        scenes.push(Scene { id, members: members.to_vec(), guests: guests.to_vec() });
    }
    scenes
}

/// A phone for everyone and a tablet for every other, in both protocols.
fn invite(
    users: &[User],
    cast: &Arc<Cast>,
    orders: &watch::Sender<Order>,
    random: &mut StdRng,
) -> Vec<Cased> {
    let mut clients = Vec::new();
    for (at, user) in users.iter().enumerate() {
        for device in &["phone", "tablet"][..1 + (at + 1) % 2] {
            let native = (at + usize::from(*device == "tablet")).is_multiple_of(2);
            let protocol = if native { Protocol::Native } else { Protocol::SocketIo };
            let name = format!("{}'s {device}", user.name);
            let seed = StdRng::seed_from_u64(random.random());
            let client = Client::new(&name, user, protocol, seed, cast.clone(), orders.subscribe());
            let status = client.status.clone();
            clients.push(Cased { name, status, task: tokio::spawn(client.run()) });
        }
    }
    clients
}

async fn storm(stage: &mut Stage, steps: &[Step]) {
    let mut moments: Vec<(Duration, bool, usize)> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        moments.push((step.at, true, at));
        moments.push((step.at + step.lasts, false, at));
    }
    moments.sort_unstable();
    let start = Instant::now();
    for (at, begins, step) in moments {
        tokio::time::sleep_until(start + at).await;
        if begins {
            stage.begin(steps[step].fault).await;
        } else {
            stage.end(steps[step].fault).await;
        }
    }
}

/// Everything works again: what is not acknowledged is brought to an end, and everyone comes to the present.
async fn end(
    stage: &Stage,
    users: &[User],
    cast: &Cast,
    orders: &watch::Sender<Order>,
    clients: &[Cased],
) -> (Vec<String>, Vec<Undelivered>) {
    let mut objections = Vec::new();
    objections.extend(stage.ready(HEALED).await.err());
    orders.send_replace(Order::Finish);
    objections.extend(all_idle(clients, "unfinished").await);
    objections.extend(truth::vanished(stage).await.err());
    let mut places: BTreeMap<Uuid, Vec<(Uuid, u64)>> = BTreeMap::new();
    let participants = truth::participants(stage).await;
    for scene in &cast.conversations {
        let member = users.iter().find(|user| user.id == scene.members[0]).expect("of the cast");
        let rest = stage.rest(0, &member.token);
        let body = json!({"conversationId": scene.id, "content": "the end"});
        let sent = awaited("the last message is accepted", HEALED, async || {
            let answer = rest.post("/messages", body.clone()).await;
            (answer.status == 201).then(|| answer.body["seq"].as_u64())?
        });
        match sent.await {
            Ok(seq) => {
                let comes = |id: Uuid| users.iter().any(|user| user.id == id);
                for (_, user) in participants.iter().filter(|(c, u)| *c == scene.id && comes(*u)) {
                    places.entry(*user).or_default().push((scene.id, seq));
                }
            }
            Err(why) => objections.push(why),
        }
    }
    for client in clients {
        client.status.idle.store(false, Ordering::SeqCst);
    }
    let places = Arc::new(places);
    orders.send_replace(Order::Until(places.clone()));
    objections.extend(all_idle(clients, "not at the end").await);
    (objections, truth::undelivered(stage, &places).await)
}

async fn all_idle(clients: &[Cased], what: &str) -> Option<String> {
    let busy = || {
        let busy = clients.iter().filter(|client| !client.status.idle.load(Ordering::SeqCst));
        busy.map(|client| client.name.as_str()).collect::<Vec<_>>()
    };
    let idle = awaited("idle", HEALED, async || busy().is_empty().then_some(()));
    idle.await.err().map(|_| format!("still {what} after {HEALED:?}: {}", busy().join(", ")))
}

/// The message of a failed test: the shortest way to understand and to repeat it.
pub fn report(seed: u64, outcome: &Outcome) -> String {
    let (count, stall) = (outcome.objections.len(), outcome.stall);
    let mut text =
        format!("seed {seed}: {count} objections (the suite itself stood still for {stall} ms)\n");
    for objection in outcome.objections.iter().take(12) {
        text += &format!("  - {objection}\n");
    }
    text += "with these faults:\n";
    for step in &outcome.steps {
        text += &format!("  {step}\n");
    }
    text
}
