//! What it objects to in notifications.

use super::*;
use crate::faults::record::{Phone, Push};

/// Ben's phone, and both of Cleo's devices.
pub fn phones() -> Vec<Phone> {
    let phone = |name: &str, user| Phone {
        name: name.to_owned(),
        token: name.to_owned(),
        user,
        is_absent: user == CLEO,
    };
    vec![phone("Ben's", BEN), phone("Cleo's phone", CLEO), phone("Cleo's tablet", CLEO)]
}

fn push(token: &str, seq: u64) -> Push {
    Push { token: token.to_owned(), conversation: GROUP, message: id(seq), rings: true }
}

/// Cleo is notified of everything, on both.
pub fn all() -> Vec<Push> {
    let each = |token: &'static str| (11..=13).map(move |seq| push(token, seq));
    each("Cleo's phone").chain(each("Cleo's tablet")).collect()
}

#[test]
fn a_notification_that_never_came_or_is_gone_in_the_end_is_objected_to() {
    objects(
        |case| drop(case.truth.pushes.remove(1)),
        &["Cleo's phone was never notified of seq 12 (a12"],
    );
    objects(
        |case| case.truth.pushes.push(Push { rings: false, ..push("Cleo's phone", 12) }),
        &["Cleo's phone shows Some(12)"],
    );
}

#[test]
fn whoever_is_connected_may_be_notified_of_some() {
    objects(|case| case.truth.pushes.push(push("Ben's", 12)), &[]);
}

#[test]
fn a_second_sound_is_objected_to_and_a_silent_repetition_is_not() {
    objects(
        |case| case.truth.pushes.insert(2, push("Cleo's phone", 12)),
        &["Cleo's phone rang twice for seq 12"],
    );
    let silent = Push { rings: false, ..push("Cleo's phone", 12) };
    objects(move |case| case.truth.pushes.insert(2, silent), &[]);
}

#[test]
fn sounds_out_of_order_are_objected_to() {
    objects(|case| case.truth.pushes.swap(0, 1), &["Cleo's phone rang for seq 11"]);
}

#[test]
fn notifications_of_own_messages_of_strangers_and_of_nothing_are_objected_to() {
    let phone = |user| Phone {
        name: "a phone".to_owned(),
        token: "a phone".to_owned(),
        user,
        is_absent: false,
    };
    objects(
        |case| {
            case.truth.phones.push(phone(ADA));
            case.truth.pushes.push(push("a phone", 12));
        },
        &["a phone was notified of its own user's seq 12"],
    );
    objects(
        |case| {
            case.truth.phones.push(phone(Uuid::from_u128(9)));
            case.truth.pushes.push(push("a phone", 12));
        },
        &["a phone was notified of strangers' seq 12"],
    );
    objects(|case| case.truth.pushes.push(push("Ben's", 99)), &["which is nowhere"]);
    objects(
        |case| {
            let elsewhere = Uuid::from_u128(101);
            case.truth.pushes.push(Push { conversation: elsewhere, ..push("Ben's", 12) });
        },
        &["Ben's was told another conversation for seq 12"],
    );
}
