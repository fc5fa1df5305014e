//! Conversations about an event, a business or a listing. `GET` creates as well: apps open a chat by its link.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::domain::conversation::ContextType;
use crate::edge::Edge;
use crate::edge::auth::Caller;
use crate::edge::conversations::Opened;
use crate::edge::conversations::contexts::{ContextRequest, open_about};
use crate::wire::error::ApiError;
use crate::wire::objects;

use super::conversations::opened;
use super::docs::responses::{Forbidden, Invalid, TooLarge, Usual};
use super::extract::{Asking, Fields, Ids, OptionalBody, Params};

/// The owner goes by another name for each kind of context; the title may be given for each.
#[derive(Default, Deserialize, JsonSchema, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "NamedContext")]
#[into_params(parameter_in = Query)]
pub struct Named {
    /// Of an event.
    #[schemars(with = "Option<Uuid>")]
    #[param(value_type = Option<Uuid>)]
    organizer_id: Option<String>,
    /// Of a business.
    #[schemars(with = "Option<Uuid>")]
    #[param(value_type = Option<Uuid>)]
    owner_id: Option<String>,
    /// Of a listing.
    #[schemars(with = "Option<Uuid>")]
    #[param(value_type = Option<Uuid>)]
    seller_id: Option<String>,
    /// What the context is called, where that is not known yet.
    #[schemars(length(max = 200))]
    #[param(max_length = 200)]
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
    ($($kind:ident $path:literal $id:literal: $get:ident $getting:literal, $post:ident $posting:literal;)*) => {$(
        /// The caller's conversation about it with its owner; opened if there is none.
        #[utoipa::path(
            get,
            path = $path,
            operation_id = $getting,
            tag = "Conversations",
            params(($id = Uuid, Path), Named),
            responses(
                (status = 200, description = "The conversation", body = objects::Conversation),
                Usual, Invalid, Forbidden
            )
        )]
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

        /// The same; what the query leaves out may stand in the body.
        #[utoipa::path(
            post,
            path = $path,
            operation_id = $posting,
            tag = "Conversations",
            params(($id = Uuid, Path), Named),
            request_body = Option<Named>,
            responses(
                (status = 201, description = "The new conversation", body = objects::Conversation),
                (status = 200, description = "It was there already", body = objects::Conversation),
                Usual, Invalid, Forbidden, TooLarge
            )
        )]
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
    Event "/conversations/event/{eventId}" "eventId":
        event "getEventConversation", create_event "openEventConversation";
    Business "/conversations/business/{businessId}" "businessId":
        business "getBusinessConversation", create_business "openBusinessConversation";
    Listing "/conversations/listing/{listingId}" "listingId":
        listing "getListingConversation", create_listing "openListingConversation";
}
