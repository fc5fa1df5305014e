//! Requests: the same as what is published, checked and done before the reply.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::bus::BusError;
use crate::bus::api::{Api, Request};
use crate::wire::error::ApiError;
use crate::wire::ingest::{Call, Reply};

use super::item::{Item, check_size, named_key, placed_key};
use super::{Fault, Ingest};

/// Answers requests until cancelled; those under way are finished.
///
/// # Errors
/// [`BusError::Unavailable`] when the connection was closed.
pub async fn run(ingest: Arc<Ingest>, stop: CancellationToken) -> Result<(), BusError> {
    let mut api = Api::start(&ingest.client, env!("CARGO_PKG_VERSION")).await?;
    let most = match ingest.settings.max_requests {
        0 => usize::MAX,
        most => most,
    };
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            // Those that find no place wait with the connection, which holds some thousands.
            request = api.next(), if under_way.len() < most => match request {
                Some(request) => under_way.push(answer(&ingest, request)),
                None => return Err(BusError::unavailable("requests have ended")),
            },
        }
    }
    api.stop().await;
    while under_way.next().await.is_some() {}
    Ok(())
}

async fn answer(ingest: &Ingest, request: Request) {
    let outcome = ingest.call(&request).await;
    let refusal = outcome.as_ref().err();
    let reply = outcome.as_ref().map_or_else(Reply::refused, Reply::clone);
    let failure = refusal.map(|refusal| (refusal.code.status(), refusal.detail.as_ref()));
    let body = serde_json::to_vec(&reply).expect("text, numbers and lists of them are JSON");
    if let Err(cause) = request.reply(body.into(), failure).await {
        tracing::debug!(%cause, "a request cannot be answered");
    }
}

impl Ingest {
    async fn call(&self, request: &Request) -> Result<Reply, ApiError> {
        let outcome = self.understood(request).await;
        if let Err(refusal) = &outcome {
            self.metrics.ingest.refused(refusal.code.as_str());
        }
        outcome
    }

    async fn understood(&self, request: &Request) -> Result<Reply, ApiError> {
        check_size(request.payload())?;
        match Call::parse(request.subject())? {
            Call::Ingest(address) => {
                self.limits.request(&address.service)?;
                let key = match request.msg_id() {
                    Some(id) => named_key(id)?,
                    None => placed_key(&uuid::Uuid::now_v7().to_string()),
                };
                let max = self.settings.max_content_chars;
                let item = Item::read(address, key, self.clock.now(), request.payload(), max)?;
                let outcomes = self.process(&[item]).await.map_err(|fault| unavailable(&fault))?;
                let outcome = outcomes.into_iter().next();
                outcome.unwrap_or_else(|| Err(ApiError::internal())).map(Reply::done)
            }
            Call::Letters { service, op } => {
                self.limits.request(&service)?;
                let body: &Bytes = request.payload();
                let done = self.letters(&service, op, body).await;
                done.map_err(|fault| unavailable(&fault))?
            }
        }
    }
}

fn unavailable(fault: &Fault) -> ApiError {
    match fault {
        Fault::Store(cause) if cause.is_refused_data() => {
            tracing::error!(%cause, "the database refuses what a service said");
            ApiError::internal()
        }
        _ => {
            tracing::warn!(cause = %fault, "a service's request cannot be answered now");
            let mut refusal = ApiError::unavailable();
            refusal.detail =
                "the service cannot reach its storage now; ask again with the same Nats-Msg-Id"
                    .into();
            refusal
        }
    }
}
