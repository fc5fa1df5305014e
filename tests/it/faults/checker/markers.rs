//! Read and delivered markers, unread counts, and who is a participant.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Index, devices};
use crate::faults::record::{Device, Event, Seat, Undelivered, What};

pub fn check(index: &Index<'_>, objections: &mut Vec<String>) {
    seats_are_the_logs(index, objections);
    for one in &index.case.truth.undelivered {
        objections.push(undelivered(index, one));
    }
    for seat in &index.case.truth.seats {
        let Some(joined) = index.members.since(seat.conversation, seat.user) else { continue };
        read(index, seat, joined, objections);
        delivered(index, seat, objections);
    }
}

fn seats_are_the_logs(index: &Index<'_>, objections: &mut Vec<String>) {
    let seats = index.case.truth.seats.iter().map(|seat| (seat.user, seat.conversation));
    let seats: BTreeSet<(Uuid, Uuid)> = seats.collect();
    let users: BTreeSet<Uuid> = index.case.devices.iter().map(|device| device.user).collect();
    for user in users {
        let own = seats.iter().filter(|(other, _)| *other == user).map(|(_, c)| *c);
        let stored: BTreeSet<Uuid> = own.collect();
        let told: BTreeSet<Uuid> = index.members.conversations(user).into_iter().collect();
        for conversation in stored.symmetric_difference(&told) {
            let who = name_of(index, user);
            let side = if stored.contains(conversation) { "Postgres" } else { "the log" };
            objections.push(format!("only {side} has {who} in {conversation}"));
        }
    }
}

/// The marker stands at the furthest of what was read, written, or there before the user joined, and what is
/// behind it is counted.
fn read(index: &Index<'_>, seat: &Seat, joined: u64, objections: &mut Vec<String>) {
    let own_devices = index.case.devices.iter().filter(|device| device.user == seat.user);
    let marks = own_devices.flat_map(|device| &device.read);
    let marks = marks.filter(|(conversation, _)| *conversation == seat.conversation);
    let rows = index.rows.values().map(|(row, _)| *row);
    let rows: Vec<_> = rows.filter(|row| row.conversation == seat.conversation).collect();
    let own = rows.iter().filter(|row| row.sender == seat.user).map(|row| row.seq);
    let stays = |seq: &u64| *seq > joined;
    let read = marks.map(|(_, seq)| *seq).chain(own).filter(stays).max().unwrap_or(0);
    let who = name_of(index, seat.user);
    if seat.last_read_seq < read {
        objections.push(format!(
            "{who} has read {} up to {read}, and the marker stands at {}",
            seat.conversation, seat.last_read_seq
        ));
    }
    let counted = rows.iter().filter(|row| row.seq > read.max(joined)).count() as u64;
    if counted != seat.unread {
        objections.push(format!(
            "{who} has {} unread in {}, and {counted} by counting behind {}",
            seat.unread,
            seat.conversation,
            read.max(joined)
        ));
    }
}

/// Nothing counts as delivered that no device of the user has received or its user has read.
fn delivered(index: &Index<'_>, seat: &Seat, objections: &mut Vec<String>) {
    let own_devices = index.case.devices.iter().filter(|device| device.user == seat.user);
    let received =
        own_devices.flat_map(|device| &device.notes).filter_map(|note| match &note.what {
            What::Event { cursor, event } if event.conversation() == seat.conversation => {
                let seq = if let Event::New(message) = event { Some(message.seq) } else { None };
                (*cursor).max(seq)
            }
            What::Fetched { conversation, messages, .. } if *conversation == seat.conversation => {
                messages.iter().map(|message| message.seq).max()
            }
            _ => None,
        });
    let received = received.max().unwrap_or(0).max(seat.last_read_seq);
    if seat.delivered_seq > received {
        objections.push(format!(
            "{} counts as delivered to {} up to {}, who has received {received}",
            seat.conversation,
            name_of(index, seat.user),
            seat.delivered_seq
        ));
    }
}

fn undelivered(index: &Index<'_>, one: &Undelivered) -> String {
    let devices = index.case.devices.iter().filter(|device| device.user == one.user);
    let stored = index.rows.get(&one.place).map_or(index.case.began, |(_, at)| *at);
    let came = |device: &Device| {
        let note = device.notes.iter().find(|note| match &note.what {
            What::Event { event: Event::New(message), .. } => message.seq == one.place,
            What::Fetched { messages, .. } => messages.iter().any(|m| m.seq == one.place),
            _ => false,
        });
        note.map_or("never".to_owned(), |note| index.time(note.at))
    };
    let devices = devices.map(|device| {
        let whereabouts = devices::whereabouts(index, device, one.place, stored);
        format!("{} got that at {}; {whereabouts}", device.name, came(device))
    });
    format!(
        "{} counts as delivered up to {} of {}: {}",
        one.conversation,
        one.marker,
        one.place,
        devices.collect::<Vec<_>>().join("; ")
    )
}

fn name_of(index: &Index<'_>, user: Uuid) -> String {
    let device = index.case.devices.iter().find(|device| device.user == user);
    device.map_or_else(|| user.to_string(), |device| format!("the user of {}", device.name))
}
