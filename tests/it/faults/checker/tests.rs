//! The checker objects to what it is there for.

mod pushes;

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::faults::record::{Accepted, Allowed, Event, File, Note, Seat, Undelivered, What};

const GROUP: Uuid = Uuid::from_u128(100);
const ADA: Uuid = Uuid::from_u128(1);
const BEN: Uuid = Uuid::from_u128(2);
/// She never has a connection.
const CLEO: Uuid = Uuid::from_u128(3);
const CREATED: u64 = 10;

fn id(seq: u64) -> Uuid {
    Uuid::from_u128(u128::from(seq) + 1_000)
}

fn message(seq: u64) -> Message {
    Message {
        conversation: GROUP,
        id: id(seq),
        seq,
        content: format!("m{seq}"),
        deleted: false,
        updated_at: "2026-11-22T09:00:00.000Z".to_owned(),
        reactions: Default::default(),
    }
}

fn event(seq: u64, event: Event) -> Note {
    Note { at: at(seq), what: What::Event { cursor: Some(seq), event } }
}

fn at(seq: u64) -> At {
    seq as At * 1_000
}

fn entry(seq: u64, kind: &str, data: serde_json::Value) -> Entry {
    Entry { seq, at: at(seq), kind: kind.to_owned(), data }
}

fn device(name: &str, user: Uuid) -> Device {
    let mut notes =
        vec![Note { at: 0, what: What::Connected { edge: 1, cursor: None, recovered: false } }];
    notes.extend((11..=13).map(|seq| event(seq, Event::New(message(seq)))));
    Device { name: name.to_owned(), user, notes, ..Device::default() }
}

fn seat(user: Uuid, last_read_seq: u64, unread: u64) -> Seat {
    Seat { conversation: GROUP, user, last_read_seq, delivered_seq: 0, unread }
}

/// Ada wrote 11, 12 and 13 and Ben was there: nothing is wrong.
fn good() -> Case {
    let mut log = vec![entry(
        CREATED,
        "conversationUpdated",
        json!({"conversationId": GROUP, "change": "created", "userIds": [ADA, BEN, CLEO]}),
    )];
    let mut rows = Vec::new();
    let mut ada = device("Ada's phone", ADA);
    for seq in 11..=13 {
        let data = json!({"id": id(seq), "content": format!("m{seq}")});
        log.push(entry(seq, "newMessage", data));
        rows.push(Row {
            seq,
            id: id(seq),
            conversation: GROUP,
            sender: ADA,
            name: Some(format!("a{seq}")),
            content: format!("m{seq}"),
            deleted: false,
            counter: seq - CREATED,
            created_at: at(seq),
        });
        let name = format!("a{seq}");
        let accepted = Accepted { name, conversation: GROUP, id: id(seq), seq, at: at(seq) };
        ada.accepted.push(accepted);
    }
    let truth = Truth {
        log,
        rows,
        seats: vec![seat(ADA, 13, 0), seat(BEN, 0, 3)],
        counters: [(GROUP, (3, 13))].into(),
        histories: vec![(1, GROUP, (11..=13).map(message).collect())],
        phones: pushes::phones(),
        pushes: pushes::all(),
        undelivered: Vec::new(),
        files: vec![File { seq: 12, edge: 1, deleted: false, status: 200, whole: true }],
    };
    Case { devices: vec![ada, device("Ben's phone", BEN)], truth, began: 0 }
}

/// Makes sure that exactly this is objected to, after `spoil` has had its way.
#[track_caller]
fn objects(spoil: impl FnOnce(&mut Case), expected: &[&str]) {
    let mut case = good();
    spoil(&mut case);
    let objections = check(&case);
    let all = objections.join("\n");
    assert_eq!(objections.len(), expected.len(), "{all}");
    for text in expected {
        assert!(all.contains(text), "{text:?} is not in\n{all}");
    }
}

fn forget(device: &mut Device, seq: u64) {
    device.notes.retain(
        |note| !matches!(&note.what, What::Event { event: Event::New(m), .. } if m.seq == seq),
    );
}

#[test]
fn nothing_is_objected_to_when_all_is_well() {
    objects(|_| {}, &[]);
}

#[test]
fn a_lost_message_is_named_with_where_its_receiver_was() {
    objects(
        |case| forget(&mut case.devices[1], 12),
        &[
            "Ben's phone never saw seq 12 (a12, acknowledged to Ada's phone at +0.012 s); stored at \
           +0.012 s; before that the device connected to edge 1 (afresh, not recovered) at +0.000 s; \
           its next connection nothing; its next event was 13 at +0.013 s",
        ],
    );
}

#[test]
fn what_was_fetched_counts_only_where_the_service_has_asked_for_it() {
    let with = |allowed| {
        move |case: &mut Case| {
            forget(&mut case.devices[1], 12);
            let what = What::Fetched {
                conversation: GROUP,
                since: at(19),
                allowed,
                messages: vec![message(12)],
            };
            case.devices[1].notes.push(Note { at: at(20), what });
        }
    };
    objects(with(Allowed::Until(at(12))), &[]);
    objects(with(Allowed::Until(at(11))), &["Ben's phone was never told of seq 12"]);
    objects(with(Allowed::Between { after: 11, before: 12 }), &[]);
    objects(with(Allowed::Between { after: 12, before: 13 }), &["was never told of seq 12"]);
}

#[test]
fn a_doubled_event_is_objected_to() {
    objects(
        |case| case.devices[1].notes.push(event(13, Event::New(message(13)))),
        &["Ben's phone got seq 13"],
    );
}

#[test]
fn a_reordered_event_is_objected_to() {
    objects(
        |case| case.devices[1].notes.swap(2, 3),
        &["saw seq 12 after 13", "got cursor 12 behind 13"],
    );
}

#[test]
fn an_acknowledged_message_that_is_not_stored_is_objected_to() {
    objects(
        |case| {
            case.truth.rows.pop();
            case.truth.log.pop();
            case.truth.phones.clear();
            case.truth.histories.clear();
            case.truth.counters = [(GROUP, (2, 12))].into();
            case.truth.seats = vec![seat(ADA, 12, 0), seat(BEN, 0, 2)];
        },
        &[
            "seq 13 (a13) was acknowledged to Ada's phone at +0.013 s, but Postgres has nothing there",
        ],
    );
}

#[test]
fn what_is_in_the_log_and_not_in_postgres_is_objected_to() {
    objects(
        |case| {
            case.devices[0].accepted.pop();
            case.truth.rows.pop();
            case.truth.phones.clear();
            case.truth.histories.clear();
            case.truth.counters = [(GROUP, (2, 12))].into();
            case.truth.seats = vec![seat(ADA, 12, 0), seat(BEN, 0, 2)];
        },
        &["seq 13 is in the log and not in Postgres"],
    );
}

#[test]
fn what_is_in_postgres_and_not_in_the_log_is_objected_to() {
    objects(|case| drop(case.truth.log.pop()), &["seq 13 is in Postgres and not in the log"]);
}

#[test]
fn one_send_stored_twice_is_objected_to() {
    objects(
        |case| case.truth.rows[2].name = Some("a12".to_owned()),
        &["a12 was stored twice: at 12 and 13"],
    );
    objects(
        |case| {
            let mut twice = case.devices[0].accepted[1].clone();
            (twice.seq, twice.id) = (13, id(13));
            case.devices[0].accepted.push(twice);
        },
        &["told two places for a12"],
    );
}

#[test]
fn deleted_content_that_is_still_shown_is_objected_to() {
    let deleted = |case: &mut Case| {
        case.truth.rows[1].deleted = true;
        case.truth.rows[1].content.clear();
        case.devices[0].deleted.insert(id(12));
        case.truth.log.remove(2);
        case.truth.histories.clear();
        let gone = Event::Deleted { conversation: GROUP, id: id(12) };
        case.devices[0].notes.push(event(14, gone));
    };
    objects(deleted, &["Ben's phone still shows the deleted seq 12"]);
    objects(
        |case| {
            case.devices[0].deleted.insert(id(12));
        },
        &["still has its content in Postgres"],
    );
}

#[test]
fn deleted_content_that_is_still_in_the_log_is_objected_to() {
    objects(
        |case| {
            case.truth.rows[1].deleted = true;
            case.truth.rows[1].content.clear();
            case.truth.histories.clear();
            for device in &mut case.devices {
                let gone = Event::Deleted { conversation: GROUP, id: id(12) };
                device.notes.push(event(14, gone));
            }
            let data = json!({"id": id(12), "content": "edited"});
            case.truth.log.push(entry(15, "messageUpdated", data));
        },
        &["seq 12 was deleted and is still in the log", "an edit of it is still in the log at 15"],
    );
}

#[test]
fn an_edit_that_did_not_arrive_is_objected_to() {
    objects(
        |case| {
            case.truth.rows[0].content = "edited".to_owned();
            let data = json!({"id": id(11), "content": "edited"});
            case.truth.log.push(entry(14, "messageUpdated", data));
            case.truth.histories.clear();
            let edited = Message { content: "edited".to_owned(), ..message(11) };
            case.devices[0].notes.push(event(14, Event::Updated(edited)));
        },
        &["Ben's phone shows \"m11\" for seq 11"],
    );
}

#[test]
fn a_reaction_that_did_not_arrive_is_objected_to() {
    objects(
        |case| {
            let thumb = ("👍".to_owned(), BEN);
            case.truth.histories[0].2[0].reactions.insert(thumb);
            let (emoji, user) = ("👍".to_owned(), BEN);
            let reaction =
                Event::Reaction { conversation: GROUP, id: id(11), emoji, user, added: true };
            case.devices[1].notes.push(event(14, reaction));
        },
        &["Ada's phone lacks 👍 by 00000000-0000-0000-0000-000000000002 to seq 11"],
    );
}

#[test]
fn unread_counts_and_markers_that_are_wrong_are_objected_to() {
    objects(
        |case| case.truth.seats[1].unread = 2,
        &["the user of Ben's phone has 2 unread in 00000000-0000-0000-0000-000000000064, and 3"],
    );
    objects(
        |case| {
            case.devices[1].read.push((GROUP, 12));
            case.truth.seats[1].unread = 1;
        },
        &["the marker stands at 0"],
    );
    objects(
        |case| case.truth.seats[1].delivered_seq = 14,
        &["counts as delivered to the user of Ben's phone up to 14, who has received 13"],
    );
}

#[test]
fn what_arrives_after_leaving_is_objected_to() {
    objects(
        |case| {
            let left =
                json!({"conversationId": GROUP, "change": "participantsRemoved", "userIds": [BEN]});
            case.truth.log[3].seq = 14;
            case.truth.log[3].at = at(14);
            case.truth.log.insert(3, entry(13, "conversationUpdated", left));
            case.truth.rows[2].seq = 14;
            case.truth.histories.clear();
            case.truth.counters = [(GROUP, (3, 14))].into();
            case.truth.seats = vec![seat(ADA, 14, 0)];
            case.devices[0].accepted[2].seq = 14;
            for device in &mut case.devices {
                forget(device, 13);
                let moved = Message { seq: 14, ..message(13) };
                device.notes.push(event(14, Event::New(moved)));
            }
        },
        &["Ben's phone got seq 14 although its user had left at 13"],
    );
}

#[test]
fn a_participant_of_whom_the_log_was_not_told_is_objected_to() {
    objects(
        |case| case.truth.seats.retain(|seat| seat.user != BEN),
        &["only the log has the user of Ben's phone"],
    );
}

#[test]
fn counters_and_histories_that_differ_are_objected_to() {
    objects(|case| case.truth.rows[1].counter = 3, &["seq 12 counts as 3, not 2"]);
    objects(|case| drop(case.truth.histories[0].2.remove(1)), &["edge 1 shows 2 messages"]);
}

#[test]
fn a_file_that_is_gone_changed_or_outlives_its_message_is_objected_to() {
    let with = |status, whole, deleted| {
        move |case: &mut Case| {
            case.truth.files[0] = File { seq: 12, edge: 1, deleted, status, whole };
        }
    };
    objects(with(404, false, false), &["edge 1 answers 404 for the file of seq 12"]);
    objects(with(200, false, false), &["edge 1 answers something else for the file of seq 12"]);
    objects(with(200, true, true), &["edge 1 answers 200 for the file of the deleted seq 12"]);
    objects(with(404, false, true), &[]);
}

#[test]
fn a_delivered_marker_that_stays_behind_is_objected_to_with_where_its_devices_were() {
    let behind = Undelivered { conversation: GROUP, user: BEN, marker: 11, place: 12 };
    objects(
        |case| case.truth.undelivered.push(behind),
        &["counts as delivered up to 11 of 12: Ben's phone got that at +0.012 s; stored at"],
    );
}
