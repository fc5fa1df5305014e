//! `/messaging/devices` and `/messaging/me/notifications`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Value, json};

use crate::domain::device::{self, Device};
use crate::edge::{Edge, error};
use crate::store::devices::Registration;
use crate::wire::devices::{Devices, Notifications, RegisterDevice, SetNotifications};
use crate::wire::error::{ApiError, Code};

use super::extract::{Asking, Body};

/// `POST /devices`: registers, or refreshes.
pub async fn register(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Body(body): Body<RegisterDevice>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let platform = body.validate()?;
    let device = Device { user_id: caller.user_id, platform, token: body.token };
    let done = edge.store.register_device(&device, edge.clock.now()).await.map_err(error::store)?;
    let status = match done {
        Registration::New => StatusCode::CREATED,
        Registration::Refreshed => StatusCode::OK,
    };
    Ok((status, Json(json!({ "success": true }))))
}

/// `GET /devices`: one's own.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
) -> Result<Json<Devices>, ApiError> {
    let found = edge.store.devices_of(caller.user_id).await.map_err(error::store)?;
    Ok(Json(Devices { devices: found.into_iter().map(Into::into).collect() }))
}

/// The token in the path.
pub struct Token(String);

impl FromRequestParts<Arc<Edge>> for Token {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, edge)
            .await
            .map_err(|_| ApiError::new(Code::Invalid, "the path cannot be read"))?;
        let token = params.iter().find(|(name, _)| *name == "token");
        let token = token.map(|(_, value)| value.to_owned()).unwrap_or_default();
        if device::is_token(&token) { Ok(Self(token)) } else { Err(no_such_device()) }
    }
}

fn no_such_device() -> ApiError {
    ApiError::new(Code::NotFound, "you have no such device")
}

/// `DELETE /devices/{token}`: nothing is sent to it any more.
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Token(token): Token,
) -> Result<StatusCode, ApiError> {
    let removed = edge.store.remove_device(caller.user_id, &token).await.map_err(error::store)?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_device()) }
}

/// `GET /me/notifications`
pub async fn settings(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
) -> Result<Json<Notifications>, ApiError> {
    let found = edge.store.notification_settings(&[caller.user_id]).await.map_err(error::store)?;
    let settings = found.get(&caller.user_id).cloned().unwrap_or_default();
    Ok(Json(Notifications::from(&settings)))
}

/// `PUT /me/notifications`
pub async fn set_settings(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Body(body): Body<SetNotifications>,
) -> Result<Json<Notifications>, ApiError> {
    let settings = body.validate()?;
    let now = edge.clock.now();
    edge.store
        .set_notification_settings(caller.user_id, &settings, now)
        .await
        .map_err(error::store)?;
    Ok(Json(Notifications::from(&settings)))
}
