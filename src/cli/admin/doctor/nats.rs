//! NATS.

use std::sync::Arc;

use jiff::Timestamp;

use super::postgres::skew;
use super::{Findings, Level};
use crate::bus::refusals::Refusals;
use crate::bus::topology::{self, Standing};
use crate::bus::{Client, health};
use crate::cli::admin::Operator;
use crate::cli::sentence;
use crate::persister;
use crate::store::diagnosis::Service;
use crate::wire::subjects;

const AREA: &str = "nats";
/// The first with the stream settings that the topology uses.
const OLDEST: (u32, u32) = (2, 12);
/// The largest event, see nats/topology.toml.
const PAYLOAD: usize = 262_144;
/// Events that the persister may be behind, at 15,000 a second some ten seconds.
const LAG: u64 = 150_000;
/// Of what the account may store, in per cent.
const FULL: u64 = 80;

/// Looks at it.
pub async fn look(
    operator: &Operator,
    connected: anyhow::Result<(Client, Arc<Refusals>)>,
    database: Option<&Service>,
    findings: &mut Findings,
) {
    let (client, refusals) = match connected {
        Ok(connected) => connected,
        Err(cause) => {
            findings.add(
                AREA,
                Level::Problem,
                sentence(&cause),
                "Start it, or correct NATS_URL, NATS_USER and NATS_PASSWORD.",
            );
            return;
        }
    };
    server(operator, &client, findings);
    account(&client, findings).await;
    streams(operator, &client, findings).await;
    log(operator, &client, database, findings).await;
    if refusals.is_refused() {
        findings.add(
            AREA,
            Level::Warning,
            "the server does not let this user ask everything; the log says what",
            "Run it as the user `operator`, and apply nats/permissions.conf.",
        );
    }
}

fn server(operator: &Operator, client: &Client, findings: &mut Findings) {
    let server = health::server(client);
    let mut numbers = server.version.split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    findings.check(
        AREA,
        version >= OLDEST,
        format!("{} has version {}", server.name, server.version),
        Level::Problem,
        "Version 2.12 or newer is needed.",
    );
    findings.check(
        AREA,
        server.max_payload >= PAYLOAD,
        format!("max_payload is {} bytes", server.max_payload),
        Level::Problem,
        "The largest event has 256 KiB: raise max_payload to 1MB, its default.",
    );
    let is_local = |url: &String| {
        url.contains("127.0.0.1") || url.contains("localhost") || url.contains("[::1]")
    };
    if !server.is_encrypted && !operator.config.nats.urls.iter().all(is_local) {
        findings.add(
            AREA,
            Level::Warning,
            "connections are not encrypted",
            "Everybody's messages pass this network: use nats/tls.conf, or an encrypted network.",
        );
    }
}

async fn account(client: &Client, findings: &mut Findings) {
    match health::account(client).await {
        Ok(Some(account)) if account.limits.max_storage > 0 => {
            let limit = u64::try_from(account.limits.max_storage).unwrap_or(u64::MAX);
            let share = account.storage.saturating_mul(100) / limit.max(1);
            findings.check(
                "disk",
                share < FULL,
                format!("JetStream has {} of {} MiB in use", account.storage >> 20, limit >> 20),
                Level::Problem,
                "When it is full nothing can be sent: raise the limit (and the disk), or shorten max_age.",
            );
        }
        Ok(Some(account)) => findings.fine(
            "disk",
            format!(
                "JetStream has {} MiB in use, without a limit of the account",
                account.storage >> 20
            ),
        ),
        Ok(None) => findings.add(
            AREA,
            Level::Problem,
            "JetStream is off",
            "Switch it on in the server's configuration, as in nats/single.conf.",
        ),
        Err(cause) => {
            findings.add("disk", Level::Unknown, format!("JetStream's account: {cause}"), "");
        }
    }
}

async fn streams(operator: &Operator, client: &Client, findings: &mut Findings) {
    let replicas = operator.config.nats.replicas;
    let rows = match topology::show(client, replicas).await {
        Ok(rows) => rows,
        Err(cause) => {
            findings.add(AREA, Level::Unknown, format!("the streams: {cause}"), "");
            return;
        }
    };
    for row in rows {
        let name = row.stream;
        match row.standing {
            Standing::AsWanted => findings.fine(AREA, format!("the stream {name} is as wanted")),
            Standing::Missing => findings.add(
                AREA,
                Level::Problem,
                format!("there is no stream {name}"),
                "Run `messaging topology apply`.",
            ),
            Standing::Differs(differences) => findings.add(
                AREA,
                Level::Warning,
                format!("the stream {name}: {}", differences.join("; ")),
                "Run `messaging topology apply`, or set what the configuration says to what is meant.",
            ),
        }
    }
}

async fn log(
    operator: &Operator,
    client: &Client,
    database: Option<&Service>,
    findings: &mut Findings,
) {
    let before = Timestamp::now();
    let stream = match health::stream(client, subjects::CHAT_STREAM).await {
        Ok(Some(stream)) => stream,
        // Said already.
        Ok(None) => return,
        Err(cause) => {
            findings.add(AREA, Level::Unknown, format!("the log: {cause}"), "");
            return;
        }
    };
    if let Some(there) = stream.ts {
        skew("NATS", there, (before, Timestamp::now()), findings);
    }
    match stream.config.num_replicas {
        0 | 1 => findings.add(
            AREA,
            Level::Warning,
            "the log has one copy, which a crash of its machine may cut short by what the disk has not taken",
            "In production run three servers with `sync_interval: always` (nats/cluster.conf) and MESSAGING_NATS_REPLICAS=3.",
        ),
        replicas => findings.add(
            AREA,
            Level::Unknown,
            format!("the log has {replicas} copies; sync_interval cannot be seen from here"),
            "In production let every server have `sync_interval: always`, as in nats/cluster.conf.",
        ),
    }
    if let Some(cluster) = &stream.cluster {
        let away = cluster.replicas.iter().filter(|replica| replica.offline || !replica.current);
        let away: Vec<&str> = away.map(|replica| replica.name.as_str()).collect();
        findings.check(
            AREA,
            cluster.leader.is_some() && away.is_empty(),
            format!(
                "the log's leader is {}; behind or away: {}",
                cluster.leader.as_deref().unwrap_or("nobody"),
                if away.is_empty() { "nobody".to_owned() } else { away.join(", ") }
            ),
            if cluster.leader.is_some() { Level::Warning } else { Level::Problem },
            "One more server less and nothing can be sent: bring it back.",
        );
    }
    if stream.config.max_bytes > 0 {
        findings.add(
            AREA,
            Level::Warning,
            format!("the log is cut off at {} bytes", stream.config.max_bytes),
            "What is cut off before the persister has read it is lost: remove max_bytes.",
        );
    }
    let health::StreamState { messages, bytes, .. } = stream.state;
    findings.fine(AREA, format!("the log has {messages} events of {} MiB", bytes >> 20));
    progress(operator, client, &stream, database, findings).await;
}

async fn progress(
    operator: &Operator,
    client: &Client,
    stream: &health::Stream,
    database: Option<&Service>,
    findings: &mut Findings,
) {
    if let Some(service) = database {
        let behind = stream.state.last_seq.saturating_sub(service.last_seq);
        findings.check(
            "persister",
            behind < LAG,
            format!("Postgres is {behind} events behind the log"),
            Level::Problem,
            "Is a persister running (`serve --role persister`), and what does its log say?",
        );
        let epochs = service.epoch.as_deref().zip(stream.config.epoch());
        if service.last_seq > stream.state.last_seq || epochs.is_some_and(|(is, log)| is != log) {
            findings.add(
                "persister",
                Level::Problem,
                format!(
                    "Postgres follows another log: it is at {}, this one ends at {}",
                    service.last_seq, stream.state.last_seq
                ),
                "The log was lost or made anew: put it back from where it is, or `messaging admin restore` both.",
            );
        }
    }
    let has_role = operator.config.nats.apply_topology;
    match health::consumer(client, subjects::CHAT_STREAM, persister::NAME).await {
        Ok(Some(consumer)) => {
            findings.fine(
                "persister",
                format!("its consumer has {} events before it", consumer.num_pending),
            );
        }
        Ok(None) if has_role => findings.add(
            "persister",
            Level::Warning,
            "no persister has ever run here, or none since NATS was started",
            "Start one: until then nothing is in histories, and nobody is notified.",
        ),
        Ok(None) => {}
        Err(cause) => findings.add("persister", Level::Unknown, cause.to_string(), ""),
    }
}
