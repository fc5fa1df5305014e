//! `messaging admin explain`: what became of one message, as far as anybody knows.
//!
//! The database says when it was sent and how far it has come with everybody; the log, when it was stored; each edge,
//! what it remembers of the latest events, and each process of push, of the latest notifications. What nobody knows any more is said to be unknown.

mod notification;

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Operator;
use super::table::{maybe_time, table};
use crate::bus;
use crate::bus::control::{self, Patience};
use crate::bus::log::Log;
use crate::bus::reads;
use crate::store::Store;
use crate::store::explain::{Decided, Persisted, Reach, Sighting};
use crate::store::push::decide::Verdict;
use crate::wire::control::{NOTIFIED, Notified, OfEvent, TRAIL, Trail};
use crate::wire::time;

/// Participants that are read at a time.
const PAGE: u32 = 500;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Edges remember the latest 65,536 events and processes of push their latest 131,072 notes of notifications, in memory: what is \
older, and what processes knew that have ended, is unknown. Where nothing is remembered of a notification, the reason against \
one is that of this moment.")]
pub struct Args {
    /// The message's id.
    #[arg(value_name = "UUID")]
    message: Uuid,
    /// Participants that are looked at, the lowest ids first.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// Everything that is known.
struct Story {
    message: Sighting,
    /// When the log stored it; unknown when it was erased from it.
    stored_at: Option<jiff::Timestamp>,
    trails: Vec<Trail>,
    reaches: Vec<Reach>,
    verdicts: HashMap<Uuid, Verdict>,
    decided: Decided,
    notified: Vec<Notified>,
}

/// Explains it.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let store = operator.store().await?;
    let Some(message) = store.sighting(args.message).await? else {
        bail!(
            "Postgres has no message {}. If it was acknowledged a moment ago, the persister is behind: see \
             `messaging admin doctor`. If it was refused there, it is in the dead letters.",
            args.message
        );
    };
    let client = operator.nats().await?;
    let log = Log::open(&client).await?;
    let question = OfEvent { conversation_id: message.conversation_id, seq: message.seq };
    let (trails, notified) =
        tokio::try_join!(all(&client, TRAIL, &question), all(&client, NOTIFIED, &question))?;
    let story = Story {
        stored_at: reads::stored_at(&log, message.seq).await?,
        trails,
        reaches: reaches(&store, &message, args.limit).await?,
        verdicts: verdicts(&store, &message, args.limit).await?,
        decided: store.decided().await?,
        notified,
        message,
    };
    operator.answer_text(&document(&story), || {
        format!("{}\n{}", way(&story).join("\n"), people(&story))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What every process says to a question. Another version's answer that cannot be read counts as none.
async fn all<T: DeserializeOwned>(
    client: &bus::Client,
    verb: &str,
    question: &OfEvent,
) -> anyhow::Result<Vec<T>> {
    let question = serde_json::to_vec(question)?;
    let answers = control::ask(client, verb, question.into(), Patience::default()).await?;
    Ok(answers.iter().filter_map(|answer| serde_json::from_slice(answer).ok()).collect())
}

async fn reaches(store: &Store, message: &Sighting, limit: u32) -> anyhow::Result<Vec<Reach>> {
    let mut all: Vec<Reach> = Vec::new();
    loop {
        let left = limit - u32::try_from(all.len()).context("too many")?;
        let after = all.last().map_or(Uuid::nil(), |reach| reach.user_id);
        let page = store.reaches(message, after, left.min(PAGE)).await?;
        let is_last = page.len() < left.min(PAGE) as usize;
        all.extend(page);
        if is_last || all.len() >= limit as usize {
            return Ok(all);
        }
    }
}

async fn verdicts(
    store: &Store,
    message: &Sighting,
    limit: u32,
) -> anyhow::Result<HashMap<Uuid, Verdict>> {
    let mut all = HashMap::new();
    let mut after = Uuid::nil();
    while all.len() < limit as usize {
        let page = store.verdicts(message, after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        all.extend(page);
    }
    Ok(all)
}

/// The way, a sentence for each station.
fn way(story: &Story) -> Vec<String> {
    let Sighting { seq, conversation_id, sender_id, kind, .. } = &story.message;
    let mut lines = vec![
        format!(
            "{kind} of {sender_id} in the {} {conversation_id}, sequence {seq}",
            story.message.conversation_type
        ),
        format!("sent       {}", time::format(story.message.created_at)),
    ];
    let accepted = story.trails.iter().find_map(|trail| Some((&trail.process, trail.took_micros?)));
    lines.push(match accepted {
        Some((process, micros)) => {
            format!(
                "accepted   by {process}, {:.1} ms after the request",
                f64::from(micros) / 1_000.0
            )
        }
        None => "accepted   by whom is unknown: no edge remembers it".to_owned(),
    });
    lines.push(match story.stored_at {
        Some(at) => format!("stored     {}", time::format(at)),
        None => "stored     at an unknown time: the log does not hold it any more".to_owned(),
    });
    lines.push(format!("persisted  {}", persisted(story.message.persisted)));
    if story.trails.is_empty() {
        lines.push("routed     is unknown: no edge answers".to_owned());
    }
    for trail in &story.trails {
        let what = match (trail.routed_at, trail.is_forgotten) {
            (Some(at), _) => format!("{}, to {} connections", time::format(at), trail.routed_to),
            (None, true) => "is unknown: too many came behind it".to_owned(),
            (None, false) => "not by this process".to_owned(),
        };
        lines.push(format!(
            "routed     {what} ({}); {} are connected",
            trail.process,
            trail.connections.len()
        ));
    }
    if story.notified.is_empty() {
        lines.push("notified   no process of push answers".to_owned());
    }
    for notified in &story.notified {
        let memory = match (notified.is_forgotten, notified.decisions.len()) {
            (true, _) => "does not remember all of it any more".to_owned(),
            (false, 0) => "knows of nothing".to_owned(),
            (false, count) => format!("remembers {count} steps"),
        };
        lines.push(format!("notified   {} {memory}", notified.process));
    }
    for (what, at) in [
        ("edited     ", story.message.edited_at),
        ("deleted    ", story.message.deleted_at),
        ("vanishes   ", story.message.expires_at),
    ] {
        lines.extend(at.map(|at| format!("{what}{}", time::format(at))));
    }
    let more = story.message.participants.saturating_sub(story.reaches.len() as u64);
    if more > 0 {
        lines.push(format!("{more} more participants; see --limit"));
    }
    lines
}

/// Its row is there, so it was; when, not always.
fn persisted(persisted: Persisted) -> String {
    let why = match persisted {
        Persisted::At(at) => return time::format(at),
        Persisted::Untracked => "Postgres keeps no times of writing (track_commit_timestamp = on)",
        Persisted::Changed => "the message was changed since",
        Persisted::Forgotten => "Postgres kept no times of writing then, or has forgotten this one",
    };
    format!("yes, nobody knows when: {why}")
}

fn people(story: &Story) -> comfy_table::Table {
    let mut table =
        table(&["participant", "connections", "delivered (UTC)", "read (UTC)", "notification"]);
    for reach in &story.reaches {
        table.add_row([
            reach.user_id.to_string(),
            connections(story, reach.user_id).to_string(),
            maybe_time(reach.delivered_at),
            maybe_time(reach.read_at),
            cell(story, reach),
        ]);
    }
    table
}

/// What became of the notification, and below it how that came about.
fn cell(story: &Story, reach: &Reach) -> String {
    let mut lines = vec![notification::summary(story, reach)];
    let told = notification::told(story, reach.user_id);
    lines.extend(told.iter().map(|(_, decision)| notification::line(decision)));
    lines.join("\n")
}

/// Connections of a participant that hear the conversation at this moment.
fn connections(story: &Story, user: Uuid) -> usize {
    let all = story.trails.iter().flat_map(|trail| &trail.connections);
    all.filter(|connection| connection.user_id == user).count()
}

fn document(story: &Story) -> Value {
    let at = |at: Option<jiff::Timestamp>| at.map(time::format);
    let message = &story.message;
    let participants: Vec<Value> = story
        .reaches
        .iter()
        .map(|reach| {
            json!({
                "userId": reach.user_id,
                "wasThere": reach.was_there,
                "connections": connections(story, reach.user_id),
                "deliveredAt": at(reach.delivered_at),
                "readAt": at(reach.read_at),
                "devices": reach.devices,
                "notification": notification::summary(story, reach),
                "decisions": notification::decisions(story, reach.user_id),
            })
        })
        .collect();
    let accepted = story.trails.iter().find_map(|trail| {
        Some(json!({"process": trail.process, "tookMicros": trail.took_micros?}))
    });
    json!({
        "messageId": message.id,
        "conversationId": message.conversation_id,
        "seq": message.seq,
        "senderId": message.sender_id,
        "type": message.kind,
        "sentAt": time::format(message.created_at),
        "accepted": accepted,
        "storedAt": at(story.stored_at),
        "persistedAt": at(message.persisted.at()),
        "isPersisted": true,
        "editedAt": at(message.edited_at),
        "deletedAt": at(message.deleted_at),
        "expiresAt": at(message.expires_at),
        "routed": story.trails,
        "pushProcesses": story.notified.iter().map(|notified| json!({
            "process": notified.process, "isForgotten": notified.is_forgotten,
        })).collect::<Vec<_>>(),
        "participantCount": message.participants,
        "participants": participants,
    })
}
