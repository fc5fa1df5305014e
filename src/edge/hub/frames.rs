//! Events as frames: built once for each protocol, shared by all receivers.

use axum::extract::ws::Utf8Bytes;
use bytes::{BufMut, Bytes, BytesMut};

use crate::domain::ids::{ConversationId, Seq};
use crate::telemetry::metrics::Protocol;
use crate::wire::event::{EventKind, itoa};

use super::queue::Frame;

/// The Socket.IO name space of the service, with the comma that ends it in a packet.
pub const NAMESPACE: &str = "/messaging,";

/// What a frame is made of.
pub struct Event<'a> {
    pub name: &'a str,
    /// Epoch and place, for what can be replayed.
    pub cursor: Option<(&'a str, Seq)>,
    pub data: &'a [u8],
    pub stored_at: i64,
}

/// The frame of an event, made when the first receiver of a protocol needs it.
#[derive(Default)]
pub struct Shared {
    native: Option<Frame>,
    socketio: Option<Frame>,
}

impl Shared {
    /// The frame for a protocol.
    pub fn of(&mut self, protocol: Protocol, event: &Event<'_>, update: &ListUpdate<'_>) -> Frame {
        match protocol {
            Protocol::Native => self.native.get_or_insert_with(|| native(event)).clone(),
            Protocol::SocketIo => {
                self.socketio.get_or_insert_with(|| socketio(event, update)).clone()
            }
        }
    }
}

/// What the Socket.IO app's list view gets behind each new message.
pub struct ListUpdate<'a> {
    pub kind: Option<EventKind>,
    pub conversation: ConversationId,
    /// RFC 3339.
    pub updated_at: &'a str,
}

/// `{"event":…,"cursor":…,"data":…}`; the keys stand in this order.
pub fn native(event: &Event<'_>) -> Frame {
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
    Frame { text: text(out.freeze()), companion: None, stored_at: event.stored_at }
}

fn socketio(event: &Event<'_>, update: &ListUpdate<'_>) -> Frame {
    let companion = (update.kind == Some(EventKind::NewMessage)).then(|| {
        let data = format!(
            "{{\"conversationId\":\"{}\",\"lastMessage\":{},\"updatedAt\":\"{}\"}}",
            update.conversation,
            String::from_utf8_lossy(event.data),
            update.updated_at
        );
        let name = EventKind::ConversationUpdated.as_str();
        // Without a cursor: it says nothing that the message before it does not say.
        socketio_packet(name, data.as_bytes(), None)
    });
    Frame {
        text: socketio_packet(event.name, event.data, event.cursor),
        companion,
        stored_at: event.stored_at,
    }
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
        Event { name: "newMessage", cursor: Some(("k3v", 7)), data: br#"{"seq":7}"#, stored_at: 1 }
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
        let update = ListUpdate {
            kind: Some(EventKind::NewMessage),
            conversation: Uuid::nil(),
            updated_at: "2026-11-22T09:00:00.000Z",
        };
        let frame = Shared::default().of(Protocol::SocketIo, &event(), &update);
        assert_eq!(frame.text.as_str(), r#"42/messaging,["newMessage",{"seq":7},"k3v.7"]"#);
        assert_eq!(
            frame.companion.expect("a list update").as_str(),
            concat!(
                r#"42/messaging,["conversationUpdated",{"conversationId":"#,
                r#""00000000-0000-0000-0000-000000000000","lastMessage":{"seq":7},"#,
                r#""updatedAt":"2026-11-22T09:00:00.000Z"}]"#
            )
        );
    }
}
