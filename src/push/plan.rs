//! What is to be done about a job, now that everything it depends on is known. No I/O.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::conversation::ConversationType;
use crate::domain::device::Device;
use crate::domain::notifications::is_quiet;
use crate::store::push::claims::{Claim, JobKind, Shown};

use super::notification::{Kind, Notification, Sound};
use super::text::{Source, title_and_body};

/// What an operator may set of it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Messages older than this alert nobody.
    pub max_age: Duration,
    /// Characters of a message that are shown.
    pub preview_chars: usize,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    Send(Box<Sending>),
    /// Nothing, and why: a name for metrics and logs.
    Nothing(&'static str),
}

/// A notification for a device, and what the device shows once it has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    pub device: Device,
    pub notification: Notification,
    /// The place of the message that is shown then; `None` when it shows nothing.
    pub shows: Option<u64>,
}

/// Decides it.
pub fn plan(claim: &Claim, rules: Rules, now: Timestamp) -> Plan {
    let Some(device) = &claim.device else { return Plan::Nothing("no_device") };
    match claim.job.kind {
        JobKind::Alert => alert(claim, device, rules, now),
        JobKind::Refresh => refresh(claim, device, rules),
    }
}

fn alert(claim: &Claim, device: &Device, rules: Rules, now: Timestamp) -> Plan {
    let seq = claim.job.seq;
    let against = match &claim.message {
        _ if !claim.is_participant => Some("left"),
        _ if claim.read_seq >= seq => Some("read"),
        _ if claim.delivered_seq >= seq => Some("delivered"),
        // An older message never takes the place of a newer one.
        _ if claim.done_seq >= seq => Some("superseded"),
        None => Some("deleted"),
        Some(message) if is_older(message.created_at, rules.max_age, now) => Some("too_old"),
        Some(_) => None,
    };
    match (against, &claim.message) {
        (None, Some(message)) => {
            // One that was cut off may have been heard already; a second sound is worse than none.
            let quiet = claim.was_cut || is_quiet(&claim.settings, now);
            let sound = if quiet { Sound::Quiet } else { Sound::Normal };
            show(claim, device, message, sound, rules)
        }
        (against, _) => Plan::Nothing(against.unwrap_or("deleted")),
    }
}

/// What replaces a notification makes no sound.
fn refresh(claim: &Claim, device: &Device, rules: Rules) -> Plan {
    match &claim.message {
        _ if claim.shown_seq == 0 => Plan::Nothing("nothing_shown"),
        Some(message) if claim.is_participant => {
            // Where only a part was read, what is shown is still the newest. Its own edit is the other case.
            let moved_only = claim.job.seq <= claim.shown_seq && message.seq == claim.shown_seq;
            if moved_only {
                return Plan::Nothing("still_unread");
            }
            show(claim, device, message, Sound::Quiet, rules)
        }
        _ => {
            let notification = Notification {
                user: claim.job.user_id,
                conversation: claim.job.conversation_id,
                message: claim.shown_id.unwrap_or_default(),
                kind: Kind::Dismiss,
                badge: claim.unread,
            };
            Plan::Send(Box::new(Sending { device: device.clone(), notification, shows: None }))
        }
    }
}

fn show(claim: &Claim, device: &Device, message: &Shown, sound: Sound, rules: Rules) -> Plan {
    let group = match claim.conversation {
        ConversationType::Direct => None,
        ConversationType::Group | ConversationType::Community => claim.title.as_deref(),
    };
    let source = Source {
        kind: message.kind,
        content: &message.content,
        file_name: message.file_name.as_deref(),
        sender: message.sender_name.as_deref(),
        group,
    };
    let (title, body) = title_and_body(&source, rules.preview_chars);
    let notification = Notification {
        user: claim.job.user_id,
        conversation: claim.job.conversation_id,
        message: message.id,
        kind: Kind::Show { title, body, sound },
        badge: claim.unread,
    };
    let shows = Some(message.seq);
    Plan::Send(Box::new(Sending { device: device.clone(), notification, shows }))
}

/// Does a message of that time alert nobody any more?
pub fn is_older(created_at: Timestamp, max_age: Duration, now: Timestamp) -> bool {
    let age = now.duration_since(created_at);
    age.is_positive() && age.unsigned_abs() > max_age
}

/// So much later.
pub fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::domain::device::Platform;
    use crate::domain::message::MessageType;
    use crate::domain::notifications::Settings;
    use crate::store::push::claims::Job;

    use super::*;

    const RULES: Rules = Rules { max_age: Duration::from_secs(3600), preview_chars: 200 };

    fn message(seq: u64) -> Shown {
        Shown {
            id: Uuid::from_u128(u128::from(seq)),
            seq,
            sender_name: Some("Ada".to_owned()),
            kind: MessageType::Text,
            content: format!("number {seq}"),
            file_name: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn claim(kind: JobKind, seq: u64) -> Claim {
        let user_id = Uuid::from_u128(1);
        Claim {
            job: Job {
                conversation_id: Uuid::from_u128(2),
                user_id,
                device_id: Uuid::from_u128(3),
                seq,
                kind,
            },
            attempts: 1,
            was_cut: false,
            device: Some(Device { user_id, platform: Platform::Web, token: "t".to_owned() }),
            is_participant: true,
            read_seq: 0,
            delivered_seq: 0,
            done_seq: 0,
            shown_seq: 0,
            shown_id: None,
            message: Some(message(seq)),
            conversation: ConversationType::Direct,
            title: None,
            settings: Settings::default(),
            unread: 7,
        }
    }

    fn decide(claim: &Claim) -> Plan {
        plan(claim, RULES, Timestamp::UNIX_EPOCH)
    }

    fn why(claim: &Claim) -> &'static str {
        match decide(claim) {
            Plan::Nothing(reason) => reason,
            Plan::Send(sending) => panic!("{sending:?}"),
        }
    }

    fn sent(claim: &Claim) -> Sending {
        match decide(claim) {
            Plan::Send(sending) => *sending,
            Plan::Nothing(reason) => panic!("{reason}"),
        }
    }

    fn sound(claim: &Claim) -> Sound {
        match sent(claim).notification.kind {
            Kind::Show { sound, .. } => sound,
            Kind::Dismiss => panic!("a dismissal"),
        }
    }

    #[test]
    fn what_was_settled_meanwhile_alerts_nobody() {
        let alert = claim(JobKind::Alert, 9);
        assert_eq!(sent(&alert).shows, Some(9));
        assert_eq!(sent(&alert).notification.badge, 7);
        assert_eq!(why(&Claim { device: None, ..alert.clone() }), "no_device");
        assert_eq!(why(&Claim { is_participant: false, ..alert.clone() }), "left");
        assert_eq!(why(&Claim { read_seq: 9, ..alert.clone() }), "read");
        assert_eq!(why(&Claim { delivered_seq: 9, ..alert.clone() }), "delivered");
        assert_eq!(why(&Claim { done_seq: 10, ..alert.clone() }), "superseded");
        assert_eq!(why(&Claim { message: None, ..alert.clone() }), "deleted");
        assert!(matches!(decide(&Claim { read_seq: 8, done_seq: 8, ..alert }), Plan::Send(_)));
    }

    #[test]
    fn what_is_older_than_it_may_be_alerts_nobody() {
        let alert = claim(JobKind::Alert, 9);
        let after = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert!(matches!(plan(&alert, RULES, after(3600)), Plan::Send(_)));
        assert_eq!(plan(&alert, RULES, after(3601)), Plan::Nothing("too_old"));
        assert!(matches!(plan(&alert, RULES, after(-9)), Plan::Send(_)), "a clock that is behind");
    }

    #[test]
    fn what_may_have_been_heard_already_makes_no_sound() {
        let alert = claim(JobKind::Alert, 9);
        assert_eq!(sound(&alert), Sound::Normal);
        assert_eq!(sound(&Claim { was_cut: true, ..alert }), Sound::Quiet);
    }

    #[test]
    fn a_refresh_withdraws_replaces_or_leaves_what_is_shown() {
        let refresh = Claim { shown_seq: 9, ..claim(JobKind::Refresh, 12) };
        let nothing_left = Claim { message: None, ..refresh.clone() };
        assert_eq!(sent(&nothing_left).notification.kind, Kind::Dismiss);
        assert_eq!(sent(&nothing_left).shows, None);
        let left = Claim { is_participant: false, ..refresh.clone() };
        assert_eq!(sent(&left).notification.kind, Kind::Dismiss);
        assert_eq!(why(&Claim { shown_seq: 0, ..refresh.clone() }), "nothing_shown");

        let previous = Claim { message: Some(message(4)), ..refresh.clone() };
        assert_eq!((sent(&previous).shows, sound(&previous)), (Some(4), Sound::Quiet));
        let edited = Claim { message: Some(message(9)), ..refresh };
        assert_eq!((sent(&edited).shows, sound(&edited)), (Some(9), Sound::Quiet));
        let read_before =
            Claim { shown_seq: 9, message: Some(message(9)), ..claim(JobKind::Refresh, 5) };
        assert_eq!(why(&read_before), "still_unread");
    }

    #[test]
    fn a_group_is_named_and_its_sender_stands_in_the_body() {
        let group = Claim {
            conversation: ConversationType::Group,
            title: Some("Jazz".to_owned()),
            ..claim(JobKind::Alert, 9)
        };
        let Kind::Show { title, body, .. } = sent(&group).notification.kind else { panic!() };
        assert_eq!((title.as_str(), body.as_str()), ("Jazz", "Ada: number 9"));
    }
}
