//! NATS as another service sees it: for the load generator, which publishes what a service would.

use std::future::{Future, IntoFuture as _};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use bytes::Bytes;

use super::{BusError, connect};

/// A connection that publishes to the queue.
pub struct Outside(Context);

impl Outside {
    /// # Errors
    /// As [`connect::connect`].
    pub async fn connect(settings: &connect::Settings) -> Result<Self, BusError> {
        Ok(Self(jetstream::new(connect::connect(settings, "outside").await?)))
    }

    /// Publishes with a `Nats-Msg-Id`; what it returns waits until the queue has it.
    ///
    /// # Errors
    /// [`BusError::Unavailable`], now or then.
    pub async fn publish(
        &self,
        subject: String,
        msg_id: &str,
        payload: Bytes,
    ) -> Result<impl Future<Output = Result<(), BusError>> + Send + 'static, BusError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, msg_id);
        let sent = self.0.publish_with_headers(subject, headers, payload).await;
        let ack = sent.map_err(BusError::unavailable)?.into_future();
        Ok(async move { ack.await.map(|_| ()).map_err(BusError::unavailable) })
    }
}
