//! How far messages have come, read from the markers of a conversation's participants.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use crate::domain::ids::{ConversationId, UserId};
use crate::domain::message::Message;
use crate::domain::receipt::{MAX_FOLLOWED, OthersMarkers, Receipt, Receipts};

use super::{Store, StoreError, rows, signed, unsigned};

/// Receipts are listed in conversations of up to so many participants, the largest of groups: some 80 KiB of JSON.
const MAX_LISTED: i32 = 1000;

/// How far everybody but `user` is in each of the conversations. Those where there is nobody else, or where they are
/// too many to be followed, are left out.
pub(super) async fn others_markers(
    client: &impl GenericClient,
    conversations: &[ConversationId],
    user: UserId,
) -> Result<HashMap<ConversationId, OthersMarkers>, StoreError> {
    // A participant who has read something has received it, and nobody is waited for who joined later.
    let sql = "SELECT c.id, min(GREATEST(p.last_read_seq, p.joined_seq)) AS read_seq,
                      min(GREATEST(p.delivered_seq, p.last_read_seq, p.joined_seq)) AS delivered_seq
               FROM conversations c JOIN conversation_participants p ON p.conversation_id = c.id
               WHERE c.id = ANY($1) AND p.user_id <> $2 AND c.participant_count <= $3
               GROUP BY c.id";
    let max = i32::try_from(MAX_FOLLOWED).unwrap_or(i32::MAX);
    rows(client, sql, &[&conversations, &user, &max])
        .await?
        .iter()
        .map(|row| {
            let read_seq = unsigned(row, "read_seq")?;
            let delivered_seq = unsigned(row, "delivered_seq")?;
            Ok((row.try_get("id")?, OthersMarkers { read_seq, delivered_seq }))
        })
        .collect()
}

impl Store {
    /// How far everybody but `user` is. `None` where there is nobody else, or where they are too many.
    pub async fn others_markers(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<OthersMarkers>, StoreError> {
        self.within(async {
            let mut found = others_markers(&self.client().await?, &[conversation], user).await?;
            Ok(found.remove(&conversation))
        })
        .await
    }

    /// Who else has received and read a message, the earliest first; nobody in a conversation of more than
    /// 1,000.
    pub async fn receipts(&self, message: &Message) -> Result<Receipts, StoreError> {
        let sql = "SELECT r.user_id, r.delivered_at, r.read_at
                   FROM conversations c CROSS JOIN LATERAL receipts_of(c.id, $2, $3, $4) AS r
                   WHERE c.id = $1 AND c.participant_count <= $5
                   ORDER BY r.delivered_at, r.user_id";
        let Message { conversation_id, sender_id, created_at, .. } = message;
        let place = signed(message.seq);
        self.within(async {
            let params: [&(dyn ToSql + Sync); 5] =
                [conversation_id, &place, sender_id, created_at, &MAX_LISTED];
            let mut receipts = Receipts::default();
            for row in rows(&self.client().await?, sql, &params).await? {
                let user_id = row.try_get("user_id")?;
                receipts.delivered_to.push(Receipt { user_id, at: row.try_get("delivered_at")? });
                if let Some(at) = row.try_get("read_at")? {
                    receipts.read_by.push(Receipt { user_id, at });
                }
            }
            receipts.read_by.sort_by_key(|receipt| receipt.at);
            Ok(receipts)
        })
        .await
    }
}
