//! What somebody missed, from the projection: new messages, what became of older ones, and changes of
//! conversations. Changes are coalesced: each message as it is now.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::domain::message::Message;

use super::messages::{message, message_columns};
use super::{Store, StoreError, rows, signed, unsigned};

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub user: UserId,
    /// What lies behind this was missed.
    pub after: Seq,
    /// Nothing behind this is looked for.
    pub until: Seq,
    /// The conversations that the user hears now, or heard until a moment that the projection does not know yet.
    pub heard: &'a [ConversationId],
    /// Messages, and changes, of one conversation at most; the newest where there are more.
    pub limit: u32,
}

/// What was missed, as far as the projection has come.
#[derive(Debug, Clone, Default)]
pub struct Missed {
    /// This is everything up to here.
    pub through: Seq,
    pub messages: Vec<Message>,
    /// Messages that the user had, edited since: the place of the last edit, and the message as it is now.
    pub edited: Vec<(Seq, Message)>,
    pub deleted: Vec<Deleted>,
    /// The last word on each reaction to a message that the user had.
    pub reactions: Vec<Reacted>,
    pub conversations: Vec<Changed>,
}

/// A message that the user had is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    pub seq: Seq,
    pub conversation_id: ConversationId,
    pub message_id: MessageId,
    pub message_seq: Seq,
}

/// The last word on a reaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reacted {
    pub seq: Seq,
    pub conversation_id: ConversationId,
    pub message_id: MessageId,
    pub message_seq: Seq,
    pub user_id: UserId,
    pub emoji: String,
    pub added: bool,
}

/// A conversation or its participants changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub seq: Seq,
    pub conversation_id: ConversationId,
    /// The event as clients got it.
    pub payload: String,
}

/// The stretches of conversations that concern the user: those heard, from where the user joined if that was
/// meanwhile; and those that were left, up to there. Two stretches of one conversation may overlap.
macro_rules! spans {
    () => {
        "WITH spans AS MATERIALIZED (
             SELECT h.conversation_id, GREATEST($2, COALESCE(p.joined_seq, 0) - 1) AS after, $3::bigint AS until
             FROM UNNEST($4::uuid[]) AS h(conversation_id)
             LEFT JOIN conversation_participants p
               ON p.conversation_id = h.conversation_id AND p.user_id = $1
             UNION
             SELECT m.conversation_id, $2, max(m.seq) FROM membership_changes m
             WHERE m.user_id = $1 AND m.seq > $2 AND m.seq <= $3 AND NOT m.gained
             GROUP BY m.conversation_id
         ) "
    };
}

const MESSAGES: &str = concat!(
    spans!(),
    "SELECT ",
    message_columns!(),
    " FROM spans s
      JOIN conversations c ON c.id = s.conversation_id AND c.last_message_seq > s.after
      CROSS JOIN LATERAL (
          SELECT * FROM messages
          WHERE conversation_id = s.conversation_id AND seq > s.after AND seq <= s.until
          ORDER BY seq DESC LIMIT $5) m"
);

/// The last change of each message that the user had. Deletions after edits and the other way round count as one.
const CHANGES: &str = concat!(
    spans!(),
    "SELECT x.seq AS changed_at, ",
    message_columns!(),
    " FROM spans s
      CROSS JOIN LATERAL (
          SELECT d.message_seq, max(d.seq) AS seq FROM message_changes d
          WHERE d.conversation_id = s.conversation_id AND d.seq > s.after AND d.seq <= s.until
            AND d.message_seq <= s.after
          GROUP BY d.message_seq ORDER BY max(d.seq) DESC LIMIT $5) x
      JOIN messages m ON m.conversation_id = s.conversation_id AND m.seq = x.message_seq"
);

const CONVERSATIONS: &str = concat!(
    spans!(),
    "SELECT x.seq, x.conversation_id, x.payload FROM spans s
      CROSS JOIN LATERAL (
          SELECT * FROM conversation_changes d
          WHERE d.conversation_id = s.conversation_id AND d.seq > s.after AND d.seq <= s.until
          ORDER BY d.seq DESC LIMIT $5) x"
);

const REACTIONS: &str = concat!(
    spans!(),
    "SELECT x.seq, x.conversation_id, x.message_id, x.message_seq, x.user_id, x.emoji, x.added FROM spans s
      CROSS JOIN LATERAL (
          SELECT * FROM reactions d
          WHERE d.conversation_id = s.conversation_id AND d.seq > s.after AND d.seq <= s.until
            AND d.message_seq <= s.after
          ORDER BY d.seq DESC LIMIT $5) x"
);

impl Store {
    /// Reads what a user missed, all of it as of one moment.
    pub async fn missed(&self, asked: Asked<'_>) -> Result<Missed, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .read_only(true)
                .start()
                .await?;
            let through = through(&tx).await?.min(asked.until);
            let (after, until) = (signed(asked.after), signed(through));
            let limit = i64::from(asked.limit) + 1;
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&asked.user, &after, &until, &asked.heard, &limit];
            // Sent together, answered together: one round trip.
            let (messages, changes, reactions, conversations) = tokio::try_join!(
                rows(&tx, MESSAGES, &params),
                rows(&tx, CHANGES, &params),
                rows(&tx, REACTIONS, &params),
                rows(&tx, CONVERSATIONS, &params),
            )?;
            tx.commit().await?;
            let mut missed = Missed { through, ..Missed::default() };
            let now = self.now();
            let read = messages.iter().map(|row| message(row, now));
            missed.messages = read.collect::<Result<_, _>>()?;
            missed.reactions = reactions.iter().map(reacted).collect::<Result<_, _>>()?;
            missed.conversations = conversations.iter().map(changed).collect::<Result<_, _>>()?;
            for row in &changes {
                missed.take_change(row, now)?;
            }
            Ok(missed)
        })
        .await
    }

    /// Where a user's stay in some conversations began; 0 where the log's announcement of it was not read yet.
    pub async fn joined(
        &self,
        user: UserId,
        conversations: &[ConversationId],
    ) -> Result<HashMap<ConversationId, Seq>, StoreError> {
        let sql = "SELECT conversation_id, joined_seq FROM conversation_participants
                   WHERE user_id = $1 AND conversation_id = ANY($2)";
        self.within(async {
            let found = rows(&self.client().await?, sql, &[&user, &conversations]).await?;
            let joined = |row: &Row| -> Result<(Uuid, Seq), StoreError> {
                Ok((row.try_get("conversation_id")?, unsigned(row, "joined_seq")?))
            };
            found.iter().map(joined).collect()
        })
        .await
    }

    /// Messages of one conversation by their places; those that are not there are left out.
    pub async fn messages_at(
        &self,
        places: &[(ConversationId, Seq)],
    ) -> Result<Vec<Message>, StoreError> {
        let (conversations, seqs): (Vec<Uuid>, Vec<i64>) =
            places.iter().map(|(conversation, seq)| (*conversation, signed(*seq))).unzip();
        self.within(async {
            super::messages::newest(&self.client().await?, &conversations, &seqs, self.now()).await
        })
        .await
    }
}

impl Missed {
    fn take_change(&mut self, row: &Row, now: Timestamp) -> Result<(), StoreError> {
        let seq = unsigned(row, "changed_at")?;
        let is_buried = row.try_get::<_, Option<Timestamp>>("deleted_at")?.is_some();
        let message = message(row, now)?;
        if is_buried {
            let Message { id, conversation_id, seq: message_seq, .. } = message;
            self.deleted.push(Deleted { seq, conversation_id, message_id: id, message_seq });
        } else if message.deleted_at.is_none() {
            // One that has just vanished says nothing more; its deletion is on its way.
            self.edited.push((seq, message));
        }
        Ok(())
    }
}

fn reacted(row: &Row) -> Result<Reacted, StoreError> {
    Ok(Reacted {
        seq: unsigned(row, "seq")?,
        message_id: row.try_get("message_id")?,
        message_seq: unsigned(row, "message_seq")?,
        conversation_id: row.try_get("conversation_id")?,
        user_id: row.try_get("user_id")?,
        emoji: row.try_get("emoji")?,
        added: row.try_get("added")?,
    })
}

fn changed(row: &Row) -> Result<Changed, StoreError> {
    Ok(Changed {
        seq: unsigned(row, "seq")?,
        conversation_id: row.try_get("conversation_id")?,
        payload: row.try_get("payload")?,
    })
}

async fn through(client: &impl GenericClient) -> Result<Seq, StoreError> {
    let sql = "SELECT last_seq FROM progress WHERE name = 'persist'";
    let row = rows(client, sql, &[]).await?.into_iter().next();
    unsigned(&row.ok_or_else(|| StoreError::bug("the progress row is missing"))?, "last_seq")
}
