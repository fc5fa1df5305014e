//! Conversations about an event, a business or a listing. `GET` creates as well: apps open a chat by its link.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use crate::domain::conversation::ContextType;
use crate::edge::Edge;
use crate::edge::auth::Caller;
use crate::edge::conversations::Opened;
use crate::edge::conversations::contexts::{ContextRequest, open_about};
use crate::wire::error::ApiError;
use crate::wire::objects;

use super::conversations::opened;
use super::extract::{Asking, Fields, Ids, OptionalBody, Params};

/// The owner goes by another name for each kind of context; the title may be given for each.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Named {
    organizer_id: Option<String>,
    owner_id: Option<String>,
    seller_id: Option<String>,
    title: Option<String>,
}

impl Named {
    /// What the query leaves out, a body may say.
    fn or(self, body: Self) -> Self {
        Self {
            organizer_id: self.organizer_id.or(body.organizer_id),
            owner_id: self.owner_id.or(body.owner_id),
            seller_id: self.seller_id.or(body.seller_id),
            title: self.title.or(body.title),
        }
    }

    fn request(self, kind: ContextType, id: Uuid) -> Result<ContextRequest, ApiError> {
        let (owner_field, owner) = match kind {
            ContextType::Event => ("organizerId", self.organizer_id),
            ContextType::Listing => ("sellerId", self.seller_id),
            ContextType::Business | ContextType::General => ("ownerId", self.owner_id),
        };
        let mut fields = Fields::default();
        let owner = fields.uuid(owner_field, owner.as_deref());
        fields.finish()?;
        Ok(ContextRequest { kind, id, owner_field, owner, title: self.title })
    }
}

async fn open(
    edge: &Edge,
    caller: &Caller,
    kind: ContextType,
    id: Uuid,
    named: Named,
) -> Result<Opened, ApiError> {
    open_about(edge, caller, named.request(kind, id)?).await
}

type Answer = Result<(StatusCode, Json<objects::Conversation>), ApiError>;

/// Both methods of each kind of context.
macro_rules! about {
    ($($kind:ident: $get:ident, $post:ident;)*) => {$(
        pub async fn $get(
            State(edge): State<Arc<Edge>>,
            Asking(caller): Asking,
            Ids([id]): Ids<1>,
            Params(named): Params<Named>,
        ) -> Answer {
            let found = open(&edge, &caller, ContextType::$kind, id, named).await?;
            // To somebody who gets, it was always there.
            Ok(opened(&edge, Opened { created: false, ..found }))
        }

        pub async fn $post(
            State(edge): State<Arc<Edge>>,
            Asking(caller): Asking,
            Ids([id]): Ids<1>,
            Params(named): Params<Named>,
            OptionalBody(body): OptionalBody<Named>,
        ) -> Answer {
            open(&edge, &caller, ContextType::$kind, id, named.or(body)).await.map(|new| opened(&edge, new))
        }
    )*};
}

about! {
    Event: event, create_event;
    Business: business, create_business;
    Listing: listing, create_listing;
}
