//! What only operators ask and change: across users and conversations, whoever is in them.
//!
//! Lists are paged by key and bounded; none of these statements is on anybody else's way. A change follows the rules
//! of [`crate::domain::membership`] for an admin of the conversation, leaves its announcement and its row in `audit`
//! in its own transaction, and is taken back at the end where it was only tried.

pub mod conversations;
pub mod letters;
pub mod members;
pub mod overview;
pub mod removal;
pub mod users;
