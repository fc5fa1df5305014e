//! Requests of other services: the micro service `messaging`, as every client of the NATS services API finds it.
//!
//! Several processes share the requests as one queue group; `$SRV.PING`, `INFO` and `STATS` are answered by each.

use std::collections::HashMap;

use async_nats::service::{self, ServiceExt as _, endpoint::Endpoint};
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};

use crate::wire::ingest::API_PREFIX;

use super::BusError;

/// The name that the service is found by.
const NAME: &str = "messaging";
/// What all its instances share the requests as.
const QUEUE: &str = "messaging";
const DESCRIPTION: &str = "System messages, profiles, contexts and dead letters of other services";

/// The endpoints: name, subject behind the prefix, and what a payload has to be.
const ENDPOINTS: [(&str, &str, &str); 4] = [
    ("system", "system.>", "{content, metadata?}"),
    ("users", "users.>", "{displayName, avatarUrl?}"),
    ("contexts", "contexts.>", "{title, ownerId?, imageUrl?, url?}"),
    ("dead", "dead.>", "list {after?, limit?}; show, replay, drop {seq}"),
];

/// The service, until it is dropped or stopped.
pub struct Api {
    service: service::Service,
    requests: SelectAll<Endpoint>,
}

/// A request that waits for its reply.
pub struct Request(service::Request);

impl Api {
    /// Announces the service and begins to take requests. Connections that break come back by themselves, with it.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when the connection is closed, [`BusError::Refused`] for a version that is none.
    pub async fn start(client: &async_nats::Client, version: &str) -> Result<Self, BusError> {
        let service = client
            .service_builder()
            .description(DESCRIPTION)
            .queue_group(QUEUE)
            .start(NAME, version)
            .await
            .map_err(BusError::refused)?;
        let group = service.group(API_PREFIX.trim_end_matches('.'));
        let mut endpoints = Vec::with_capacity(ENDPOINTS.len());
        for (name, subject, payload) in ENDPOINTS {
            let metadata = HashMap::from([("payload".to_owned(), payload.to_owned())]);
            let endpoint = group.endpoint_builder().name(name).metadata(metadata).add(subject);
            endpoints.push(endpoint.await.map_err(BusError::unavailable)?);
        }
        Ok(Self { service, requests: select_all(endpoints) })
    }

    /// The next request; `None` when the connection is closed.
    pub async fn next(&mut self) -> Option<Request> {
        self.requests.next().await.map(Request)
    }

    /// Takes no more requests and is found no more.
    pub async fn stop(self) {
        if let Err(cause) = self.service.stop().await {
            tracing::debug!(%cause, "the micro service was gone already");
        }
    }
}

impl Request {
    pub fn subject(&self) -> &str {
        &self.0.message.subject
    }

    pub fn payload(&self) -> &Bytes {
        &self.0.message.payload
    }

    /// The `Nats-Msg-Id` that it came with.
    pub fn msg_id(&self) -> Option<&str> {
        msg_id(&self.0.message)
    }

    /// Answers it. `failure`, a status and a sentence, goes into the headers that clients of the services API look at.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when nobody can be answered, or nobody asked to be.
    pub async fn reply(&self, body: Bytes, failure: Option<(u16, &str)>) -> Result<(), BusError> {
        let mut headers = HeaderMap::new();
        if let Some((status, text)) = failure {
            headers.insert("Nats-Service-Error-Code", status.to_string().as_str());
            headers.insert("Nats-Service-Error", text.replace(['\r', '\n'], " ").as_str());
        }
        self.0.respond_with_headers(Ok(body), headers).await.map_err(BusError::unavailable)
    }
}

pub(super) fn msg_id(message: &Message) -> Option<&str> {
    let headers = message.headers.as_ref()?;
    headers.get(async_nats::header::NATS_MESSAGE_ID).map(|value| value.as_str())
}
