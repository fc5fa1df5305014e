//! Events as they are published, for operators who look on. At most once and without a place in the log: a plain
//! subscription, which can neither read what is stored nor make, change or hold up any consumer.

use std::collections::{HashSet, VecDeque};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::domain::ids::ConversationId;
use crate::wire::event::{EVENT_HEADER, EventKind};
use crate::wire::subjects;

use super::BusError;

/// Ids that are remembered: a publish whose answer was lost is repeated within seconds, at 15,000 a second at most half
/// of which fit. What comes again later is shown again.
const REMEMBERED: usize = 50_000;

/// An event that was published.
#[derive(Debug, Clone)]
pub struct Seen {
    pub conversation: ConversationId,
    pub kind: EventKind,
    pub payload: Bytes,
}

/// A look at the log's subjects.
pub struct Watch {
    events: Subscriber,
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Watch {
    /// Begins to look, at one conversation if given, and returns when the server knows.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] without an answer. That it is not allowed is heard by `Refusals` only.
    pub async fn begin(
        client: &Client,
        conversation: Option<ConversationId>,
    ) -> Result<Self, BusError> {
        let subject = conversation.map_or_else(|| subjects::CHAT_ALL.to_owned(), subjects::chat);
        let events = client.subscribe(subject).await.map_err(BusError::unavailable)?;
        client.flush().await.map_err(BusError::unavailable)?;
        Ok(Self { events, known: HashSet::new(), order: VecDeque::new() })
    }

    /// The next event.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when the connection was closed for good.
    pub async fn next(&mut self) -> Result<Seen, BusError> {
        loop {
            let message = self.events.next().await;
            let message = message.ok_or_else(|| BusError::unavailable("the connection ended"))?;
            let header = |name: &str| {
                message.headers.as_ref()?.get(name).map(|value| value.as_str().to_owned())
            };
            let conversation = subjects::conversation_of(&message.subject);
            let kind = header(EVENT_HEADER).as_deref().and_then(EventKind::parse);
            let (Some(conversation), Some(kind)) = (conversation, kind) else { continue };
            if header("Nats-Msg-Id").is_some_and(|id| !self.is_new(id)) {
                continue;
            }
            return Ok(Seen { conversation, kind, payload: message.payload });
        }
    }

    fn is_new(&mut self, id: String) -> bool {
        if !self.known.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
