//! What a frame asks for, the same for both protocols.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::bus::BusError;
use crate::bus::publish::Stored;
use crate::edge::hub::registry::Connection;
use crate::edge::messages::{self, Preparation, Prepared};
use crate::edge::{Edge, presence, reactions, reads, signals};
use crate::telemetry::trace::TraceParent;
use crate::wire::error::{ApiError, Code};
use crate::wire::event::{itoa, splice_seq};
use crate::wire::frames::{
    Edit, IsTyping, Mark, Marked, OfConversation, OfMessage, OneMessage, Reaction, Refresh,
    Refreshed,
};
use crate::wire::presence::{Presence, SubscribePresence, check_users};
use crate::wire::requests::{SendMessage, parse};

use super::reply::ReplyTo;
use super::session::Session;

/// What became of a request.
type Outcome = Result<Answer, ApiError>;

/// The data of a reply.
enum Answer {
    Empty,
    /// A JSON object.
    Json(Vec<u8>),
    /// The reply follows when the log has answered.
    Later,
}

/// Does what a request asks and queues its reply. Requests of one connection are dealt with one after another;
/// only the acknowledgements of sends are awaited on the side.
pub async fn handle(session: &mut Session, to: ReplyTo, op: &str, data: &str) {
    let reply = match dispatch(session, &to, op, data).await {
        Ok(Answer::Later) => return,
        Ok(Answer::Empty) => to.ok(b"{}"),
        Ok(Answer::Json(data)) => to.ok(&data),
        Err(error) => {
            session.edge.metrics.error(error.code.as_str());
            to.error(&error)
        }
    };
    if let Some(frame) = reply {
        session.connection.queue.send(frame);
    }
}

async fn dispatch(session: &mut Session, to: &ReplyTo, op: &str, data: &str) -> Outcome {
    match op {
        "sendMessage" => send(session, to, data).await,
        "editMessage" => {
            let asked: Edit = parse(data.as_bytes())?;
            let (edge, caller) = (&session.edge, &session.caller);
            let message =
                Box::pin(messages::edit(edge, caller, asked.message_id, asked.content)).await?;
            json(&OneMessage { message: &message })
        }
        "deleteMessage" => {
            let asked: OfMessage = parse(data.as_bytes())?;
            let (edge, caller) = (&session.edge, &session.caller);
            let message = Box::pin(messages::delete(edge, caller, asked.message_id)).await?;
            json(&OneMessage { message: &message })
        }
        "addReaction" => react(session, data, true).await,
        "removeReaction" => react(session, data, false).await,
        "typing" => Box::pin(typing(session, parse(data.as_bytes())?)).await,
        "markAsRead" => mark_as_read(session, to, parse(data.as_bytes())?).await,
        "joinConversation" => hear(session, parse(data.as_bytes())?, true).await,
        "leaveConversation" => hear(session, parse(data.as_bytes())?, false).await,
        "subscribePresence" => Box::pin(follow(session, parse(data.as_bytes())?)).await,
        "refreshToken" => refresh(session, parse(data.as_bytes())?).await,
        "ping" => {
            session.edge.limits.request(session.caller.user_id)?;
            Ok(Answer::Empty)
        }
        // Its name is the client's own, but it may be of any length.
        _ => {
            session.edge.limits.request(session.caller.user_id)?;
            Err(ApiError::field("op", "is not an operation of this protocol"))
        }
    }
}

fn json(data: &impl Serialize) -> Outcome {
    serde_json::to_vec(data).map(Answer::Json).map_err(|cause| unwritable(&cause))
}

fn unwritable(cause: &serde_json::Error) -> ApiError {
    tracing::error!(%cause, "a reply cannot be written");
    ApiError::internal()
}

async fn send(session: &mut Session, to: &ReplyTo, data: &str) -> Outcome {
    let began = Instant::now();
    let request: SendMessage = parse(data.as_bytes())?;
    if session.edge.is_draining() {
        return Err(ApiError::unavailable());
    }
    let trace = TraceParent::begin(session.edge.sampler);
    let trace = trace.is_sampled().then_some(trace);
    let prepared = match messages::prepare(&session.edge, &session.caller, request, trace).await? {
        Preparation::Publish(prepared) => prepared,
        Preparation::Already(message) | Preparation::Scheduled(message) => {
            return json(&OneMessage { message: &message });
        }
    };
    // A client that sends without waiting is slowed down here, by not being read.
    let permit = session.in_flight().acquire_owned().await;
    let permit = permit.map_err(|_| ApiError::unavailable())?;
    let record = prepared.record();
    let waiting = Waiting {
        edge: session.edge.clone(),
        connection: session.connection.clone(),
        to: to.clone(),
        prepared,
        began,
        _permit: permit,
    };
    let publisher = session.edge.publisher.clone();
    publisher.submit(record, Box::new(move |stored| waiting.finish(stored))).await;
    Ok(Answer::Later)
}

/// A send that waits for the log.
struct Waiting {
    edge: Arc<Edge>,
    connection: Arc<Connection>,
    to: ReplyTo,
    prepared: Prepared,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Waiting {
    fn finish(self, stored: Result<Stored, BusError>) {
        match stored {
            Ok(stored) if stored.duplicate && self.prepared.is_named => {
                // Of an earlier request, or this one's own that had to be sent twice.
                let hub = self.edge.hub.clone();
                let answer = move || match self.edge.hub.recent(stored.seq) {
                    Some(data) if data == splice_seq(&self.prepared.payload, stored.seq) => {
                        self.answer(&accepted(&self.prepared.payload, stored.seq));
                    }
                    _ => self.repeat(stored.seq),
                };
                hub.after(stored.seq, Box::new(answer));
            }
            Ok(stored) => {
                self.prepared.trace_accepted(stored.seq);
                self.edge.metrics.accept_to_puback.observe(self.began.elapsed());
                let hub = self.edge.hub.clone();
                let answer = move || self.answer(&accepted(&self.prepared.payload, stored.seq));
                hub.after(stored.seq, Box::new(answer));
            }
            Err(cause) => self.refuse(&messages::publish_failed(&self.edge, &cause)),
        }
    }

    fn answer(&self, data: &[u8]) {
        if let Some(frame) = self.to.ok(data) {
            self.connection.queue.send(frame);
        }
    }

    fn refuse(&self, error: &ApiError) {
        self.edge.metrics.error(error.code.as_str());
        if let Some(frame) = self.to.error(error) {
            self.connection.queue.send(frame);
        }
    }

    /// The stream knew it: the answer is the message of the first time.
    fn repeat(self, seq: u64) {
        let sessions = self.edge.sessions.clone();
        sessions.spawn(async move {
            match messages::original(&self.edge, &self.prepared, seq).await {
                Ok(message) => match serde_json::to_vec(&OneMessage { message: &message }) {
                    Ok(data) => self.answer(&data),
                    Err(cause) => self.refuse(&unwritable(&cause)),
                },
                Err(error) => self.refuse(&error),
            }
        });
    }
}

/// `{"message":{"seq":…,"status":"sent",…}}` around the payload, which is not parsed again.
fn accepted(payload: &[u8], seq: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(payload.len() + 64);
    out.put_slice(b"{\"message\":{\"seq\":");
    out.put_slice(itoa(seq, &mut [0; 20]));
    out.put_slice(b",\"status\":\"sent\",");
    out.put_slice(payload.get(1..).unwrap_or(b"}"));
    out.put_u8(b'}');
    out
}

async fn react(session: &Session, data: &str, added: bool) -> Outcome {
    let asked: Reaction = parse(data.as_bytes())?;
    let (edge, caller) = (&session.edge, &session.caller);
    let change = reactions::change(edge, caller, asked.message_id, &asked.emoji, added);
    Box::pin(change).await?;
    Ok(Answer::Empty)
}

async fn typing(session: &Session, asked: IsTyping) -> Outcome {
    let user = session.caller.user_id;
    session.edge.limits.signal(user)?;
    messages::participates(&session.edge, user, asked.conversation_id).await?;
    session.edge.may_reach(asked.conversation_id)?;
    let connection = session.connection.id;
    signals::typing(&session.edge, user, connection, asked.conversation_id, asked.is_typing).await;
    Ok(Answer::Empty)
}

/// The commit is awaited on the side: meanwhile the connection hears and sends, however slow Postgres is.
async fn mark_as_read(session: &Session, to: &ReplyTo, asked: Mark) -> Outcome {
    session.edge.limits.signal(session.caller.user_id)?;
    let permit = session.marking().acquire_owned().await;
    let permit = permit.map_err(|_| ApiError::unavailable())?;
    let (edge, caller, to) = (session.edge.clone(), session.caller.clone(), to.clone());
    let connection = session.connection.clone();
    session.edge.sessions.spawn(async move {
        let Mark { conversation_id, message_id } = asked;
        let here = Some(connection.id);
        let marked = reads::mark_read(&edge, &caller, here, conversation_id, message_id);
        let marked = marked.await.and_then(|unread_count| {
            serde_json::to_vec(&Marked { unread_count }).map_err(|cause| unwritable(&cause))
        });
        let reply = match marked {
            Ok(data) => to.ok(&data),
            Err(error) => {
                edge.metrics.error(error.code.as_str());
                to.error(&error)
            }
        };
        if let Some(frame) = reply {
            connection.queue.send(frame);
        }
        drop(permit);
    });
    Ok(Answer::Later)
}

async fn hear(session: &mut Session, asked: OfConversation, on: bool) -> Outcome {
    let user = session.caller.user_id;
    let conversation = asked.conversation_id;
    session.edge.limits.request(user)?;
    messages::participates(&session.edge, user, conversation).await?;
    session.attached.hears(conversation, on);
    if on && let Err(refusal) = messages::participates(&session.edge, user, conversation).await {
        // Removed between the check and the change: the removal silenced nobody here yet.
        session.attached.hears(conversation, false);
        return Err(refusal);
    }
    Ok(Answer::Empty)
}

async fn follow(session: &mut Session, asked: SubscribePresence) -> Outcome {
    session.edge.limits.request(session.caller.user_id)?;
    let users = check_users(asked.user_ids)?;
    let statuses = presence::follow(&session.edge, &mut session.present, &users).await?;
    json(&Presence { presence: statuses.into_iter().map(Into::into).collect() })
}

async fn refresh(session: &mut Session, asked: Refresh) -> Outcome {
    session.edge.limits.request(session.caller.user_id)?;
    let fresh = session.edge.caller(&asked.token)?;
    if fresh.user_id != session.caller.user_id {
        return Err(ApiError::new(Code::Forbidden, "the token is of another user"));
    }
    let expires_at = fresh.expires_at;
    session.caller.expires_at = expires_at;
    session.renew();
    json(&Refreshed { expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_wraps_the_payload_as_it_is() {
        let data = accepted(br#"{"id":"x"}"#, 7);
        assert_eq!(&data[..], br#"{"message":{"seq":7,"status":"sent","id":"x"}}"#);
    }
}
