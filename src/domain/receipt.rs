//! How far messages have come: on their way, received, read.

use jiff::Timestamp;

use super::ids::{Seq, UserId};

/// Delivery and reading "by all" are followed in conversations of up to so many participants. Beyond that "all"
/// says nothing, and every message would cause as many signals as there are members.
pub const MAX_FOLLOWED: u32 = 100;

/// How far a message has come among everybody but its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In the log, and somebody has not received it.
    Sent,
    /// Everybody has received it.
    Delivered,
    /// Everybody has read it.
    Read,
}

impl Status {
    /// The status of an own message at this place; just sent where the others are not followed.
    pub fn of(seq: Seq, others: Option<&OthersMarkers>) -> Self {
        match others {
            Some(others) if seq <= others.read_seq => Self::Read,
            Some(others) if seq <= others.delivered_seq => Self::Delivered,
            _ => Self::Sent,
        }
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// How far everybody else in a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OthersMarkers {
    /// All of them have read up to here.
    pub read_seq: Seq,
    /// All of them have received up to here.
    pub delivered_seq: Seq,
}

/// That somebody has received or read a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub user_id: UserId,
    /// When it was at the latest: markers keep the time of their last move, and it may have passed this message in
    /// an earlier one.
    pub at: Timestamp,
}

/// Who else has received and read a message; the earliest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipts {
    pub delivered_to: Vec<Receipt>,
    pub read_by: Vec<Receipt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_far_as_the_last_of_the_others() {
        let others = OthersMarkers { read_seq: 5, delivered_seq: 7 };
        assert_eq!(
            [5, 6, 7, 8].map(|seq| Status::of(seq, Some(&others))),
            [Status::Read, Status::Delivered, Status::Delivered, Status::Sent]
        );
        assert_eq!(Status::of(5, None), Status::Sent);
    }
}
