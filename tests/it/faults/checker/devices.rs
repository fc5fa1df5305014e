//! One device: everything once, in order, to the end, and nothing that is not its user's business.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Index;
use crate::faults::record::{Allowed, At, Device, Event, Message, Note, Row, What};

/// What the device shows of a message at the end.
struct Shown {
    message: Message,
    /// It came as an event, or was fetched when that was asked for.
    rightly: bool,
}

pub fn check(index: &Index<'_>, device: &Device, objections: &mut Vec<String>) {
    in_order_and_once(index, device, objections);
    nothing_after_leaving(index, device, objections);
    let shown = view(index, device);
    for conversation in index.members.conversations(device.user) {
        complete(index, device, conversation, &shown, objections);
    }
}

/// New messages ascend in each conversation over the whole life of the device, cursors ascend on each connection,
/// and nothing comes twice.
fn in_order_and_once(index: &Index<'_>, device: &Device, objections: &mut Vec<String>) {
    let mut newest: BTreeMap<Uuid, u64> = BTreeMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut last_cursor = 0;
    for note in &device.notes {
        let (cursor, event) = match &note.what {
            What::Connected { .. } => {
                last_cursor = 0;
                continue;
            }
            What::Event { cursor, event } => (*cursor, event),
            _ => continue,
        };
        let Some(cursor) = cursor else { continue };
        let at = index.time(note.at);
        if cursor < last_cursor {
            objections
                .push(format!("{} got cursor {cursor} behind {last_cursor} at {at}", device.name));
        }
        last_cursor = last_cursor.max(cursor);
        let key = match event {
            Event::New(message) => {
                let newest = newest.entry(message.conversation).or_default();
                if message.seq < *newest {
                    objections.push(format!(
                        "{} saw seq {} after {newest} of the same conversation at {at}",
                        device.name, message.seq
                    ));
                }
                *newest = (*newest).max(message.seq);
                format!("seq {} ({})", message.seq, message.id)
            }
            Event::Updated(message) => format!("edit {cursor} of seq {}", message.seq),
            Event::Deleted { id, .. } => format!("deletion {cursor} of {id}"),
            Event::Reaction { id, .. } => format!("reaction {cursor} to {id}"),
            Event::Membership { change, conversation, .. } => {
                format!("{change} {cursor} of {conversation}")
            }
        };
        if !seen.insert(key.clone()) {
            objections.push(format!("{} got {key} twice, again at {at}", device.name));
        }
    }
}

fn nothing_after_leaving(index: &Index<'_>, device: &Device, objections: &mut Vec<String>) {
    for note in &device.notes {
        let What::Event { event: Event::New(message), .. } = &note.what else { continue };
        let left = index.members.left(message.conversation, device.user);
        if left.is_some_and(|left| message.seq > left) {
            objections.push(format!(
                "{} got seq {} although its user had left at {}",
                device.name,
                message.seq,
                left.unwrap_or_default()
            ));
        }
        if !index.members.ever(message.conversation, device.user) {
            objections.push(format!("{} got seq {} of strangers", device.name, message.seq));
        }
    }
}

/// What the device shows, as an app computes it from events and from what it fetches.
fn view(index: &Index<'_>, device: &Device) -> BTreeMap<Uuid, Shown> {
    let mut view = View::default();
    for note in &device.notes {
        match &note.what {
            What::Event { event, .. } => view.apply(event, note.at),
            What::Fetched { since, allowed, messages, .. } => {
                for message in messages {
                    view.fetched(message, *since, covers(index, *allowed, message.seq));
                }
            }
            _ => {}
        }
    }
    view.shown
}

/// Emoji, user, and whether it was added.
type Reaction = (String, Uuid, bool);

#[derive(Default)]
struct View {
    shown: BTreeMap<Uuid, Shown>,
    /// Deleted, perhaps before the message itself was fetched.
    gone: BTreeSet<Uuid>,
    /// What is fetched may be from before them.
    reacted: BTreeMap<Uuid, Vec<(At, Reaction)>>,
}

impl View {
    fn apply(&mut self, event: &Event, at: At) {
        match event {
            Event::New(message) => {
                let message = message.clone();
                self.shown.insert(message.id, Shown { message, rightly: true });
            }
            Event::Updated(message) => match self.shown.get_mut(&message.id) {
                Some(there) => {
                    // An edit does not speak of reactions.
                    let reactions = std::mem::take(&mut there.message.reactions);
                    there.message = Message { reactions, ..message.clone() };
                }
                None => {
                    let message = message.clone();
                    self.shown.insert(message.id, Shown { message, rightly: false });
                }
            },
            Event::Deleted { id, .. } => {
                self.gone.insert(*id);
                if let Some(there) = self.shown.get_mut(id) {
                    bury(&mut there.message);
                }
            }
            Event::Reaction { id, emoji, user, added, .. } => {
                let reaction = (emoji.clone(), *user, *added);
                if let Some(there) = self.shown.get_mut(id) {
                    react(&mut there.message, &reaction);
                }
                self.reacted.entry(*id).or_default().push((at, reaction));
            }
            Event::Membership { .. } => {}
        }
    }

    /// What was fetched may be older than what events have told since it was asked for.
    fn fetched(&mut self, message: &Message, since: At, rightly: bool) {
        let mut newest = message.clone();
        let there = self.shown.get(&message.id);
        if let Some(there) = there.filter(|there| there.message.updated_at > message.updated_at) {
            newest = Message { reactions: newest.reactions, ..there.message.clone() };
        }
        let reacted = self.reacted.get(&message.id).into_iter().flatten();
        for (_, reaction) in reacted.filter(|(at, _)| *at >= since) {
            react(&mut newest, reaction);
        }
        if self.gone.contains(&message.id) {
            bury(&mut newest);
        }
        let rightly = rightly || there.is_some_and(|there| there.rightly);
        self.shown.insert(message.id, Shown { message: newest, rightly });
    }
}

fn bury(message: &mut Message) {
    message.deleted = true;
    message.content.clear();
    message.reactions.clear();
}

fn react(message: &mut Message, (emoji, user, added): &Reaction) {
    if message.deleted {
        return;
    }
    let reaction = (emoji.clone(), *user);
    if *added {
        message.reactions.insert(reaction);
    } else {
        message.reactions.remove(&reaction);
    }
}

fn covers(index: &Index<'_>, allowed: Allowed, seq: u64) -> bool {
    match allowed {
        Allowed::Until(at) => index.rows.get(&seq).is_some_and(|(_, stored)| *stored <= at),
        Allowed::Between { after, before } => after < seq && seq <= before,
    }
}

/// Everything since the user joined is there, as it is now.
fn complete(
    index: &Index<'_>,
    device: &Device,
    conversation: Uuid,
    shown: &BTreeMap<Uuid, Shown>,
    objections: &mut Vec<String>,
) {
    let Some(since) = index.members.since(conversation, device.user) else { return };
    for (row, stored) in index.rows.range(since + 1..).map(|(_, found)| *found) {
        if row.conversation != conversation {
            continue;
        }
        let there = shown.get(&row.id);
        match there {
            _ if row.deleted => {
                if there.is_some_and(|there| !there.message.deleted) {
                    objections.push(format!(
                        "{} still shows the deleted {}; {}",
                        device.name,
                        index.message(row),
                        whereabouts(index, device, row.seq, stored)
                    ));
                }
            }
            None => objections.push(lost(index, device, row, stored, "never saw")),
            Some(there) if !there.rightly => {
                objections.push(lost(index, device, row, stored, "was never told of"));
            }
            Some(there) if there.message.content != row.content => objections.push(format!(
                "{} shows {:?} for {}, which is {:?}; {}",
                device.name,
                there.message.content,
                index.message(row),
                row.content,
                whereabouts(index, device, row.seq, stored)
            )),
            Some(there) => reactions(index, device, row, &there.message, objections),
        }
    }
}

/// The reactions are those that an edge shows.
fn reactions(
    index: &Index<'_>,
    device: &Device,
    row: &Row,
    shown: &Message,
    objections: &mut Vec<String>,
) {
    let Some(stored) = index.reactions.get(&row.id) else { return };
    for (emoji, user) in stored.symmetric_difference(&shown.reactions) {
        let of_this = |event: &Event| match event {
            Event::Reaction { id, emoji: other, user: by, .. } => {
                (id, other, by) == (&row.id, emoji, user)
            }
            _ => false,
        };
        let log = index.case.truth.log.iter().rev();
        let last = log.filter_map(|entry| Some((entry, Event::read(&entry.kind, &entry.data)?)));
        let last = last.into_iter().find(|(_, event)| of_this(event));
        let told = device.notes.iter().filter_map(|note| match &note.what {
            What::Event { cursor: Some(cursor), event } if of_this(event) => Some(*cursor),
            _ => None,
        });
        objections.push(format!(
            "{} {} {emoji} by {user} to {}; it was told so at {:?}, the last word is {}",
            device.name,
            if shown.reactions.contains(&(emoji.clone(), *user)) { "shows" } else { "lacks" },
            index.message(row),
            told.collect::<Vec<_>>(),
            last.map_or("nowhere".to_owned(), |(entry, _)| {
                format!("{}, {}", entry.seq, whereabouts(index, device, entry.seq, entry.at))
            })
        ));
    }
}

fn lost(index: &Index<'_>, device: &Device, row: &Row, stored: At, what: &str) -> String {
    let message = index.message(row);
    let where_it_was = whereabouts(index, device, row.seq, stored);
    format!("{} {what} {message}; {where_it_was}", device.name)
}

/// Where the device was when something was stored, and what it did next.
pub fn whereabouts(index: &Index<'_>, device: &Device, seq: u64, stored: At) -> String {
    let connections = |notes: &[Note]| -> Vec<(At, String)> {
        notes.iter().filter_map(|note| Some((note.at, moved(&note.what)?))).collect()
    };
    let moves = connections(&device.notes);
    let before = moves.iter().rfind(|(at, _)| *at <= stored);
    let after = moves.iter().find(|(at, what)| *at > stored && what.contains("connected"));
    let next_seen = device.notes.iter().find_map(|note| match &note.what {
        What::Event { cursor: Some(cursor), .. } if *cursor > seq => Some((*cursor, note.at)),
        _ => None,
    });
    let say = |found: Option<&(At, String)>| {
        found.map_or("nothing".to_owned(), |(at, what)| format!("{what} at {}", index.time(*at)))
    };
    format!(
        "stored at {}; before that the device {}; its next connection {}; its next event {}",
        index.time(stored),
        say(before),
        say(after),
        next_seen.map_or("never came".to_owned(), |(cursor, at)| {
            format!("was {cursor} at {}", index.time(at))
        })
    )
}

fn moved(what: &What) -> Option<String> {
    match what {
        What::Connected { edge, cursor, recovered } => Some(format!(
            "connected to edge {edge} ({}{})",
            cursor.as_ref().map_or("afresh".to_owned(), |cursor| format!("from {cursor}")),
            if *recovered { "" } else { ", not recovered" }
        )),
        What::Lost { code } => Some(format!("lost its connection ({code})")),
        What::Reset => Some("was reset".to_owned()),
        _ => None,
    }
}
