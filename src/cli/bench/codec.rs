//! What the load generator says and understands in either protocol.
//!
//! Requests are one prebuilt frame in which only fields of fixed width change. What arrives is scanned at
//! the places where the service writes it; whatever does not fit is parsed properly, so a different
//! order of keys costs time and nothing else.

use std::ops::Range;

use clap::ValueEnum;
use memchr::memchr;
use serde_json::Value;

use super::frame;
pub use resume::{Ticket, Welcome};
pub use stamp::{MIN_CONTENT_BYTES, STAMP_BYTES, Stamp};

mod resume;
mod stamp;
mod talk;

/// A UUID in its text form.
pub type Id = [u8; 36];

/// Request numbers begin here, so that they always have ten digits.
const FIRST_REQUEST: u32 = 1_000_000_000;

/// How the clients talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// The service's own JSON frames at `/messaging/ws`.
    Native,
    /// Socket.IO 5 over Engine.IO 4, namespace `/messaging`.
    Socketio,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Socketio => "socketio",
        }
    }

    /// The upgrade request of a user, who shows the ticket of an earlier connection if there was one.
    pub fn upgrade(self, host: &str, token: &str, ticket: Option<&Ticket>) -> String {
        let (path, bearer) = match (self, ticket) {
            (Self::Native, Some(ticket)) => {
                (format!("/messaging/ws?cursor={}", ticket.cursor), Some(token))
            }
            (Self::Native, None) => ("/messaging/ws".to_owned(), Some(token)),
            (Self::Socketio, _) => ("/socket.io/?EIO=4&transport=websocket".to_owned(), None),
        };
        let bearer = bearer.map(|token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bWVzc2FnaW5nIGJlbmNoIQ==\r\n\
             {}\r\n",
            bearer.unwrap_or_default()
        )
    }

    /// Socket.IO: the text that asks to enter, once the transport is open.
    pub fn introduction(self, token: &str, ticket: Option<&Ticket>) -> String {
        let shown = match ticket {
            Some(Ticket { cursor, pid: Some(pid) }) if !cursor.is_empty() => {
                format!(r#""pid":"{pid}","offset":"{cursor}","#)
            }
            _ => String::new(),
        };
        format!(r#"40/messaging,{{{shown}"token":"{token}"}}"#)
    }
}

fn hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// The frame of a `sendMessage`, ready but for the fields that change.
#[derive(Debug)]
pub struct Request {
    frame: Vec<u8>,
    request: Range<usize>,
    conversation: Range<usize>,
    stamp: Range<usize>,
    words: Range<usize>,
    client_id: Range<usize>,
}

impl Request {
    /// `content_bytes` below [`MIN_CONTENT_BYTES`] count as that many.
    pub fn new(protocol: Protocol, content_bytes: usize) -> Self {
        let padding = content_bytes.saturating_sub(STAMP_BYTES);
        let (number, content) = ("#".repeat(10), "%".repeat(STAMP_BYTES) + &"~".repeat(padding));
        let (conversation, client) = ("&".repeat(36), "@".repeat(36));
        let data = format!(
            r#"{{"conversationId":"{conversation}","content":"{content}","clientMessageId":"{client}"}}"#
        );
        let text = match protocol {
            Protocol::Native => format!(r#"{{"id":{number},"op":"sendMessage","data":{data}}}"#),
            Protocol::Socketio => format!(r#"42/messaging,{number}["sendMessage",{data}]"#),
        };
        let frame = frame::text(text.as_bytes());
        // The header holds bytes of its own, so the search begins behind it.
        let start = frame.len() - text.len();
        let find = |mark: u8, length: usize| {
            let at = start + memchr(mark, &frame[start..]).expect("every field is in the text");
            at..at + length
        };
        let (request, conversation) = (find(b'#', 10), find(b'&', 36));
        let (stamp, client_id) = (find(b'%', STAMP_BYTES), find(b'@', 36));
        let words = stamp.end..stamp.end + padding;
        Self { frame, request, conversation, stamp, words, client_id }
    }

    /// The frame for the message that `stamp` describes.
    pub fn fill(&mut self, conversation: &Id, stamp: Stamp) -> &[u8] {
        let mut number = FIRST_REQUEST + stamp.number;
        for digit in self.frame[self.request.clone()].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.frame[self.conversation.clone()].copy_from_slice(conversation);
        stamp.write(&mut self.frame[self.stamp.clone()]);
        talk::say(stamp, &mut self.frame[self.words.clone()]);
        // A well-formed UUID, unique for sender and number.
        let out = &mut self.frame[self.client_id.clone()];
        out.copy_from_slice(b"00000000-0000-4000-8000-000000000000");
        hex(stamp.sender.into(), &mut out[..8]);
        hex(stamp.number.into(), &mut out[24..]);
        &self.frame
    }
}

/// The three fields by which a message is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub id: Id,
    pub conversation: Id,
}

/// What a text frame means to the load generator.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A `newMessage`. Its stamp, if wanted, is found in the frame.
    Message(Head),
    /// The message with this number was accepted.
    Accepted(u32, Head),
    /// The message with this number was refused with this code.
    Refused(u32, String),
    /// The transport is open and waits for the token.
    Open,
    /// The connection is authenticated.
    Ready(Welcome),
    /// What was missed has all been sent.
    CaughtUp,
    /// Something that was missed will not be sent: the event that says so.
    Missed(String),
    /// The connection was refused.
    Rejected(String),
    /// The Engine.IO heartbeat, to be answered with `3`.
    Beat,
    /// Any other event.
    Other,
}

/// Reads one text frame; `Err` quotes what could not be understood.
pub fn read(protocol: Protocol, text: &[u8]) -> Result<Incoming, String> {
    let scanned = match protocol {
        Protocol::Native => scan_native(text),
        Protocol::Socketio => scan_socketio(text),
    };
    let parsed = scanned.or_else(|| match protocol {
        Protocol::Native => parse_native(text),
        Protocol::Socketio => parse_socketio(text),
    });
    parsed.ok_or_else(|| {
        let quote: String = String::from_utf8_lossy(text).chars().take(200).collect();
        format!("a frame that makes no sense here: {quote}")
    })
}

/// Does the name of an event, with what follows, call for a closer look?
fn is_of_interest(event: &[u8]) -> bool {
    let names: [&[u8]; 5] =
        [b"newMessage\"", b"connected\"", b"caughtUp\"", b"limited\"", b"reset\""];
    names.iter().any(|name| event.starts_with(name))
}

/// What an event is, whose name is not that of a message.
fn other_event(name: &str) -> Incoming {
    match name {
        "caughtUp" => Incoming::CaughtUp,
        "limited" | "reset" => Incoming::Missed(name.to_owned()),
        _ => Incoming::Other,
    }
}

fn scan_native(text: &[u8]) -> Option<Incoming> {
    if let Some(rest) = text.strip_prefix(b"{\"event\":\"") {
        let Some(rest) = rest.strip_prefix(b"newMessage\",\"cursor\":\"") else {
            return (!is_of_interest(rest)).then_some(Incoming::Other);
        };
        let rest = rest.get(memchr(b'"', rest)?..)?;
        return head(rest.strip_prefix(b"\",\"data\":{")?).map(Incoming::Message);
    }
    let (request, rest) = number(text.strip_prefix(b"{\"id\":")?)?;
    let head = head(rest.strip_prefix(b",\"ok\":true,\"data\":{\"message\":{")?)?;
    Some(Incoming::Accepted(message_number(request)?, head))
}

fn scan_socketio(text: &[u8]) -> Option<Incoming> {
    if let Some(rest) = text.strip_prefix(b"42/messaging,[\"") {
        let Some(rest) = rest.strip_prefix(b"newMessage\",{") else {
            return (!is_of_interest(rest)).then_some(Incoming::Other);
        };
        return head(rest).map(Incoming::Message);
    }
    if let Some(rest) = text.strip_prefix(b"43/messaging,") {
        let (request, rest) = number(rest)?;
        let head = head(rest.strip_prefix(b"[{\"success\":true,\"message\":{")?)?;
        return Some(Incoming::Accepted(message_number(request)?, head));
    }
    (text == b"2").then_some(Incoming::Beat)
}

/// The head of a message whose first three keys are `seq`, `id` and `conversationId` in any order.
fn head(mut text: &[u8]) -> Option<Head> {
    let (mut seq, mut id, mut conversation) = (None, None, None);
    for _ in 0..3 {
        if let Some(rest) = text.strip_prefix(b"\"seq\":") {
            let (value, rest) = number(rest)?;
            (seq, text) = (Some(value), rest);
        } else if let Some(rest) = text.strip_prefix(b"\"id\":\"") {
            let (value, rest) = rest.split_first_chunk::<36>()?;
            (id, text) = (Some(*value), rest.strip_prefix(b"\"")?);
        } else {
            let (value, rest) = text.strip_prefix(b"\"conversationId\":\"")?.split_first_chunk()?;
            (conversation, text) = (Some(*value), rest.strip_prefix(b"\"")?);
        }
        text = text.strip_prefix(b",").unwrap_or(text);
    }
    Some(Head { seq: seq?, id: id?, conversation: conversation? })
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().position(|b| !b.is_ascii_digit())?;
    // 19 digits cannot overflow.
    (1..=19).contains(&digits).then_some(())?;
    let value = text[..digits].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some((value, &text[digits..]))
}

fn message_number(request: u64) -> Option<u32> {
    u32::try_from(request).ok()?.checked_sub(FIRST_REQUEST)
}

fn parse_native(text: &[u8]) -> Option<Incoming> {
    let value: Value = serde_json::from_slice(text).ok()?;
    if let Some(event) = value.get("event") {
        return match event.as_str()? {
            "newMessage" => value_head(value.get("data")?).map(Incoming::Message),
            "connected" => {
                let data = value.get("data")?;
                let text = |key| data.get(key)?.as_str().map(str::to_owned);
                let recovered = data.get("recovered").and_then(Value::as_bool).unwrap_or(false);
                Some(Incoming::Ready(Welcome { recovered, cursor: text("cursor"), pid: None }))
            }
            other => Some(other_event(other)),
        };
    }
    let request = value.get("id")?.as_u64()?;
    if value.get("ok")?.as_bool()? {
        let head = value_head(value.get("data")?.get("message")?)?;
        return Some(Incoming::Accepted(message_number(request)?, head));
    }
    let code = value.get("error")?.get("code")?.as_str()?.to_owned();
    Some(match message_number(request) {
        Some(number) => Incoming::Refused(number, code),
        None => Incoming::Rejected(code),
    })
}

fn parse_socketio(text: &[u8]) -> Option<Incoming> {
    if text.first() == Some(&b'0') {
        return Some(Incoming::Open);
    }
    let (kind, rest) = (text.get(..2)?, text.get(2..)?);
    let rest = rest.strip_prefix(b"/messaging")?;
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    match kind {
        b"40" => {
            let value: Value = serde_json::from_slice(rest).ok()?;
            let pid = value.get("pid").and_then(Value::as_str).map(str::to_owned);
            Some(Incoming::Ready(Welcome { pid, ..Welcome::default() }))
        }
        b"41" => Some(Incoming::Rejected("disconnected by the server".into())),
        b"44" => Some(Incoming::Rejected(String::from_utf8_lossy(rest).into_owned())),
        b"42" => {
            let value: Value = serde_json::from_slice(rest).ok()?;
            match value.get(0)?.as_str()? {
                "newMessage" => value_head(value.get(1)?).map(Incoming::Message),
                other => Some(other_event(other)),
            }
        }
        b"43" => {
            let (request, rest) = number(rest)?;
            let value: Value = serde_json::from_slice(rest).ok()?;
            let (request, answer) = (message_number(request)?, value.get(0)?);
            if answer.get("success")?.as_bool()? {
                return Some(Incoming::Accepted(request, value_head(answer.get("message")?)?));
            }
            Some(Incoming::Refused(request, answer.get("code")?.as_str()?.to_owned()))
        }
        _ => None,
    }
}

fn value_head(message: &Value) -> Option<Head> {
    let id = |key| message.get(key)?.as_str()?.as_bytes().try_into().ok();
    Some(Head {
        seq: message.get("seq")?.as_u64()?,
        id: id("id")?,
        conversation: id("conversationId")?,
    })
}

#[cfg(test)]
mod tests;
