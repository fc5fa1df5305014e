//! What somebody who comes back is told, as frames.

use crate::domain::ids::Seq;
use crate::edge::hub::Hub;
use crate::edge::hub::event::Event as LogEvent;
use crate::edge::hub::frames::Event;
use crate::edge::hub::queue::Frame;
use crate::telemetry::metrics::Protocol;
use crate::wire::frames::Reset;

use super::{Limited, Page};

/// A stretch: first where too much was missed, then what happened.
pub fn page<'a>(
    hub: &'a Hub,
    protocol: Protocol,
    page: &'a Page,
) -> impl Iterator<Item = Frame> + 'a {
    let limits = page.limited.iter().map(move |one| limited(protocol, one));
    let frame = move |event: &LogEvent| {
        Event::logged(hub.epoch(), event.origin, &event.data).frame(protocol)
    };
    limits.chain(page.events.iter().map(frame))
}

/// Without a cursor: until what is replayed has arrived, the old one stands.
fn limited(protocol: Protocol, limited: &Limited) -> Frame {
    let data = serde_json::json!(limited).to_string();
    Event::passing("limited", data.as_bytes()).frame(protocol)
}

/// Everything up to `through` is there.
pub fn caught_up(hub: &Hub, protocol: Protocol, through: Seq) -> Frame {
    let cursor = Some((hub.epoch(), through));
    Event { name: "caughtUp", cursor, data: b"{}", origin: None }.frame(protocol)
}

/// The cursor cannot be resumed from; a new one is `at`.
pub fn reset(hub: &Hub, protocol: Protocol, at: Seq, reason: &str) -> Frame {
    let data = serde_json::json!(Reset { reason }).to_string();
    let cursor = Some((hub.epoch(), at));
    Event { name: "reset", cursor, data: data.as_bytes(), origin: None }.frame(protocol)
}
