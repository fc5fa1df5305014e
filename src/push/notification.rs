//! What is to be shown or withdrawn on a device, not yet in anybody's words.

use crate::domain::ids::{ConversationId, MessageId, UserId};

/// One notification for one user's devices. Each conversation has one slot on a device: what comes later replaces
/// what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    pub user: UserId,
    pub conversation: ConversationId,
    pub message: MessageId,
    pub kind: Kind,
    /// All that the user has not read, in conversations that are not muted.
    pub badge: u64,
}

/// What a notification is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Show {
        title: String,
        body: String,
        sound: Sound,
    },
    /// Nothing is left to show: it was read elsewhere, or deleted. Silent, for the app alone.
    Dismiss,
}

/// Whether the device draws attention to what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    Normal,
    /// In quiet hours, and for what replaces something that was shown before.
    Quiet,
}
