//! The consumers of other services that read the log.
//!
//! They are made for the service, which then needs no right to make any: a consumer can be told to deliver anywhere in
//! the account, where its maker may not publish.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::ConsumerErrorKind;

use super::Applied;
use crate::bus::BusError;
use crate::wire::subjects;

/// How long a service may take with an event before it is handed out again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Events that may be under way. At 10 ms each a service with one worker gets through them within [`ACK_WAIT`].
const MAX_ACK_PENDING: i64 = 2_000;

/// Makes the consumer of a reader unless it is there: what the service, or an operator for it, has changed stays. It
/// begins with what comes next.
pub(super) async fn make(context: &jetstream::Context, reader: &str) -> Result<Applied, BusError> {
    let stream = context
        .get_stream_no_info(subjects::CHAT_STREAM)
        .await
        .map_err(|cause| BusError::refused(format!("the consumer of {reader}: {cause}")))?;
    match stream.consumer_info(reader).await {
        Ok(_) => return Ok(Applied::Unchanged),
        Err(cause) => match cause.kind() {
            jetstream::context::ConsumerInfoErrorKind::NotFound => {}
            _ => return Err(BusError::unavailable(cause)),
        },
    }
    let config = pull::Config {
        durable_name: Some(reader.to_owned()),
        description: Some("A service that reads the log".to_owned()),
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_ACK_PENDING,
        ..Default::default()
    };
    match stream.create_consumer(config).await {
        Ok(_) => Ok(Applied::Created),
        Err(cause) => Err(match cause.kind() {
            ConsumerErrorKind::JetStream(refusal) if refusal.code() < 500 => {
                BusError::refused(format!("the consumer of {reader}: {refusal}"))
            }
            _ => BusError::unavailable(cause),
        }),
    }
}
