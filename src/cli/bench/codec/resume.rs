//! Coming back: what a client keeps of its connection, and how it shows it to the next one.

use memchr::{memchr, memmem, memrchr};

use super::Protocol;

/// What a connection was welcomed with.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Native: the service says that what was missed will follow.
    pub recovered: bool,
    /// Native: the place from which events flow.
    pub cursor: Option<String>,
    /// Socket.IO: the client's name for the next time. It is the one that was shown if the session goes on.
    pub pid: Option<String>,
}

/// What a client shows to go on where it was.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Of the last event. Empty before the first one over Socket.IO.
    pub cursor: String,
    pub pid: Option<String>,
}

impl Ticket {
    /// Takes what a first connection was welcomed with.
    pub fn begin(welcome: &Welcome) -> Self {
        Self { cursor: welcome.cursor.clone().unwrap_or_default(), pid: welcome.pid.clone() }
    }

    /// Notes the cursor of an event.
    pub fn keep(&mut self, protocol: Protocol, text: &[u8]) {
        if let Some(cursor) = cursor(protocol, text) {
            self.cursor.clear();
            // Cursors are ASCII; anything else would be noticed when it is shown.
            self.cursor.extend(cursor.iter().map(|byte| char::from(*byte)));
        }
    }

    /// Does the welcome of a connection that showed this ticket mean that nothing is lost?
    pub fn is_honoured(&self, protocol: Protocol, welcome: &Welcome) -> bool {
        match protocol {
            Protocol::Native => welcome.recovered,
            Protocol::Socketio => self.pid.is_some() && welcome.pid == self.pid,
        }
    }
}

/// The cursor of an event, where it has one.
fn cursor(protocol: Protocol, text: &[u8]) -> Option<&[u8]> {
    /// The longest name of an event with its braces and quotes, and the mark itself.
    const HEAD: usize = 64;
    const MARK: &[u8] = b"\",\"cursor\":\"";
    match protocol {
        Protocol::Native => {
            let at = memmem::find(&text[..text.len().min(HEAD)], MARK)? + MARK.len();
            let rest = &text[at..];
            Some(&rest[..memchr(b'"', rest)?])
        }
        Protocol::Socketio => {
            let rest = text.strip_prefix(b"42/messaging,")?.strip_suffix(b"\"]")?;
            let at = memrchr(b'"', rest)?;
            rest[..at].ends_with(b"},").then(|| &rest[at + 1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_of_the_last_event_is_kept() {
        let native = r#"{"event":"newMessage","cursor":"k.7","data":{"content":"x"}}"#;
        let socketio = r#"42/messaging,["newMessage",{"content":"x"},"k.7"]"#;
        for (protocol, text) in [(Protocol::Native, native), (Protocol::Socketio, socketio)] {
            let mut ticket = Ticket::default();
            ticket.keep(protocol, text.as_bytes());
            assert_eq!(ticket.cursor, "k.7");
        }
        let without = [
            (Protocol::Native, r#"{"event":"userTyping","data":{}}"#),
            (Protocol::Socketio, r#"42/messaging,["userTyping",{}]"#),
            (Protocol::Socketio, r#"43/messaging,7[{"success":true,"x":"y"}]"#),
        ];
        for (protocol, text) in without {
            assert_eq!(cursor(protocol, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_ticket_is_honoured_by_the_words_of_its_protocol() {
        let ticket = Ticket { cursor: "k.7".into(), pid: Some("p".into()) };
        let mut welcome = Welcome { pid: Some("p".into()), ..Welcome::default() };
        assert!(ticket.is_honoured(Protocol::Socketio, &welcome));
        assert!(!ticket.is_honoured(Protocol::Native, &welcome));
        welcome = Welcome { recovered: true, pid: Some("q".into()), ..Welcome::default() };
        assert!(ticket.is_honoured(Protocol::Native, &welcome));
        assert!(!ticket.is_honoured(Protocol::Socketio, &welcome));
    }
}
