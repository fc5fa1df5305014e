//! What operators tell and ask every process, as JSON on `control.<verb>`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Closes the connections of a user with 4403: [`OfUser`], answered with [`Closed`].
pub const DISCONNECT: &str = "disconnect";
/// Reads anew who is suspended or banned, and closes their connections: no payload, answered with [`Closed`].
pub const STANDING: &str = "standing";

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
    /// The process that answers, by the name it has among the edges.
    pub process: String,
    pub connections: u32,
}
