//! What clients do, and what becomes of it.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Client, Scene};
use crate::faults::record::{Accepted, now};

/// What was asked for and has no answer yet.
#[derive(Debug, Clone)]
pub struct Pending {
    pub op: Op,
    pub attempt: u32,
    /// The number of the request and when it was sent, on the present connection.
    pub sent: Option<(u64, Instant)>,
    pub not_before: Instant,
}

#[derive(Debug, Clone)]
pub enum Op {
    /// `file` is what a message says of the file that it names.
    Send {
        conversation: Uuid,
        name: String,
        content: String,
        ttl: Option<u32>,
        file: Option<Value>,
    },
    Edit {
        id: Uuid,
        content: String,
    },
    Delete {
        id: Uuid,
    },
    React {
        id: Uuid,
        emoji: &'static str,
        add: bool,
    },
    Read {
        conversation: Uuid,
        id: Uuid,
        seq: u64,
    },
    Typing {
        conversation: Uuid,
    },
}

/// How many requests a client has on the way.
const AHEAD: usize = 4;
/// What a client waits when it is told to come again.
const RETRY_MS: std::ops::Range<u64> = 100..400;

impl Pending {
    pub fn new(op: Op) -> Self {
        Self { op, attempt: 1, sent: None, not_before: Instant::now() }
    }

    /// Whether the request was stored, nobody knows.
    pub fn connection_lost(&mut self) {
        if self.sent.take().is_some() {
            self.attempt += 1;
        }
    }

    /// The operation and its data.
    pub fn request(&self) -> (&'static str, Value) {
        match &self.op {
            Op::Send { conversation, name, content, ttl, file } => (
                "sendMessage",
                json!({"conversationId": conversation, "content": content,
                    "clientMessageId": name, "attempt": self.attempt, "ttlSeconds": ttl,
                    "type": if file.is_some() { "file" } else { "text" }, "metadata": file}),
            ),
            Op::Edit { id, content } => {
                ("editMessage", json!({"messageId": id, "content": content}))
            }
            Op::Delete { id } => ("deleteMessage", json!({"messageId": id})),
            Op::React { id, emoji, add } => (
                if *add { "addReaction" } else { "removeReaction" },
                json!({"messageId": id, "emoji": emoji}),
            ),
            Op::Read { conversation, id, .. } => {
                ("markAsRead", json!({"conversationId": conversation, "messageId": id}))
            }
            Op::Typing { conversation } => {
                ("typing", json!({"conversationId": conversation, "isTyping": true}))
            }
        }
    }
}

impl Client {
    /// Decides what to do next.
    pub(super) fn act(&mut self) {
        if self.pending.len() >= AHEAD {
            return;
        }
        let op = match self.random.random_range(0..100) {
            0..50 => self.new_send(),
            50..55 => return self.send_file(),
            55..60 => return self.send_by_rest(),
            60..63 => return self.repeat(),
            63..73 => self.change_own(false),
            73..80 => self.change_own(true),
            80..86 => self.react(),
            86..94 => self.read(),
            94..97 => self.some_conversation().map(|scene| Op::Typing { conversation: scene.id }),
            _ => return self.change_members(),
        };
        self.pending.extend(op.map(Pending::new));
    }

    fn some_conversation(&mut self) -> Option<Scene> {
        let user = self.user.id;
        let own: Vec<&Scene> = self
            .cast
            .conversations
            .iter()
            .filter(|scene| scene.members.contains(&user) || scene.guests.contains(&user))
            .collect();
        own.choose(&mut self.random).map(|scene| (*scene).clone())
    }

    /// A message that nobody else writes. Some vanish by themselves.
    pub(super) fn new_send(&mut self) -> Option<Op> {
        let conversation = self.some_conversation()?.id;
        self.next_name += 1;
        let name = format!("{}-{}", self.record.name, self.next_name);
        let ttl = self.random.random_bool(0.06).then(|| self.random.random_range(1..4));
        Some(Op::Send { conversation, content: format!("this is {name}"), name, ttl, file: None })
    }

    fn send_by_rest(&mut self) {
        if let Some(op) = self.new_send() {
            self.call_send(Pending::new(op));
        }
    }

    fn change_own(&mut self, delete: bool) -> Option<Op> {
        if self.own.is_empty() {
            return None;
        }
        let at = self.random.random_range(0..self.own.len());
        let id = self.own[at];
        if delete {
            self.own.swap_remove(at);
        }
        let busy = self.pending.iter().any(|pending| match pending.op {
            Op::Edit { id: other, .. } | Op::Delete { id: other } => other == id,
            _ => false,
        });
        if busy {
            return None;
        }
        self.next_name += 1;
        let content = format!("edit {} by {}", self.next_name, self.record.name);
        Some(if delete { Op::Delete { id } } else { Op::Edit { id, content } })
    }

    fn react(&mut self) -> Option<Op> {
        let scene = self.some_conversation()?;
        let (_, id) = *self.seen.get(&scene.id)?.back()?;
        let emoji = *["👍", "🎉"].choose(&mut self.random)?;
        Some(Op::React { id, emoji, add: self.random.random_bool(0.7) })
    }

    fn read(&mut self) -> Option<Op> {
        let conversation = self.some_conversation()?.id;
        let seen = self.seen.get(&conversation)?;
        let at = self.random.random_range(0..seen.len());
        let (seq, id) = seen[at];
        Some(Op::Read { conversation, id, seq })
    }

    /// The answer to a request has come.
    pub(super) fn settle(&mut self, mut pending: Pending, result: Result<Value, Value>) {
        match result {
            Ok(data) => self.done(&pending.op, &data),
            Err(error) => {
                let code = error["code"].as_str().unwrap_or("no code").to_owned();
                if ["unavailable", "rate_limited"].contains(&code.as_str()) {
                    pending.sent = None;
                    pending.attempt += 1;
                    let pause = Duration::from_millis(self.random.random_range(RETRY_MS));
                    pending.not_before = Instant::now() + pause;
                    self.pending.push_back(pending);
                } else {
                    self.refused(&pending, &code, &error);
                }
            }
        }
    }

    pub(super) fn done(&mut self, op: &Op, data: &Value) {
        match op {
            Op::Send { conversation, name, .. } => {
                let message = &data["message"];
                let id = message["id"].as_str().and_then(|id| id.parse().ok());
                let (Some(id), Some(seq)) = (id, message["seq"].as_u64()) else {
                    self.record.complaints.push(format!("{name} was answered with {data}"));
                    return;
                };
                let (name, conversation) = (name.clone(), *conversation);
                self.record.accepted.push(Accepted { name, conversation, id, seq, at: now() });
                self.status.accepted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                self.own.push(id);
            }
            Op::Delete { id } => {
                self.record.deleted.insert(*id);
            }
            Op::Read { conversation, seq, .. } => self.record.read.push((*conversation, *seq)),
            Op::Edit { .. } | Op::React { .. } | Op::Typing { .. } => {}
        }
    }

    /// Refused for good. That must have a reason in what people have done.
    pub(super) fn refused(&mut self, pending: &Pending, code: &str, error: &Value) {
        if let Op::Send { name, .. } = &pending.op {
            self.record.unsure.insert(name.clone());
        }
        let is_guest = self.is_guest();
        let fine = match (&pending.op, code) {
            (_, "not_a_participant" | "not_found" | "forbidden") => is_guest,
            // Somebody else, or an earlier attempt, has deleted it.
            (Op::Edit { .. } | Op::React { .. }, "conflict") => true,
            _ => false,
        };
        if !fine {
            let op = &pending.op;
            let attempt = pending.attempt;
            self.record.complaints.push(format!("{op:?}, attempt {attempt}: {code}, {error}"));
        }
    }

    fn is_guest(&self) -> bool {
        self.cast.conversations.iter().any(|scene| scene.guests.contains(&self.user.id))
    }
}
