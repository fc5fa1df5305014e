//! What a service said, read and checked.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::conversation::ContextType;
use crate::domain::ids::UserId;
use crate::domain::service;
use crate::wire::error::{ApiError, Code};
use crate::wire::ingest::{
    About, Address, DescribeContext, Described, MAX_MSG_ID_CHARS, MAX_PAYLOAD_BYTES, Profiled,
    SetProfile, SystemMessage, Target, Written,
};
use crate::wire::requests::parse;

/// One thing that a service said.
#[derive(Debug, Clone)]
pub struct Item {
    pub service: String,
    /// The service as a sender.
    pub sender: UserId,
    /// What the ids of its messages follow from: the same for every repetition.
    pub key: String,
    pub told_at: Timestamp,
    pub what: What,
}

/// What it said.
#[derive(Debug, Clone)]
pub enum What {
    Message(Target, Written),
    Profile(UserId, Profiled),
    Context(ContextType, Uuid, Described),
}

impl Item {
    /// Reads a payload.
    ///
    /// # Errors
    /// `invalid`, naming every field that is wrong; `payload_too_large`.
    pub fn read(
        address: Address,
        key: String,
        told_at: Timestamp,
        payload: &Bytes,
        max_content_chars: usize,
    ) -> Result<Self, ApiError> {
        check_size(payload)?;
        let what = match address.about {
            About::Message(target) => {
                let message = parse::<SystemMessage>(payload)?.validate(max_content_chars)?;
                What::Message(target, message)
            }
            About::Profile(user) => What::Profile(user, parse::<SetProfile>(payload)?.validate()?),
            About::Context(kind, id) => {
                What::Context(kind, id, parse::<DescribeContext>(payload)?.validate()?)
            }
        };
        let sender = service::sender_id(&address.service);
        Ok(Self { service: address.service, sender, key, told_at, what })
    }

    /// What it is, in the metrics.
    pub fn kind(&self) -> &'static str {
        match self.what {
            What::Message(..) => "message",
            What::Profile(..) => "profile",
            What::Context(..) => "context",
        }
    }
}

/// # Errors
/// `payload_too_large`.
pub fn check_size(payload: &Bytes) -> Result<(), ApiError> {
    if payload.len() <= MAX_PAYLOAD_BYTES {
        return Ok(());
    }
    let detail = format!("a payload has at most {MAX_PAYLOAD_BYTES} bytes");
    Err(ApiError::new(Code::PayloadTooLarge, detail))
}

/// What ids follow from where the service gave a `Nats-Msg-Id`.
///
/// # Errors
/// `invalid`: the id is too long or not printable.
pub fn named_key(msg_id: &str) -> Result<String, ApiError> {
    let fits = !msg_id.is_empty() && msg_id.chars().nth(MAX_MSG_ID_CHARS).is_none();
    if !fits || msg_id.contains(char::is_control) {
        let message = format!("must have 1 to {MAX_MSG_ID_CHARS} printable characters");
        return Err(ApiError::field("Nats-Msg-Id", message));
    }
    Ok(format!("id:{msg_id}"))
}

/// What ids follow from where it gave none: the place in the queue, which a redelivery has as well.
pub fn placed_key(place: &str) -> String {
    format!("at:{place}")
}
