//! Compares what every device saw with the log and with Postgres.
//!
//! Pure: records in, sentences out. What it must object to is in `checker/tests.rs`.

mod devices;
mod markers;
mod members;
mod pushes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::record::{At, Device, Entry, File, Message, Reactions, Row, Truth};
use members::Members;

/// Everything that is to be compared.
pub struct Case {
    pub devices: Vec<Device>,
    pub truth: Truth,
    /// Times are told from here.
    pub began: At,
}

/// What differs, in words; nothing when all is well.
pub fn check(case: &Case) -> Vec<String> {
    let mut objections: Vec<String> = Vec::new();
    let index = Index::new(case);
    for device in &case.devices {
        objections.extend(device.complaints.iter().map(|text| format!("{}: {text}", device.name)));
    }
    index.accepted_is_stored(&mut objections);
    index.stored_once(&mut objections);
    index.log_is_table(&mut objections);
    index.nothing_unasked(&mut objections);
    index.deleted_is_nowhere(&mut objections);
    index.counters_are_dense(&mut objections);
    index.edges_show_the_table(&mut objections);
    index.files_are_their_messages(&mut objections);
    markers::check(&index, &mut objections);
    pushes::check(&index, &mut objections);
    for device in &case.devices {
        devices::check(&index, device, &mut objections);
    }
    objections
}

/// The case, with what is looked up often.
struct Index<'a> {
    case: &'a Case,
    /// `newMessage` entries that are still in the log.
    logged: BTreeMap<u64, &'a Entry>,
    /// Where each row was stored in time: by the log, or by its own account when it was erased there.
    rows: BTreeMap<u64, (&'a Row, At)>,
    members: Members,
    /// As an edge shows them.
    reactions: BTreeMap<Uuid, &'a Reactions>,
}

impl<'a> Index<'a> {
    fn new(case: &'a Case) -> Self {
        let new = case.truth.log.iter().filter(|entry| entry.kind == "newMessage");
        let logged: BTreeMap<u64, &Entry> = new.map(|entry| (entry.seq, entry)).collect();
        let rows = case.truth.rows.iter().map(|row| {
            let at = logged.get(&row.seq).map_or(row.created_at, |entry| entry.at);
            (row.seq, (row, at))
        });
        let shown = case.truth.histories.iter().flat_map(|(.., messages)| messages);
        let reactions = shown.map(|message| (message.id, &message.reactions)).collect();
        let members = Members::new(&case.truth.log);
        Self { case, rows: rows.collect(), members, reactions, logged }
    }

    /// Seconds since the beginning.
    fn time(&self, at: At) -> String {
        format!("+{:.3} s", (at - self.case.began) as f64 / 1e6)
    }

    /// A message in words.
    fn message(&self, row: &Row) -> String {
        let accepted = self.case.devices.iter().find_map(|device| {
            let found = device.accepted.iter().find(|accepted| accepted.id == row.id)?;
            Some(format!(", acknowledged to {} at {}", device.name, self.time(found.at)))
        });
        let name = row.name.as_deref().unwrap_or("unnamed");
        format!("seq {} ({name}{})", row.seq, accepted.unwrap_or_default())
    }

    fn accepted_is_stored(&self, objections: &mut Vec<String>) {
        for device in &self.case.devices {
            let mut first: BTreeMap<&str, (Uuid, u64)> = BTreeMap::new();
            for accepted in &device.accepted {
                let place = (accepted.id, accepted.seq);
                let original = *first.entry(&accepted.name).or_insert(place);
                if original != place {
                    objections.push(format!(
                        "{} was told two places for {}: {original:?} and {place:?}",
                        device.name, accepted.name
                    ));
                }
                match self.rows.get(&accepted.seq) {
                    Some((row, _))
                        if row.id == accepted.id && row.conversation == accepted.conversation => {}
                    found => objections.push(format!(
                        "seq {} ({}) was acknowledged to {} at {}, but Postgres has {} there",
                        accepted.seq,
                        accepted.name,
                        device.name,
                        self.time(accepted.at),
                        found.map_or("nothing".to_owned(), |(row, _)| format!("{:?}", row.id)),
                    )),
                }
            }
        }
    }

    fn stored_once(&self, objections: &mut Vec<String>) {
        let mut ids: BTreeMap<Uuid, u64> = BTreeMap::new();
        let mut names: BTreeMap<(Uuid, &str), u64> = BTreeMap::new();
        for row in &self.case.truth.rows {
            if let Some(first) = ids.insert(row.id, row.seq) {
                objections.push(format!("{} is in Postgres at {first} and {}", row.id, row.seq));
            }
            let Some(name) = &row.name else { continue };
            if let Some(first) = names.insert((row.sender, name), row.seq) {
                objections.push(format!("{name} was stored twice: at {first} and {}", row.seq));
            }
        }
        let mut ids: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in self.logged.values() {
            let id = entry.data["id"].as_str().unwrap_or_default();
            if let Some(first) = ids.insert(id, entry.seq) {
                objections.push(format!("the log has {id} at {first} and {}", entry.seq));
            }
        }
    }

    /// Whoever may read a message may have its file, and nobody has it when the message is gone.
    fn files_are_their_messages(&self, objections: &mut Vec<String>) {
        for file in &self.case.truth.files {
            let File { seq, edge, status, .. } = file;
            if file.deleted && ![403, 404, 410].contains(status) {
                objections.push(format!(
                    "edge {edge} answers {status} for the file of the deleted seq {seq}"
                ));
            }
            if !file.deleted && (*status != 200 || !file.whole) {
                let what =
                    if *status == 200 { "something else".to_owned() } else { status.to_string() };
                objections.push(format!("edge {edge} answers {what} for the file of seq {seq}"));
            }
        }
    }

    fn log_is_table(&self, objections: &mut Vec<String>) {
        for (seq, entry) in &self.logged {
            let id = entry.data["id"].as_str().unwrap_or_default();
            match self.rows.get(seq) {
                None => objections.push(format!("seq {seq} is in the log and not in Postgres")),
                Some((row, _)) if row.id.to_string() != id => {
                    objections.push(format!("seq {seq} is {id} in the log, {} in Postgres", row.id))
                }
                Some((row, _)) if row.deleted => {
                    objections.push(format!("seq {seq} was deleted and is still in the log"))
                }
                Some(_) => {}
            }
        }
        for (seq, (row, _)) in &self.rows {
            if !row.deleted && !self.logged.contains_key(seq) {
                objections.push(format!("seq {seq} is in Postgres and not in the log"));
            }
        }
        let mut contents: BTreeMap<&str, &str> = BTreeMap::new();
        for entry in &self.case.truth.log {
            if ["newMessage", "messageUpdated"].contains(&entry.kind.as_str())
                && let (Some(id), Some(content)) =
                    (entry.data["id"].as_str(), entry.data["content"].as_str())
            {
                contents.insert(id, content);
            }
        }
        for (row, _) in self.rows.values().filter(|(row, _)| !row.deleted) {
            let expected = contents.get(row.id.to_string().as_str()).copied();
            if expected.is_some_and(|expected| expected != row.content) {
                objections.push(format!(
                    "seq {} is {:?} in Postgres and {expected:?} after the log's last edit",
                    row.seq, row.content
                ));
            }
        }
    }

    /// What is stored was sent by somebody who knows of it.
    fn nothing_unasked(&self, objections: &mut Vec<String>) {
        let mut known: BTreeSet<(Uuid, &str)> = BTreeSet::new();
        for device in &self.case.devices {
            known.extend(device.accepted.iter().map(|a| (device.user, a.name.as_str())));
            known.extend(device.unsure.iter().map(|name| (device.user, name.as_str())));
        }
        for row in &self.case.truth.rows {
            let Some(name) = &row.name else { continue };
            if !known.contains(&(row.sender, name.as_str())) {
                objections.push(format!("seq {} ({name}) was never acknowledged", row.seq));
            }
        }
    }

    fn deleted_is_nowhere(&self, objections: &mut Vec<String>) {
        for device in &self.case.devices {
            for id in &device.deleted {
                let row = self.case.truth.rows.iter().find(|row| row.id == *id);
                if row.is_some_and(|row| !row.deleted || !row.content.is_empty()) {
                    objections.push(format!(
                        "{id} was deleted by {} and still has its content in Postgres",
                        device.name
                    ));
                }
            }
        }
        let gone = self.rows.values().filter(|(row, _)| row.deleted).map(|(row, _)| row.id);
        let gone: BTreeSet<String> = gone.map(|id| id.to_string()).collect();
        for entry in &self.case.truth.log {
            let id = entry.data["id"].as_str().unwrap_or_default();
            if entry.kind == "messageUpdated" && gone.contains(id) {
                objections.push(format!(
                    "{id} was deleted and an edit of it is still in the log at {}",
                    entry.seq
                ));
            }
        }
    }

    fn counters_are_dense(&self, objections: &mut Vec<String>) {
        let mut counters: BTreeMap<Uuid, (u64, u64)> = BTreeMap::new();
        for (row, _) in self.rows.values() {
            let (counter, last) = counters.entry(row.conversation).or_default();
            *counter += 1;
            *last = row.seq;
            if row.counter != *counter {
                objections
                    .push(format!("seq {} counts as {}, not {counter}", row.seq, row.counter));
                return;
            }
        }
        for (conversation, stored) in &self.case.truth.counters {
            let counted = counters.get(conversation).copied().unwrap_or_default();
            if counted != *stored {
                objections.push(format!(
                    "{conversation} has (messages, last) {counted:?} and says {stored:?}"
                ));
            }
        }
    }

    fn edges_show_the_table(&self, objections: &mut Vec<String>) {
        for (edge, conversation, shown) in &self.case.truth.histories {
            let rows = self.rows.values().filter(|(row, _)| row.conversation == *conversation);
            let rows: Vec<(u64, Uuid, &str)> =
                rows.map(|(row, _)| (row.seq, row.id, row.content.as_str())).collect();
            let key = |m: &Message| (m.seq, m.id, m.content.clone());
            let same = shown.len() == rows.len()
                && shown.iter().map(key).zip(&rows).all(|(a, b)| (a.0, a.1, a.2.as_str()) == *b);
            if !same {
                let missing = rows.iter().find(|row| !shown.iter().any(|m| m.seq == row.0));
                objections.push(format!(
                    "edge {edge} shows {} messages of {conversation}, Postgres has {}; first missing: {:?}",
                    shown.len(),
                    rows.len(),
                    missing.map(|row| row.0)
                ));
            }
        }
    }
}
