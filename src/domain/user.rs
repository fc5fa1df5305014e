//! People.

use jiff::Timestamp;

use super::ids::UserId;

/// What is shown in the place of the name of somebody whose data was erased.
pub const GONE: &str = "Deleted user";

/// What others see of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub id: UserId,
    /// Absent until a token or the user service named them.
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub last_seen_at: Option<Timestamp>,
}
