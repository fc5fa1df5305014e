//! Notices: a conversation of one user and what one service tells them, made when there is something to tell.
//!
//! It is a group with the user as its only participant and no admin: the user mutes, archives, reads and may leave it,
//! and may write in it, which a service that follows the log can read. A service's next notice takes somebody who left in again.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, UserId};
use crate::outbox;
use crate::store::notices::Notices;
use crate::store::services::Destination;
use crate::wire::event::Change;

use super::{Fault, Ingest};

/// Made at a time: half the connections of the smallest pool that a process is given in practice.
const AT_A_TIME: usize = 4;

impl Ingest {
    /// The conversations of these notices, the service and the user of each, made where they are missing.
    pub(super) async fn notices(
        &self,
        wanted: &HashMap<ConversationId, (UserId, UserId)>,
        names: &HashMap<UserId, String>,
    ) -> Result<Vec<Destination>, Fault> {
        let pairs: Vec<_> = wanted.iter().map(|(id, (_, user))| (*id, *user)).collect();
        let mut found = self.store.destinations_of(&pairs).await?;
        if found.len() == wanted.len() {
            return Ok(found);
        }
        let there: HashMap<ConversationId, ()> = found.iter().map(|to| (to.id, ())).collect();
        let missing = wanted.iter().filter(|(id, _)| !there.contains_key(*id));
        let missing = missing.map(|(id, (sender, user))| Notices {
            id: *id,
            sender: *sender,
            user: *user,
            title: names.get(sender).cloned().unwrap_or_default(),
        });
        let made: Vec<Destination> = stream::iter(missing.collect::<Vec<_>>())
            .map(|notices| async move { self.open(&notices).await })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        found.extend(made);
        Ok(found)
    }

    async fn open(&self, notices: &Notices) -> Result<Destination, Fault> {
        let event = |after: &Conversation, created: bool| {
            let change = if created { Change::Created } else { Change::ParticipantsAdded };
            outbox::announcement_by(notices.sender, change, vec![notices.user], after)
        };
        self.store.open_notices(notices, self.clock.now(), event).await?;
        Ok(Destination { id: notices.id, is_announcing: true })
    }
}
