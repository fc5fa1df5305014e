//! The one reply that every request gets.

use bytes::{BufMut, BytesMut};

use crate::edge::hub::frames::{NAMESPACE, text};
use crate::edge::hub::queue::{Content, Frame};
use crate::wire::error::ApiError;

/// Where the reply to a request goes.
#[derive(Debug, Clone)]
pub enum ReplyTo {
    /// The request's `id`, as it was written.
    Native(Box<str>),
    /// The acknowledgement's number; without one the client does not want to know.
    SocketIo(Option<u64>),
}

impl ReplyTo {
    /// Success. `data` is a JSON object.
    pub fn ok(&self, data: &[u8]) -> Option<Frame> {
        let mut out = BytesMut::with_capacity(data.len() + 64);
        match self {
            Self::Native(id) => {
                put_native(&mut out, id, "true,\"data\":");
                out.put_slice(data);
                out.put_u8(b'}');
            }
            Self::SocketIo(id) => {
                put_socketio(&mut out, (*id)?);
                out.put_slice(b"{\"success\":true");
                let fields = data.get(1..).unwrap_or(b"}");
                if fields.first() != Some(&b'}') {
                    out.put_u8(b',');
                }
                out.put_slice(fields);
                out.put_u8(b']');
            }
        }
        Some(Content::plain(text(out.freeze())))
    }

    /// Refusal.
    pub fn error(&self, error: &ApiError) -> Option<Frame> {
        let mut out = BytesMut::with_capacity(256);
        match self {
            Self::Native(id) => {
                put_native(&mut out, id, "false,\"error\":");
                out.put_slice(&serde_json::to_vec(&error.frame()).unwrap_or_default());
                out.put_u8(b'}');
            }
            Self::SocketIo(id) => {
                put_socketio(&mut out, (*id)?);
                let failure = Failure {
                    success: false,
                    error: &error.detail,
                    code: error.code.as_str(),
                    errors: &error.errors,
                };
                out.put_slice(&serde_json::to_vec(&failure).unwrap_or_default());
                out.put_u8(b']');
            }
        }
        Some(Content::plain(text(out.freeze())))
    }
}

#[derive(serde::Serialize)]
struct Failure<'a> {
    success: bool,
    error: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [crate::wire::error::FieldError],
}

fn put_native(out: &mut BytesMut, id: &str, rest: &str) {
    out.put_slice(b"{\"id\":");
    out.put_slice(id.as_bytes());
    out.put_slice(b",\"ok\":");
    out.put_slice(rest.as_bytes());
}

/// `43/messaging,<id>[` (Socket.IO protocol 5, ACK).
fn put_socketio(out: &mut BytesMut, id: u64) {
    out.put_slice(b"43");
    out.put_slice(NAMESPACE.as_bytes());
    out.put_slice(crate::wire::event::itoa(id, &mut [0; 20]));
    out.put_u8(b'[');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(frame: Option<Frame>) -> String {
        frame.expect("a frame").text.as_str().to_owned()
    }

    #[test]
    fn native_replies_carry_the_id_first() {
        let to = ReplyTo::Native("7".into());
        assert_eq!(shown(to.ok(b"{}")), r#"{"id":7,"ok":true,"data":{}}"#);
        let error = ApiError::field("content", "must not be blank");
        assert_eq!(
            shown(to.error(&error)),
            concat!(
                r#"{"id":7,"ok":false,"error":{"code":"invalid","message":"content must not be blank","#,
                r#""errors":[{"field":"content","message":"must not be blank"}]}}"#
            )
        );
    }

    #[test]
    fn socketio_acknowledgements_say_whether_it_worked() {
        let to = ReplyTo::SocketIo(Some(3));
        assert_eq!(shown(to.ok(b"{}")), r#"43/messaging,3[{"success":true}]"#);
        assert_eq!(
            shown(to.ok(br#"{"unreadCount":0}"#)),
            r#"43/messaging,3[{"success":true,"unreadCount":0}]"#
        );
        let refused = shown(to.error(&ApiError::not_a_participant()));
        assert!(refused.starts_with(r#"43/messaging,3[{"success":false,"error":""#), "{refused}");
        assert!(refused.contains(r#""code":"not_a_participant""#));
        assert!(ReplyTo::SocketIo(None).ok(b"{}").is_none());
    }
}
