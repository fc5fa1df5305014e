//! The JSON of who is there.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain;

use super::error::{ApiError, FieldErrors};
use super::time;

/// Most users whom one request may ask for, and whom one connection may follow: a screen or two of any list.
/// As text they are under 20 KiB, which fits a URL and a frame.
pub const MAX_USERS: usize = 500;

/// One user's state.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PresenceStatus", deny_unknown_fields)]
pub struct Status {
    pub user_id: Uuid,
    pub is_online: bool,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub last_seen_at: Option<Timestamp>,
}

impl From<domain::presence::Status> for Status {
    fn from(status: domain::presence::Status) -> Self {
        let domain::presence::Status { user_id, is_online, last_seen_at } = status;
        Self { user_id, is_online, last_seen_at }
    }
}

/// `GET /presence`, and the reply to `subscribePresence`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Presence {
    pub presence: Vec<Status>,
}

/// `userStatusChanged`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UserStatusChanged {
    #[serde(flatten)]
    pub status: Status,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub timestamp: Timestamp,
}

/// `subscribePresence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscribePresence {
    #[schemars(length(max = MAX_USERS))]
    pub user_ids: Vec<Uuid>,
}

/// What one node asks another to pass on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct News<'a> {
    /// Whose status it is.
    pub about: Uuid,
    /// The event's data, as clients get it.
    #[serde(borrow)]
    #[schemars(with = "UserStatusChanged")]
    pub data: &'a RawValue,
    /// Whose connections get it.
    pub to: Vec<Uuid>,
}

/// Checks a list of users and takes out what stands there twice.
///
/// # Errors
/// `invalid` when there are too many.
pub fn check_users(mut users: Vec<Uuid>) -> Result<Vec<Uuid>, ApiError> {
    let mut seen = std::collections::HashSet::with_capacity(users.len().min(MAX_USERS));
    if users.len() > MAX_USERS {
        let mut errors = FieldErrors::default();
        errors.push("userIds", format!("has more than {MAX_USERS} entries"));
        errors.finish()?;
    }
    users.retain(|user| seen.insert(*user));
    Ok(users)
}

/// Reads `a,b,c`; `None` when one of them is no UUID.
pub fn read_users(text: &str) -> Option<Vec<Uuid>> {
    text.split(',').map(|id| Uuid::try_parse(id.trim()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_taken_out_and_long_lists_refused() {
        let user = Uuid::from_u128(7);
        assert_eq!(check_users(vec![user, user]).expect("fine"), [user]);
        let many: Vec<Uuid> = (0..=MAX_USERS as u128).map(Uuid::from_u128).collect();
        let refusal = check_users(many).expect_err("too many");
        assert_eq!(refusal.errors[0].field, "userIds");
    }

    #[test]
    fn a_list_reads_as_ids_or_not_at_all() {
        let id = Uuid::from_u128(7);
        assert_eq!(read_users(&format!("{id}, {id}")), Some(vec![id, id]));
        for wrong in ["", "x", ",", &format!("{id},")] {
            assert_eq!(read_users(wrong), None, "{wrong}");
        }
    }
}
