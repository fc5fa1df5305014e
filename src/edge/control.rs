//! What operators tell this node to do at once, and what they ask it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bus::BusError;
use crate::bus::control::{Call, Calls};
use crate::wire::control::{
    Closed, DISCONNECT, Hearing, MAX_SHOWN, OfEvent, OfUser, OwnViews, STANDING, Shown, TRAIL,
    Trail, VIEWS,
};
use crate::wire::error::CloseCode;

use super::hub::trail::Memory;
use super::{Edge, signals};

/// Connections that are named in an answer: 120 bytes each, 240 KB.
const NAMED: usize = 2_000;

/// Does what is told and answers what is asked, until the connection closes.
///
/// # Errors
/// [`BusError::Unavailable`] when the subscription ends.
pub async fn follow(edge: &Arc<Edge>) -> Result<(), BusError> {
    let mut calls = Calls::listen(&edge.signals).await?;
    loop {
        answer(edge, calls.next().await?).await;
    }
}

/// A new verb gets a line here and its types in [`crate::wire::control`]. Calls are dealt with one after the other, so each
/// bounds its time.
async fn answer(edge: &Arc<Edge>, call: Call) {
    match call.verb.as_str() {
        DISCONNECT => {
            let Some(OfUser { user_id }) = read(&call) else { return };
            let mut connections = 0;
            edge.hub.registry().connections_of(user_id, |connection| {
                connection.queue.close(CloseCode::Revoked);
                connections += 1;
            });
            reply(&call, &closed(edge, connections)).await;
        }
        STANDING => match super::standing::refresh(edge).await {
            Ok(connections) => reply(&call, &closed(edge, connections)).await,
            // No answer tells the operator that this node does not know yet.
            Err(cause) => tracing::warn!(%cause, "cannot read who is suspended or banned"),
        },
        TRAIL => {
            let Some(event) = read(&call) else { return };
            reply(&call, &trail(edge, &event)).await;
        }
        VIEWS => {
            let Some(views) = read(&call) else { return };
            reply(&call, &show(edge, &views).await).await;
        }
        // Other roles answer others, and so do later versions.
        verb => tracing::debug!(verb, "not for an edge"),
    }
}

/// Shows people who are connected here a conversation as they see it now.
async fn show(edge: &Edge, views: &OwnViews) -> Shown {
    let mut connections = 0;
    for user in views.user_ids.iter().take(MAX_SHOWN) {
        let mut here = 0;
        edge.hub.registry().connections_of(*user, |_| here += 1);
        if here == 0 {
            continue;
        }
        let view = signals::own_view(edge, *user, views.conversation_id, views.change).await;
        if let Some(signal) = view {
            edge.hub.signal(&signal);
            connections += here;
        }
    }
    Shown { process: edge.settings.process.clone(), connections }
}

fn trail(edge: &Edge, event: &OfEvent) -> Trail {
    let remembered = edge.hub.trail();
    let routing = remembered.routing(event.seq);
    let (routed_at, routed_to) = match routing {
        Memory::Known(routed) => (Some(routed.at()), routed.connections),
        Memory::Never | Memory::Forgotten => (None, 0),
    };
    let took_micros = match remembered.acceptance(event.seq) {
        Memory::Known(accepted) => Some(accepted.took_micros),
        Memory::Never | Memory::Forgotten => None,
    };
    let mut connections = Vec::new();
    edge.hub.registry().receivers(event.conversation_id, |connection| {
        if connections.len() < NAMED {
            connections.push(Hearing { connection_id: connection.id, user_id: connection.user });
        }
    });
    Trail {
        process: edge.settings.process.clone(),
        took_micros,
        routed_at,
        routed_to,
        is_forgotten: routing == Memory::Forgotten,
        connections,
    }
}

fn closed(edge: &Edge, connections: u32) -> Closed {
    Closed { process: edge.settings.process.clone(), connections }
}

/// What the call is about; only operators may call, so what cannot be read is another version's.
fn read<T: DeserializeOwned>(call: &Call) -> Option<T> {
    serde_json::from_slice(&call.payload)
        .inspect_err(|cause| tracing::warn!(verb = call.verb, %cause, "a call cannot be read"))
        .ok()
}

async fn reply(call: &Call, body: &impl Serialize) {
    match serde_json::to_vec(body) {
        Ok(body) => call.answer(body.into()).await,
        Err(cause) => tracing::error!(verb = call.verb, %cause, "an answer cannot be written"),
    }
}
