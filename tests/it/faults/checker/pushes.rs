//! Notifications: each message once, in order, to those whom it concerns, and to the end.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Index;
use crate::faults::record::{Phone, Push, Row};

pub fn check(index: &Index<'_>, objections: &mut Vec<String>) {
    let rows: BTreeMap<Uuid, &Row> = index.rows.values().map(|(row, _)| (row.id, *row)).collect();
    for phone in &index.case.truth.phones {
        let own = index.case.truth.pushes.iter().filter(|push| push.token == phone.token);
        let own: Vec<(&Push, &Row)> = own
            .filter_map(|push| match rows.get(&push.message) {
                Some(row) => Some((push, *row)),
                None => {
                    let name = &phone.name;
                    objections
                        .push(format!("{name} was notified of {}, which is nowhere", push.message));
                    None
                }
            })
            .collect();
        concerned(index, phone, &own, objections);
        once_and_in_order(index, phone, &own, objections);
        if phone.is_absent {
            complete(index, phone, &own, objections);
        }
    }
}

fn concerned(
    index: &Index<'_>,
    phone: &Phone,
    own: &[(&Push, &Row)],
    objections: &mut Vec<String>,
) {
    for (push, row) in own {
        let what = index.message(row);
        if row.sender == phone.user {
            objections.push(format!("{} was notified of its own user's {what}", phone.name));
        }
        if row.conversation != push.conversation {
            objections.push(format!("{} was told another conversation for {what}", phone.name));
        }
        if !index.members.ever(row.conversation, phone.user) {
            objections.push(format!("{} was notified of strangers' {what}", phone.name));
        }
    }
}

fn once_and_in_order(
    index: &Index<'_>,
    phone: &Phone,
    own: &[(&Push, &Row)],
    objections: &mut Vec<String>,
) {
    let mut rung: BTreeSet<Uuid> = BTreeSet::new();
    let mut newest: BTreeMap<Uuid, u64> = BTreeMap::new();
    for (push, row) in own.iter().filter(|(push, _)| push.rings) {
        if !rung.insert(push.message) {
            let what = index.message(row);
            objections.push(format!("{} rang twice for {what}", phone.name));
        }
        let newest = newest.entry(push.conversation).or_default();
        if row.seq < *newest {
            let what = index.message(row);
            objections.push(format!("{} rang for {what} after {newest}", phone.name));
        }
        *newest = (*newest).max(row.seq);
    }
}

/// Whoever never has a connection is notified of every message, and in the end is shown the newest.
fn complete(index: &Index<'_>, phone: &Phone, own: &[(&Push, &Row)], objections: &mut Vec<String>) {
    let notified: BTreeSet<Uuid> = own.iter().map(|(push, _)| push.message).collect();
    for conversation in index.members.conversations(phone.user) {
        let since = index.members.since(conversation, phone.user).unwrap_or(0);
        let rows = index.rows.values().map(|(row, _)| *row);
        let theirs = rows.filter(|row| {
            let is_there = row.conversation == conversation && row.seq > since && !row.deleted;
            is_there && row.sender != phone.user
        });
        let theirs: Vec<&Row> = theirs.collect();
        for row in theirs.iter().filter(|row| !notified.contains(&row.id)) {
            objections.push(format!("{} was never notified of {}", phone.name, index.message(row)));
        }
        let shows = own.iter().rfind(|(push, _)| push.conversation == conversation);
        let (shows, newest) = (shows.map(|(_, row)| row.seq), theirs.last().map(|row| row.seq));
        if shows != newest {
            objections.push(format!(
                "{} shows {shows:?} of {conversation} in the end, where {newest:?} is the newest",
                phone.name
            ));
        }
    }
}
