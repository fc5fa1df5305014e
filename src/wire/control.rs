//! What operators tell and ask every process, as JSON on `control.<verb>`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::ids::Seq;

use super::event::Change;
use super::time;

/// Closes the connections of a user with 4403: [`OfUser`], answered with [`Closed`].
pub const DISCONNECT: &str = "disconnect";
/// Reads anew who is suspended or banned, and closes their connections: no payload, answered with [`Closed`].
pub const STANDING: &str = "standing";

/// How the process is: no payload, answered with [`ProcessStatus`] by every process, whatever its roles are.
pub const STATUS: &str = "status";

/// A process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessStatus {
    /// The machine, or the container.
    pub host: String,
    pub pid: u32,
    pub roles: Vec<String>,
    pub version: String,
    /// RFC 3339.
    pub started_at: String,
    /// Of clients, open.
    pub connections: u64,
    /// It is the one that writes the log into Postgres.
    pub leads_persister: bool,
    /// What stands in the way of its being ready; empty when it is.
    pub not_ready: Vec<String>,
}

/// About one user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfUser {
    pub user_id: Uuid,
}

/// What an edge closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// The process that answers: its machine and its number there.
    pub process: String,
    pub connections: u32,
}

/// What an edge remembers of an event of the log: [`OfEvent`], answered with [`Trail`].
pub const TRAIL: &str = "trail";

/// About one event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfEvent {
    pub conversation_id: Uuid,
    pub seq: Seq,
}

/// What an edge remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trail {
    /// The process that answers: its machine and its number there.
    pub process: String,
    /// From the request to the log's answer, where this edge sent the event.
    pub took_micros: Option<u32>,
    /// When it was queued for the connections here.
    #[serde(with = "time::option")]
    pub routed_at: Option<Timestamp>,
    /// For how many.
    pub routed_to: u32,
    /// Whether it was routed here is not known any more.
    pub is_forgotten: bool,
    /// Those that hear the conversation now, the first of them.
    pub connections: Vec<Hearing>,
}

/// A connection that hears a conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hearing {
    pub connection_id: Uuid,
    pub user_id: Uuid,
}

/// Shows a conversation anew to people whose own view of it has changed: [`OwnViews`], answered with [`Shown`].
pub const VIEWS: &str = "views";

/// People who are told at once: a view costs some 3 ms of the database, so that a node is done within a third of a second.
/// Others see what has changed with their next list.
pub const MAX_SHOWN: usize = 100;

/// Whose view of which conversation has changed, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnViews {
    pub conversation_id: Uuid,
    pub change: Change,
    /// [`MAX_SHOWN`] at most.
    pub user_ids: Vec<Uuid>,
}

/// To how many connections an edge has shown something.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The process that answers: its machine and its number there.
    pub process: String,
    pub connections: u32,
}

/// What a process of push remembers of the notifications of a message: [`OfEvent`], answered with [`Notified`].
pub const NOTIFIED: &str = "notified";

/// What a process of push remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    /// The process that answers: its machine and its number there.
    pub process: String,
    /// There may have been more.
    pub is_forgotten: bool,
    /// In their order.
    pub decisions: Vec<Decision>,
}

/// What was decided about a notification, or what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Whom it concerns; none for everybody.
    pub user_id: Option<Uuid>,
    /// For which of their devices, when it is about sending.
    pub device_id: Option<Uuid>,
    #[serde(with = "time")]
    pub at: Timestamp,
    /// `first` at once, `second` after the grace, `sending` when it was due.
    pub step: String,
    /// A name, as in the metrics `push_decisions`, `push_dropped` and `push_failures`; `sent` and `sent_quietly`.
    pub what: String,
}
