//! Every place in the database where a user may stand, and what becomes of it at the end of their data.
//!
//! This one list is what erases ([`Place::statement`]), what proves it (`Store::traces_of`), and what a test compares with
//! the columns that there are: a migration that adds one is not complete without its line here.

use crate::domain::ids::UserId;
use crate::domain::user::GONE;
use crate::store::{Store, StoreError, row, unsigned};

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The row goes.
    Row,
    /// The row stays without what the user said in it: the statement's part behind SET, and what tells that it is there.
    Blank { set: &'static str, left: &'static str },
    /// It goes by another way, which is said; the condition tells what is left of it.
    Otherwise { left: &'static str, how: &'static str },
    /// It stays, and why.
    Stays(&'static str),
}

/// A column that names users, or holds what they have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub table: &'static str,
    pub column: &'static str,
    pub fate: Fate,
}

const fn place(table: &'static str, column: &'static str, fate: Fate) -> Place {
    Place { table, column, fate }
}

const fn other(
    table: &'static str,
    column: &'static str,
    left: &'static str,
    how: &'static str,
) -> Place {
    place(table, column, Fate::Otherwise { left, how })
}

const fn stays(table: &'static str, column: &'static str, why: &'static str) -> Place {
    place(table, column, Fate::Stays(why))
}

/// Does the JSON of an event tell the name of the user of `$1`?
const NAMED_IN_PAYLOAD: &str =
    "payload LIKE '%' || $1::uuid::text || '%' AND jsonb_path_exists(payload::jsonb,
            '$.** ? (@.userId == $user && @.displayName != null && @.displayName != $gone)',
            jsonb_build_object('user', $1::uuid::text, 'gone', 'Deleted user'))";

/// In the order of the tables' names. `$1` is the user.
pub const PLACES: &[Place] = &[
    stays("audit", "target", "an id alone: who has changed what must stay"),
    stays("block_pairs", "high_id", "ids alone: of a pair that had a block; nodes read from it that it is gone"),
    stays("block_pairs", "low_id", "the same"),
    place("blocks", "blocker_id", Fate::Row),
    stays("blocks", "blocked_id", "what others have decided; it holds if the user comes back"),
    stays("contexts", "owner_id", "what another service says of its own things"),
    stays("contexts", "told_by", "a service"),
    stays("conversation_bans", "banned_by", "an id alone"),
    stays("conversation_bans", "user_id", "a ban outlives the account, or erasing it would be a way around"),
    other(
        "conversation_changes",
        "payload",
        NAMED_IN_PAYLOAD,
        "the name is taken out of each",
    ),
    place("conversation_join_requests", "user_id", Fate::Row),
    other(
        "conversation_participants",
        "user_id",
        "user_id = $1 AND (last_read_at IS NOT NULL OR is_pinned OR is_muted OR is_archived OR EXISTS (
            SELECT FROM conversations c WHERE c.id = conversation_id AND c.type <> 'direct'))",
        "the user leaves; in direct conversations a participant without a name stays",
    ),
    stays("conversations", "creator_id", "an id alone"),
    stays("conversations", "direct_key", "ids alone: the two people of a direct conversation are the two for good"),
    other("departures", "user_id", "user_id = $1", "with the last step"),
    place("devices", "user_id", Fate::Row),
    place("exports", "user_id", Fate::Row),
    stays("held_messages", "sender_id", "a legal hold keeps what was said until it is released"),
    other("media", "owner_id", "owner_id = $1", "the collector erases the bytes, then the row"),
    place("membership_changes", "user_id", Fate::Row),
    stays("message_pins", "pinned_by", "an id alone"),
    other("message_search", "sender_id", "sender_id = $1", "with the deletion of the message"),
    stays("messages", "mentions", "what others have written; an id alone"),
    other(
        "messages",
        "sender_id",
        "sender_id = $1 AND (deleted_at IS NULL OR content <> '' OR client_message_id IS NOT NULL
            OR sender_name <> 'Deleted user')",
        "deletions through the log; tombstones stay, without a name",
    ),
    other(
        "messages",
        "reply_to",
        "reply_to ->> 'senderId' = $1::uuid::text AND reply_to ->> 'content' <> ''",
        "with the deletion of the quoted message",
    ),
    place("notification_settings", "user_id", Fate::Row),
    other(
        "outbox",
        "payload",
        NAMED_IN_PAYLOAD,
        "gone as soon as it is announced",
    ),
    place("push_jobs", "user_id", Fate::Row),
    place("push_slots", "user_id", Fate::Row),
    other("reactions", "user_id", "user_id = $1 AND added", "taken back through the log"),
    place("report_evidence", "sender_id", Fate::Row),
    stays("reports", "reported_id", "what others have reported; the evidence that the user wrote goes"),
    place(
        "reports",
        "reporter_id",
        Fate::Blank { set: "reason = '', details = ''", left: "reason <> '' OR details <> ''" },
    ),
    place("scheduled_messages", "sender_id", Fate::Row),
    stays("scheduled_messages", "mentions", "what others have written; an id alone"),
    stays("user_erasures", "user_id", "tokens from before do not come back"),
    stays("user_standing", "user_id", "a ban outlives the account, or erasing it would be a way around"),
    other(
        "users",
        "id",
        "id = $1 AND (display_name <> 'Deleted user' OR avatar_url IS NOT NULL OR last_seen_at IS NOT NULL)",
        "the row stays, with a name that says so",
    ),
];

impl Place {
    /// What removes it, where that is one statement.
    pub(super) fn statement(&self) -> Option<String> {
        let Self { table, column, fate } = self;
        match fate {
            Fate::Row => Some(format!("DELETE FROM {table} WHERE {column} = $1")),
            Fate::Blank { set, .. } => {
                Some(format!("UPDATE {table} SET {set} WHERE {column} = $1"))
            }
            Fate::Otherwise { .. } | Fate::Stays(_) => None,
        }
    }

    /// What of it must not be there any more.
    fn left(&self) -> Option<String> {
        let column = self.column;
        match self.fate {
            Fate::Row => Some(format!("{column} = $1")),
            Fate::Blank { left, .. } => Some(format!("{column} = $1 AND ({left})")),
            Fate::Otherwise { left, .. } => Some(left.to_owned()),
            Fate::Stays(_) => None,
        }
    }
}

impl Store {
    /// How many rows of a place still tell of a user; `None` for one that stays. It looks through the whole table, however
    /// long that takes.
    ///
    /// # Errors
    /// As every statement.
    pub async fn traces_of(&self, user: UserId, place: &Place) -> Result<Option<u64>, StoreError> {
        let Some(left) = place.left() else { return Ok(None) };
        debug_assert_eq!(GONE, "Deleted user", "the name in the conditions");
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        // Not bound by the time of a request: an operator waits for it.
        tx.batch_execute("SET LOCAL statement_timeout = 0").await?;
        let sql = format!("SELECT count(*) AS traces FROM {} WHERE {left}", place.table);
        let found = row(&tx, &sql, &[&user]).await?;
        tx.commit().await?;
        found.as_ref().map(|row| unsigned(row, "traces")).transpose()
    }
}
