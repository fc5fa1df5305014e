//! What became of somebody's notification, and why there is none.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Story;
use crate::cli::admin::table::time as short;
use crate::store::explain::Reach;
use crate::store::push::decide::Verdict;
use crate::wire::control::Decision;
use crate::wire::time;

/// What processes of push remember of a participant, with the process, in the order of time.
pub fn told(story: &Story, user: Uuid) -> Vec<(&str, &Decision)> {
    let mut told: Vec<(&str, &Decision)> = Vec::new();
    for notified in &story.notified {
        let concerns = |decision: &&Decision| decision.user_id.is_none_or(|whose| whose == user);
        let decisions = notified.decisions.iter().filter(concerns);
        told.extend(decisions.map(|decision| (notified.process.as_str(), decision)));
    }
    told.sort_by_key(|(_, decision)| decision.at);
    told
}

/// The same as JSON.
pub fn decisions(story: &Story, user: Uuid) -> Vec<Value> {
    let one = |(process, decision): (&str, &Decision)| {
        let mut value = json!(decision);
        value["process"] = json!(process);
        value
    };
    told(story, user).into_iter().map(one).collect()
}

/// One step on a line.
pub fn line(decision: &Decision) -> String {
    let step = match decision.step.as_str() {
        "first" => "at once",
        "second" => "after the grace",
        _ => "to a device",
    };
    format!("  {} {step}: {}", short(decision.at), decision.what.replace('_', " "))
}

/// In a few words.
pub fn summary(story: &Story, reach: &Reach) -> String {
    if reach.user_id == story.message.sender_id {
        return "none: the sender".to_owned();
    }
    if let Some((due, attempts)) = reach.waiting {
        return format!("waits until {}, tried {attempts} times", time::format(due));
    }
    if reach.is_shown {
        return "shown".to_owned();
    }
    if let Some(remembered) = remembered(&told(story, reach.user_id)) {
        return remembered;
    }
    if let Some(at) = reach.dealt_with {
        return format!("sent, or given up; {} at the latest", time::format(at));
    }
    if reach.devices == 0 {
        return "none: no device".to_owned();
    }
    if story.decided.first < story.message.seq {
        return "not decided yet".to_owned();
    }
    let reason = match story.verdicts.get(&reach.user_id) {
        Some(Verdict::Alert) if story.decided.second < story.message.seq => {
            return "connected, or so it was: decided after the grace".to_owned();
        }
        Some(Verdict::Alert) | None => "unknown: nothing is kept of it",
        Some(Verdict::Read) => "read by now; whether one was shown before is unknown",
        Some(Verdict::Delivered) => "delivered by now; whether one was shown before is unknown",
        Some(Verdict::Muted) => "none: muted",
        Some(Verdict::Blocked) => "none: blocked",
        Some(Verdict::Barred) => "none: suspended or banned",
        Some(Verdict::JoinedLater) => "none: came later",
    };
    reason.to_owned()
}

/// What the processes of push say, if they say anything. What was sent counts, whatever was found out later.
fn remembered(told: &[(&str, &Decision)]) -> Option<String> {
    let sent = told.iter().find(|(_, decision)| decision.what.starts_with("sent"));
    let tried = || told.iter().rfind(|(_, decision)| decision.step == "sending");
    let (_, decision) = sent.or_else(tried).or(told.last())?;
    let at = time::format(decision.at);
    Some(match (decision.step.as_str(), decision.what.as_str()) {
        (_, "sent") => format!("sent at {at}"),
        (_, "sent_quietly") => format!("sent without a sound at {at}"),
        ("sending", "token_gone") => "none: Google does not know the device any more".to_owned(),
        ("sending", "credentials") => "waits: Google refuses the credentials".to_owned(),
        ("sending", "given_up") => format!("given up at {at}; see `messaging admin dead list`"),
        ("first", "connected") => "connected; decided after the grace".to_owned(),
        (_, "alert") => format!("decided at {at}; sent by nobody who answers"),
        (_, "barred") => "none: suspended or banned".to_owned(),
        (_, "joined_later") => "none: came later".to_owned(),
        (_, "too_old") => "none: too old when it was its turn".to_owned(),
        (_, "superseded") => "none: a newer one was shown".to_owned(),
        (_, other) => format!("none: {}", other.replace('_', " ")),
    })
}
