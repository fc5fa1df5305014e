//! One connection of a reader or of its partner.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::task::AbortOnDropHandle;

use super::{Settings, now};
use crate::cli::bench::engine::{Latencies, latencies};
use crate::cli::bench::verify::Objections;

/// Messages that a partner has in flight while it writes.
const IN_FLIGHT: usize = 8;
/// How long anything that is awaited may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open connection.
pub struct Line(Box<Socket>);

/// A connection that only listens, until this is dropped.
pub type Listening = AbortOnDropHandle<()>;

/// When one reader marks.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    first: Instant,
    every: Duration,
    phase: Duration,
    pub measured_from: Instant,
    until: Instant,
}

/// What one reader was told.
#[derive(Default)]
pub struct Told {
    pub latencies: Option<Latencies>,
    pub refused: BTreeMap<String, u64>,
    pub furthest: Option<usize>,
    pub objections: Objections,
}

impl Schedule {
    /// From now on; the readers take turns.
    pub fn new(settings: &Settings, first: Instant) -> Self {
        let every = Duration::from_secs_f64(f64::from(settings.readers) / settings.rate);
        let phase = Duration::from_secs_f64(1.0 / settings.rate);
        let measured_from = first + settings.warmup;
        Self { first, every, phase, measured_from, until: measured_from + settings.duration }
    }

    /// The schedule of the reader of that number.
    pub fn of(mut self, number: usize) -> Self {
        self.first += self.phase * u32::try_from(number).unwrap_or(u32::MAX);
        self
    }
}

impl Told {
    /// Takes in what another reader was told.
    pub fn add(&mut self, other: Told) {
        let sum = self.latencies.get_or_insert_with(latencies);
        if let Some(more) = other.latencies {
            // Both have the same bounds.
            let _ = sum.add(more);
        }
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        for text in other.objections.texts {
            self.objections.add(|| text);
        }
    }

    fn refuse(&mut self, code: &str, count: u64) {
        *self.refused.entry(code.to_owned()).or_default() += count;
        self.objections.add(|| format!("{count} marks were refused: {code}"));
    }
}

impl Line {
    /// Connects a user and awaits the greeting.
    pub async fn connect(authority: &str, token: &str) -> anyhow::Result<Self> {
        let mut request = format!("ws://{authority}/messaging/ws").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
        let connecting = tokio::time::timeout(PATIENCE, connect_async(request));
        let (mut socket, _) = connecting.await.context("connecting takes too long")??;
        let greeting = next(&mut socket).await?;
        if greeting["event"] != "connected" {
            bail!("{greeting} instead of a greeting");
        }
        Ok(Self(Box::new(socket)))
    }

    /// Writes so many messages and returns them in the order of the log.
    pub async fn write(&mut self, conversation: &str, count: usize) -> anyhow::Result<Vec<Value>> {
        let socket = &mut self.0;
        let mut written: Vec<Value> = Vec::with_capacity(count);
        let mut asked = 0;
        while written.len() < count {
            while asked < count && asked - written.len() < IN_FLIGHT {
                let data = json!({"conversationId": conversation, "content": "something to read"});
                send(socket, asked, "sendMessage", data).await?;
                asked += 1;
            }
            let mut frame = next(socket).await?;
            match frame["ok"].as_bool() {
                Some(true) => written.push(frame["data"]["message"].take()),
                // A paced service: what was refused is written once more.
                Some(false) if frame["error"]["code"] == "rate_limited" => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    asked -= 1;
                }
                Some(false) => bail!("a message was refused: {frame}"),
                None => {}
            }
        }
        written.sort_unstable_by_key(|message| message["seq"].as_u64());
        Ok(written)
    }

    /// The next event of that name.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn event(&mut self, name: &str) -> anyhow::Result<Value> {
        loop {
            let frame = next(&mut self.0).await?;
            if frame["event"] == name {
                return Ok(frame);
            }
        }
    }

    /// Goes on reading.
    pub fn listen(mut self) -> Listening {
        let reading = async move { while let Some(Ok(_)) = self.0.next().await {} };
        AbortOnDropHandle::new(tokio::spawn(reading))
    }

    /// Marks one message after the other on schedule, and awaits the last answer.
    pub async fn mark(mut self, conversation: &str, messages: &[Value], at: Schedule) -> Told {
        let mut told = Told { latencies: Some(latencies()), ..Told::default() };
        let ended = marking(&mut self.0, conversation, messages, at, &mut told).await;
        if let Err(cause) = ended {
            told.objections.add(|| format!("a reader was interrupted: {cause:#}"));
        }
        told
    }
}

async fn marking(
    socket: &mut Socket,
    conversation: &str,
    messages: &[Value],
    at: Schedule,
    told: &mut Told,
) -> anyhow::Result<()> {
    let mut due = at.first;
    let mut asked = 0;
    let mut pending: HashMap<usize, Instant> = HashMap::new();
    while due < at.until || !pending.is_empty() {
        // Behind the end only answers are awaited.
        let turn = if due < at.until { due } else { at.until + PATIENCE };
        tokio::select! {
            () = tokio::time::sleep_until(turn.into()) => {
                if due >= at.until {
                    told.refuse("unanswered", pending.len() as u64);
                    return Ok(());
                }
                let message = messages.get(asked).context("too few messages")?;
                let data = json!({"conversationId": conversation, "messageId": message["id"]});
                send(socket, asked, "markAsRead", data).await?;
                pending.insert(asked, due);
                asked += 1;
                due += at.every;
            }
            frame = socket.next() => {
                let Some(frame) = read(&frame.context("closed by the server")??)? else { continue };
                let number = frame["id"].as_u64().and_then(|id| usize::try_from(id).ok());
                let Some(number) = number else { continue };
                let was_due = pending.remove(&number).context("answered twice")?;
                answered(&frame, (number, messages.len()), was_due, at, told);
            }
        }
    }
    Ok(())
}

fn answered(
    frame: &Value,
    (number, messages): (usize, usize),
    was_due: Instant,
    at: Schedule,
    told: &mut Told,
) {
    if frame["ok"] != true {
        return told.refuse(frame["error"]["code"].as_str().unwrap_or("unknown"), 1);
    }
    told.furthest = told.furthest.max(Some(number));
    let unread = frame["data"]["unreadCount"].as_u64();
    // Later marks may be ahead of this one's answer.
    if unread.is_none_or(|unread| unread > (messages - number - 1) as u64) {
        told.objections.add(|| format!("{frame} for mark {number} of {messages}"));
    }
    if was_due >= at.measured_from {
        let micros = now().duration_since(was_due).as_micros() as u64;
        told.latencies.get_or_insert_with(latencies).saturating_record(micros);
    }
}

async fn send(socket: &mut Socket, id: usize, op: &str, data: Value) -> anyhow::Result<()> {
    let frame = json!({"id": id, "op": op, "data": data}).to_string();
    Ok(socket.send(Message::text(frame)).await?)
}

async fn next(socket: &mut Socket) -> anyhow::Result<Value> {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await;
        let message = message.context("nothing comes")?.context("closed by the server")??;
        if let Message::Text(text) = &message {
            return Ok(serde_json::from_str(text)?);
        }
        read(&message)?;
    }
}

/// A reply; events are left aside unread.
fn read(message: &Message) -> anyhow::Result<Option<Value>> {
    match message {
        Message::Text(text) if text.starts_with("{\"id\":") => {
            Ok(Some(serde_json::from_str(text)?))
        }
        Message::Close(frame) => bail!("closed by the server: {frame:?}"),
        _ => Ok(None),
    }
}
