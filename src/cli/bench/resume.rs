//! One client after the other comes back after much has happened: how long until it has everything?
//!
//! Each client has a partner who writes to it while it is away; what the other partners write meanwhile is what
//! happened elsewhere. Every return shows the same cursor, so each sample replays the same.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::Method;
use serde::Serialize;

use super::caller::{Caller, Service, now};
use super::codec::{Head, Id, Incoming, Protocol, Request, Stamp, Ticket};
use super::engine::{self, latencies};
use super::prepare::{Plan, Prepared, prepare};
use super::process;
use super::report::{Checks, Cost, Figures, Percentiles, cost_table, costs, table};
use super::rest::Client;
use super::target::Target;
use super::verify::Objections;

/// What to run.
#[derive(Debug)]
pub struct Settings {
    pub protocol: Protocol,
    pub clients: u32,
    /// Messages that each of them misses.
    pub missed: u32,
    /// Returns of each.
    pub rounds: u32,
    pub content_bytes: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub shape: &'static str,
    pub protocol: &'static str,
    pub clients: u32,
    pub missed_of_ones_own: u32,
    pub happened_elsewhere: u64,
    /// From dialling until the welcome.
    pub connected: Percentiles,
    /// From dialling until everything was there.
    pub caught_up: Percentiles,
    pub cpu: Vec<Cost>,
    pub checks: Checks,
}

/// A client with the ticket it comes back with, and what it has to get.
struct Returner {
    token: String,
    ticket: Ticket,
    missed: Vec<(u64, Id)>,
}

/// Runs against the target.
pub async fn run(target: &Target, settings: Settings) -> anyhow::Result<Report> {
    let pairs = settings.clients;
    let plan = std::sync::Arc::new(Plan::direct(2 * pairs, 2 * pairs));
    let bar = super::run::bar(pairs.into(), "conversations");
    let prepared = prepare(&target.base, &target.secret, 2 * pairs, plan, bar.clone()).await?;
    bar.finish_and_clear();
    let service = Service {
        protocol: settings.protocol,
        address: super::run::resolve(&target.base.authority).await?,
        host: target.base.authority.clone(),
    };
    let (missed, content_bytes) = (settings.missed, settings.content_bytes);
    let calling = service.clone();
    let (clients, conversations) = tokio::task::spawn_blocking(move || {
        let clients = happen(&calling, &prepared, missed, content_bytes)?;
        anyhow::Ok((clients, prepared.conversations))
    })
    .await??;
    persisted(target, &clients, &conversations).await?;

    let before = process::usage(&target.processes);
    let rounds = settings.rounds;
    let measured = tokio::task::spawn_blocking(move || measure(&service, &clients, rounds));
    let (connected, caught_up, objections) = measured.await??;
    let after = process::usage(&target.processes);
    Ok(Report {
        shape: "resume",
        protocol: settings.protocol.name(),
        clients: pairs,
        missed_of_ones_own: missed,
        happened_elsewhere: u64::from(missed) * u64::from(pairs - 1),
        cpu: costs(&target.processes, &before, &after, u64::from(pairs) * u64::from(rounds)),
        connected: (&connected).into(),
        caught_up: (&caught_up).into(),
        checks: Checks {
            passed: objections.count == 0,
            objections: objections.count,
            explanations: objections.texts,
        },
    })
}

/// Everybody connects and notes where it is; then the clients leave and their partners write.
fn happen(
    service: &Service,
    prepared: &Prepared,
    missed: u32,
    content_bytes: usize,
) -> anyhow::Result<Vec<Returner>> {
    let pairs = prepared.users.len() / 2;
    let mut request = Request::new(service.protocol, content_bytes);
    let mut partners = Vec::with_capacity(pairs);
    let mut clients = Vec::with_capacity(pairs);
    for pair in 0..pairs {
        let mut partner = service.call(&prepared.users[pair + pairs].token, None)?;
        let token = prepared.users[pair].token.clone();
        let mut client = service.call(&token, None)?;
        let mut ticket = Ticket::begin(&client.welcome);
        // One message while it is there: over Socket.IO only an event carries a cursor.
        write(&mut partner, &mut request, prepared, pair, 0)?;
        client.next(|incoming, text| {
            ticket.keep(service.protocol, text);
            matches!(incoming, Incoming::Message(_)).then_some(())
        })?;
        partners.push(partner);
        clients.push(Returner { token, ticket, missed: Vec::new() });
    }
    for number in 1..=missed {
        // All write before the first is answered, so that conversations mix.
        for (pair, partner) in partners.iter_mut().enumerate() {
            ask(partner, &mut request, prepared, pair, number)?;
        }
        for (partner, client) in partners.iter_mut().zip(&mut clients) {
            let head = answer(partner, number)?;
            client.missed.push((head.seq, head.id));
        }
    }
    Ok(clients)
}

fn write(
    partner: &mut Caller,
    request: &mut Request,
    prepared: &Prepared,
    pair: usize,
    number: u32,
) -> anyhow::Result<Head> {
    ask(partner, request, prepared, pair, number)?;
    answer(partner, number)
}

fn ask(
    partner: &mut Caller,
    request: &mut Request,
    prepared: &Prepared,
    pair: usize,
    number: u32,
) -> anyhow::Result<()> {
    let stamp = Stamp { sender: pair as u32, number, due: 0 };
    partner.write(request.fill(&prepared.conversations[pair], stamp))
}

fn answer(partner: &mut Caller, number: u32) -> anyhow::Result<Head> {
    partner.next(|incoming, _| match incoming {
        Incoming::Accepted(answered, head) if answered == number => Some(Ok(head)),
        Incoming::Refused(_, code) => Some(Err(anyhow::anyhow!("a message was refused: {code}"))),
        _ => None,
    })?
}

/// Waits until the newest message of all can be read from Postgres.
async fn persisted(
    target: &Target,
    clients: &[Returner],
    conversations: &[Id],
) -> anyhow::Result<()> {
    let newest = clients.iter().zip(conversations).max_by_key(|(client, _)| client.missed.last());
    let (client, conversation) = newest.context("nobody takes part")?;
    let (seq, _) = client.missed.last().context("nothing was missed")?;
    let mut rest = Client::connect(&target.base).await?;
    let conversation = String::from_utf8_lossy(conversation);
    let path = format!("/messaging/conversations/{conversation}/messages?limit=1");
    let deadline = now() + Duration::from_secs(60);
    loop {
        let page = rest.json(Method::GET, &path, &client.token, None).await?;
        if page["messages"][0]["seq"] == *seq {
            return Ok(());
        }
        if now() > deadline {
            bail!("history does not reach what was acknowledged");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type Measured = (engine::Latencies, engine::Latencies, Objections);

/// Everybody comes back, one after the other, so many times.
fn measure(service: &Service, clients: &[Returner], rounds: u32) -> anyhow::Result<Measured> {
    let (mut connected, mut caught_up) = (latencies(), latencies());
    let mut objections = Objections::default();
    for _ in 0..rounds {
        for (number, client) in clients.iter().enumerate() {
            let begun = now();
            let mut caller = service.call(&client.token, Some(&client.ticket))?;
            connected.saturating_record(begun.elapsed().as_micros() as u64);
            let mut got = Vec::with_capacity(client.missed.len());
            let missed = caller.next(|incoming, _| match incoming {
                Incoming::Message(head) => {
                    got.push((head.seq, head.id));
                    None
                }
                Incoming::CaughtUp => Some(None),
                Incoming::Missed(event) => Some(Some(event)),
                _ => None,
            });
            let missed = missed.with_context(|| format!("client {number}, {} got", got.len()))?;
            caught_up.saturating_record(begun.elapsed().as_micros() as u64);
            if !client.ticket.is_honoured(service.protocol, &caller.welcome) {
                objections.add(|| format!("client {number} came back and was not recovered"));
            }
            if let Some(event) = missed {
                objections.add(|| format!("client {number} was told `{event}`"));
            } else if got != client.missed {
                let (got, all) = (got.len(), client.missed.len());
                objections.add(|| format!("client {number} got {got} messages, not the {all} that it missed, each once and in order"));
            }
        }
    }
    Ok((connected, caught_up, objections))
}

impl Figures for Report {
    fn passed(&self) -> bool {
        self.checks.passed
    }

    fn table(&self) -> String {
        let mut text = format!(
            "resume over {}: {} clients, {} messages missed of one's own, {} events elsewhere\n",
            self.protocol, self.clients, self.missed_of_ones_own, self.happened_elsewhere
        );
        let mut times = table(&["ms from dialling", "samples", "p50", "p90", "p99", "max"]);
        for (name, p) in [("connected", &self.connected), ("caught up", &self.caught_up)] {
            let millis = [p.p50_micros, p.p90_micros, p.p99_micros, p.max_micros]
                .map(|micros| format!("{:.2}", micros as f64 / 1000.0));
            times.add_row([name.to_owned(), p.count.to_string()].into_iter().chain(millis));
        }
        let cpu = cost_table("µs/return", &self.cpu);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{times}\n\n{cpu}\n\n{}", self.checks.words());
        text
    }
}
