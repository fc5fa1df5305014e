use super::*;

const CONVERSATION: Id = [b'c'; 36];

/// Three users in one conversation; each number is a message of sender 0 whose seq is ten times it.
fn objections(receipts: [&[u32]; 3], acknowledged: u32) -> Vec<String> {
    let mut verifier = Verifier::new(&[CONVERSATION], 1);
    let seats = [0, 1, 2].map(|user| verifier.seat(user, 0));
    for number in 0..acknowledged {
        verifier.accepted(0, seq(number), &id(number));
    }
    for (seat, numbers) in seats.into_iter().zip(receipts) {
        for &number in numbers {
            receive(&mut verifier, seat, number);
        }
    }
    verifier.finish().texts
}

fn seq(number: u32) -> u64 {
    u64::from(number) * 10 + 10
}

fn id(number: u32) -> Id {
    format!("{number:036}").into_bytes().try_into().unwrap()
}

fn receive(verifier: &mut Verifier, seat: SeatId, number: u32) -> Option<u64> {
    let stamp = Stamp { sender: 0, number, due: 7 };
    verifier.received(seat, seq(number), &id(number), || Some(stamp))
}

fn objects(receipts: [&[u32]; 3], acknowledged: u32, words: &str) {
    let texts = objections(receipts, acknowledged);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains(words), "{texts:?}");
}

#[test]
fn the_same_ascending_messages_everywhere_pass() {
    assert!(objections([&[0, 1, 2], &[0, 1, 2], &[0, 1, 2]], 3).is_empty());
}

#[test]
fn a_message_missing_in_the_middle_or_at_the_end_is_noticed() {
    objects([&[0, 1, 2], &[0, 2], &[0, 1, 2]], 3, "user 1 in cccc");
    objects([&[0, 1, 2], &[0, 2], &[0, 1, 2]], 3, "missed seq 20");
    objects([&[0, 1, 2], &[0, 1, 2], &[0, 1]], 3, "got 2 of 3");
    objects([&[0, 1, 2], &[0, 1, 2], &[]], 3, "first missing is seq 10");
}

#[test]
fn a_message_missing_at_everyone_is_noticed() {
    objects([&[0, 1], &[0, 1], &[0, 1]], 3, "only 2 were received by anyone");
    let texts = objections([&[0, 2], &[0, 2], &[0, 2]], 3);
    assert!(texts[1].contains("message 1 of sender 0 is missing"), "{texts:?}");
}

#[test]
fn doubled_and_reordered_messages_are_noticed() {
    objects([&[0, 1], &[0, 0, 1], &[0, 1]], 2, "got seq 10 again");
    objects([&[0, 1, 2], &[0, 1, 2], &[0, 2, 1]], 3, "missed seq 20");
    objects([&[0, 1, 2, 1], &[0, 1, 2], &[0, 1, 2]], 3, "got seq 20 late");
}

#[test]
fn observers_that_disagree_are_noticed() {
    // The first observer lacks a message that the others have.
    let texts = objections([&[0, 2], &[0, 1, 2], &[0, 2]], 2);
    assert!(texts.iter().any(|t| t.contains("user 1") && t.contains("did not get before")));

    let mut verifier = Verifier::new(&[CONVERSATION], 1);
    let seats = [0, 1].map(|user| verifier.seat(user, 0));
    receive(&mut verifier, seats[0], 0);
    assert_eq!(verifier.received(seats[1], seq(0), &id(9), || None), None);
    assert!(verifier.objections.texts[0].contains("has the id"));
}

#[test]
fn one_message_stored_twice_is_noticed() {
    let mut verifier = Verifier::new(&[CONVERSATION], 1);
    let seat = verifier.seat(0, 0);
    let stamp = Stamp { sender: 0, number: 0, due: 0 };
    verifier.received(seat, 1, &id(1), || Some(stamp));
    verifier.received(seat, 2, &id(2), || Some(stamp));
    verifier.received(seat, 3, &id(2), || Some(Stamp { number: 1, ..stamp }));
    let texts = verifier.objections.texts;
    assert!(texts[0].contains("twice") && texts[1].contains("came again"), "{texts:?}");
}

#[test]
fn an_acknowledgement_with_another_seq_than_the_event_is_noticed() {
    let mut verifier = Verifier::new(&[CONVERSATION], 1);
    let seat = verifier.seat(0, 0);
    verifier.accepted(0, 11, &id(0));
    receive(&mut verifier, seat, 0);
    assert!(verifier.finish().texts[0].contains("not the same ones"));
}

#[test]
fn a_refused_message_may_be_missing_or_stored() {
    for stored in [&[0, 2][..], &[0, 1, 2]] {
        let mut verifier = Verifier::new(&[CONVERSATION], 1);
        let seat = verifier.seat(0, 0);
        verifier.accepted(0, seq(0), &id(0));
        verifier.accepted(0, seq(2), &id(2));
        for &number in stored {
            receive(&mut verifier, seat, number);
        }
        verifier.refused(0, 1);
        assert!(verifier.settled());
        assert_eq!(verifier.finish().count, 0);
    }
}

#[test]
fn it_is_settled_when_the_last_seat_has_everything_and_a_broken_one_is_not_waited_for() {
    let mut verifier = Verifier::new(&[CONVERSATION], 1);
    let seats = [0, 1, 2].map(|user| verifier.seat(user, 0));
    verifier.accepted(0, seq(0), &id(0));
    assert!(!verifier.settled());
    assert_eq!(receive(&mut verifier, seats[0], 0), Some(7));
    receive(&mut verifier, seats[1], 0);
    assert!(!verifier.settled());
    receive(&mut verifier, seats[1], 0);
    assert!(!verifier.settled());
    receive(&mut verifier, seats[2], 0);
    assert!(verifier.settled());
    assert_eq!((verifier.delivered(), verifier.objections.count), (3, 1));
}

#[test]
fn memory_is_bounded_by_the_distance_between_observers() {
    let mut verifier = Verifier::new(&[CONVERSATION], 1);
    let seats = [0, 1, 2].map(|user| verifier.seat(user, 0));
    for number in 0..100_000 {
        receive(&mut verifier, seats[0], number);
        receive(&mut verifier, seats[1], number);
    }
    assert!(verifier.logs[0].entries.len() <= MAX_LOG_ENTRIES + TRIM_EVERY as usize);
    assert!(verifier.objections.texts[0].contains("user 2"));
    assert!(verifier.settled());
}
