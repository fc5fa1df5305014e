//! Events as frames: built once for each protocol, shared by all receivers.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;

use crate::domain::ids::Seq;
use crate::telemetry::metrics::Protocol;
use crate::wire::event::{EventKind, itoa};

use super::event::Origin;
use super::queue::{Content, Frame};

/// The Socket.IO name space of the service, with the comma that ends it in a packet.
pub const NAMESPACE: &str = "/messaging,";

/// What a frame is made of.
pub struct Event<'a> {
    pub name: &'a str,
    /// Epoch and place, for what can be replayed.
    pub cursor: Option<(&'a str, Seq)>,
    pub data: &'a [u8],
    /// For an event of the log.
    pub origin: Option<Origin>,
}

impl<'a> Event<'a> {
    /// Something that is not in the log.
    pub fn passing(name: &'a str, data: &'a [u8]) -> Self {
        Self { name, cursor: None, data, origin: None }
    }

    /// An event of the log, in the epoch of that name.
    pub fn logged(epoch: &'a str, origin: Origin, data: &'a [u8]) -> Self {
        let cursor = Some((epoch, origin.seq));
        Self { name: origin.kind.as_str(), cursor, data, origin: Some(origin) }
    }

    /// The frame for a protocol.
    pub fn frame(&self, protocol: Protocol) -> Frame {
        match protocol {
            Protocol::Native => native(self),
            Protocol::SocketIo => socketio(self),
        }
    }
}

/// The frame of an event, made when the first receiver of a protocol needs it.
#[derive(Default)]
pub struct Shared {
    native: Option<Frame>,
    socketio: Option<Frame>,
}

impl Shared {
    /// The frame for a protocol.
    pub fn of(&mut self, protocol: Protocol, event: &Event<'_>) -> Frame {
        let made = match protocol {
            Protocol::Native => &mut self.native,
            Protocol::SocketIo => &mut self.socketio,
        };
        made.get_or_insert_with(|| event.frame(protocol)).clone()
    }
}

/// `{"event":…,"cursor":…,"data":…}`; the keys stand in this order.
fn native(event: &Event<'_>) -> Frame {
    let mut out = BytesMut::with_capacity(event.data.len() + 96);
    out.put_slice(b"{\"event\":\"");
    out.put_slice(event.name.as_bytes());
    out.put_slice(b"\"");
    if let Some(cursor) = event.cursor {
        out.put_slice(b",\"cursor\":");
        put_cursor(&mut out, cursor);
    }
    out.put_slice(b",\"data\":");
    out.put_slice(event.data);
    out.put_u8(b'}');
    Arc::new(Content { text: text(out.freeze()), companion: None, origin: event.origin })
}

fn socketio(event: &Event<'_>) -> Frame {
    let new = event.origin.filter(|origin| origin.kind == EventKind::NewMessage);
    Arc::new(Content {
        text: socketio_packet(event.name, event.data, event.cursor),
        companion: new.map(|origin| list_update(&origin, event.data)),
        origin: event.origin,
    })
}

/// What the Socket.IO app's list view gets behind each new message. Without a cursor: it says nothing that the message
/// before it does not say.
fn list_update(origin: &Origin, message: &[u8]) -> Utf8Bytes {
    let updated_at = Timestamp::from_nanosecond(i128::from(origin.stored_at));
    let data = format!(
        "{{\"conversationId\":\"{}\",\"lastMessage\":{},\"updatedAt\":\"{}\"}}",
        origin.conversation,
        String::from_utf8_lossy(message),
        updated_at.map(crate::wire::time::format).unwrap_or_default()
    );
    socketio_packet(EventKind::ConversationUpdated.as_str(), data.as_bytes(), None)
}

/// `42/messaging,["name",{…},"<cursor>"]` (Socket.IO protocol 5, EVENT in an Engine.IO message).
pub fn socketio_packet(name: &str, data: &[u8], cursor: Option<(&str, Seq)>) -> Utf8Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 96);
    out.put_slice(b"42");
    out.put_slice(NAMESPACE.as_bytes());
    out.put_slice(b"[\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\",");
    out.put_slice(data);
    if let Some(cursor) = cursor {
        out.put_u8(b',');
        put_cursor(&mut out, cursor);
    }
    out.put_u8(b']');
    text(out.freeze())
}

fn put_cursor(out: &mut BytesMut, (epoch, seq): (&str, Seq)) {
    out.put_u8(b'"');
    out.put_slice(epoch.as_bytes());
    out.put_u8(b'.');
    out.put_slice(itoa(seq, &mut [0; 20]));
    out.put_u8(b'"');
}

/// Everything that enters a frame was checked to be text; should the log hold something else all the same,
/// what cannot be read is replaced rather than breaking the connection.
pub fn text(bytes: Bytes) -> Utf8Bytes {
    Utf8Bytes::try_from(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn event() -> Event<'static> {
        let (conversation, kind) = (Uuid::nil(), EventKind::NewMessage);
        let origin = Origin { seq: 7, conversation, kind, sender: None, stored_at: 0 };
        Event::logged("k3v", origin, br#"{"seq":7}"#)
    }

    #[test]
    fn a_native_frame_has_its_keys_in_order() {
        assert_eq!(
            native(&event()).text.as_str(),
            r#"{"event":"newMessage","cursor":"k3v.7","data":{"seq":7}}"#
        );
    }

    #[test]
    fn a_new_message_over_socketio_is_followed_by_the_list_update() {
        let frame = Shared::default().of(Protocol::SocketIo, &event());
        assert_eq!(frame.text.as_str(), r#"42/messaging,["newMessage",{"seq":7},"k3v.7"]"#);
        assert_eq!(
            frame.companion.as_ref().expect("a list update").as_str(),
            concat!(
                r#"42/messaging,["conversationUpdated",{"conversationId":"#,
                r#""00000000-0000-0000-0000-000000000000","lastMessage":{"seq":7},"#,
                r#""updatedAt":"1970-01-01T00:00:00.000Z"}]"#
            )
        );
    }
}
