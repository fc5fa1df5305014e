//! What clients do by REST, beside their connection.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ops::{Op, Pending};
use super::{Client, Need};
use crate::faults::record::{Accepted, Allowed, At, Message, What, now};

/// The longest that a client waits for an answer: a publish is tried for 10 s.
const PATIENCE: Duration = Duration::from_secs(14);
/// Calls beside each other.
pub const MAX_CALLS: usize = 3;

/// Calls of one user.
#[derive(Clone)]
pub struct Http(reqwest::Client);

/// An answer: the status and the body.
pub type Answer = (u16, Value);

/// What a call was for, and what came of it.
pub enum Called {
    Sent(Pending, Option<Answer>),
    Repeated(Accepted, Option<Answer>),
    Loaded(Need, At, Option<Vec<(Uuid, Vec<Message>)>>),
    Members(Option<Answer>),
    Uploaded(Op, Option<Answer>),
}

impl Http {
    pub fn new() -> Self {
        // A connection for each call: a broken one is not met twice.
        let client = reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0);
        Self(client.build().expect("a client"))
    }

    /// `None` when there is no answer.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let mut request = self.0.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.ok()?))
    }

    /// The same with a body that is not JSON.
    pub async fn upload(
        &self,
        url: &str,
        token: &str,
        kind: String,
        body: Vec<u8>,
    ) -> Option<Answer> {
        let request = self.0.post(url).bearer_auth(token).header("content-type", kind).body(body);
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.ok()?))
    }

    async fn get(&self, url: &str, token: &str) -> Option<Answer> {
        self.call(Method::GET, url, token, None).await
    }

    /// Everything that the user may see.
    async fn everything(&self, edge: &str, token: &str) -> Option<Vec<(Uuid, Vec<Message>)>> {
        let url = format!("{edge}/messaging/conversations?limit=100");
        let (200, list) = self.get(&url, token).await? else { return None };
        let mut all = Vec::new();
        for conversation in list["conversations"].as_array()? {
            let id: Uuid = conversation["id"].as_str()?.parse().ok()?;
            match self.history(edge, token, id, 0, u64::MAX).await? {
                Some(messages) => all.push((id, messages)),
                // The user was removed between the two calls.
                None => continue,
            }
        }
        Some(all)
    }

    /// The history between two places, oldest first. The inner `None`: it is not the user's.
    pub async fn history(
        &self,
        edge: &str,
        token: &str,
        conversation: Uuid,
        mut after: u64,
        before: u64,
    ) -> Option<Option<Vec<Message>>> {
        let mut found: Vec<Message> = Vec::new();
        loop {
            let url = format!(
                "{edge}/messaging/conversations/{conversation}/messages?limit=100&after={after}"
            );
            let page = match self.get(&url, token).await? {
                (200, page) => page,
                (403, _) => return Some(None),
                _ => return None,
            };
            for message in page["messages"].as_array()? {
                found.push(Message::read(message)?);
            }
            after = found.last().map_or(after, |message| message.seq);
            if page["hasMore"] == false || after >= before {
                return Some(Some(found));
            }
        }
    }
}

impl Client {
    pub(super) fn call_send(&mut self, pending: Pending) {
        if self.calls.len() >= MAX_CALLS {
            return;
        }
        let (_, body) = pending.request();
        let url = format!("{}/messaging/messages", self.any_edge());
        let (http, token) = (self.http.clone(), self.user.token.clone());
        self.calls.spawn(async move {
            let answer = http.call(Method::POST, &url, &token, Some(&body)).await;
            Called::Sent(pending, answer)
        });
    }

    /// Sends again what was acknowledged, as an app does that has lost its memory of that.
    pub(super) fn repeat(&mut self) {
        let Some(accepted) = self.record.accepted.choose(&mut self.random).cloned() else { return };
        if self.calls.len() >= MAX_CALLS {
            return;
        }
        let body = json!({"conversationId": accepted.conversation, "content": "again",
            "clientMessageId": accepted.name, "attempt": 2});
        let url = format!("{}/messaging/messages", self.any_edge());
        let (http, token) = (self.http.clone(), self.user.token.clone());
        self.calls.spawn(async move {
            let answer = http.call(Method::POST, &url, &token, Some(&body)).await;
            Called::Repeated(accepted, answer)
        });
    }

    /// The admin of a group lets a guest in or shows one out.
    pub(super) fn change_members(&mut self) {
        let user = self.user.id;
        let led = self.cast.conversations.iter().filter(|scene| scene.members[0] == user);
        let groups: Vec<_> = led.filter(|scene| !scene.guests.is_empty()).cloned().collect();
        let Some(group) = groups.choose(&mut self.random) else { return };
        let Some(guest) = group.guests.choose(&mut self.random) else { return };
        if self.calls.len() >= MAX_CALLS {
            return;
        }
        let base = format!(
            "{}/messaging/conversations/{}/participants",
            self.cast.edges[self.random.random_range(0..self.cast.edges.len())],
            group.id
        );
        let (method, url, body) = if self.random.random_bool(0.5) {
            (Method::POST, base, Some(json!({"userIds": [guest]})))
        } else {
            (Method::DELETE, format!("{base}/{guest}"), None)
        };
        let (http, token) = (self.http.clone(), self.user.token.clone());
        self.calls.spawn(async move {
            Called::Members(http.call(method, &url, &token, body.as_ref()).await)
        });
    }

    /// Begins to load what is needed next.
    pub(super) fn load(&mut self) {
        if self.loading {
            return;
        }
        let Some(need) = self.needs.front().copied() else { return };
        self.loading = true;
        let (http, edge, token) = (self.http.clone(), self.any_edge(), self.user.token.clone());
        let since = now();
        self.calls.spawn(async move {
            let found = match need {
                Need::Everything { .. } => http.everything(&edge, &token).await,
                Need::Gap { conversation, after, before } => http
                    .history(&edge, &token, conversation, after, before)
                    .await
                    .map(|found| vec![(conversation, found.unwrap_or_default())]),
            };
            Called::Loaded(need, since, found)
        });
    }

    /// A call has come to an end.
    pub(super) fn called(&mut self, called: Called) {
        match called {
            Called::Sent(mut pending, answer) => match answer {
                Some((200 | 201, message)) => self.done(&pending.op, &json!({"message": message})),
                Some((status, body)) if status != 503 => {
                    let code = body["code"].as_str().unwrap_or_default().to_owned();
                    self.refused(&pending, &code, &body);
                }
                _ => {
                    // From now on over the connection.
                    pending.attempt += 1;
                    self.pending.push_back(pending);
                }
            },
            Called::Repeated(accepted, answer) => self.repeated(&accepted, answer),
            Called::Loaded(need, since, found) => {
                self.loading = false;
                if let Some(found) = found {
                    self.needs.pop_front();
                    self.loaded(need, since, found);
                }
            }
            Called::Uploaded(op, answer) => self.uploaded(op, answer),
            Called::Members(answer) => {
                let known = |status: u16| [200, 403, 404, 409, 503].contains(&status);
                if let Some((status, body)) = answer.filter(|(status, _)| !known(*status)) {
                    self.record.complaints.push(format!("a change of members: {status}, {body}"));
                }
            }
        }
    }

    fn repeated(&mut self, accepted: &Accepted, answer: Option<Answer>) {
        let Some((status, message)) = answer else { return };
        match status {
            200 | 201 => {
                let op = Op::Send {
                    conversation: accepted.conversation,
                    name: accepted.name.clone(),
                    content: String::new(),
                    ttl: None,
                    file: None,
                };
                self.done(&op, &json!({"message": message}));
                // It was known before.
                self.own.pop();
            }
            503 | 403 => {}
            _ => {
                let name = &accepted.name;
                self.record.complaints.push(format!("{name} sent again: {status}, {message}"));
            }
        }
    }

    fn loaded(&mut self, need: Need, since: At, found: Vec<(Uuid, Vec<Message>)>) {
        let allowed = match need {
            Need::Everything { until } => Allowed::Until(until),
            Need::Gap { after, before, .. } => Allowed::Between { after, before },
        };
        for (conversation, messages) in found {
            if let Some(last) = messages.last() {
                self.sees(conversation, last.seq, last.id);
            }
            self.record.note(What::Fetched { conversation, since, allowed, messages });
        }
    }
}
