//! `/messaging/devices` and `/messaging/me/notifications`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::domain::device::{self, Device};
use crate::edge::{Edge, error};
use crate::store::devices::Registration;
use crate::wire::answers::Success;
use crate::wire::devices::{Devices, Notifications, RegisterDevice, SetNotifications};
use crate::wire::error::{ApiError, Code};

use super::docs::responses::{Invalid, Missing, TooLarge, Usual};
use super::extract::{Asking, Body};

/// Registers a device for notifications, or refreshes it. It leaves whoever had it before.
#[utoipa::path(
    post,
    path = "/devices",
    operation_id = "registerDevice",
    tag = "Devices",
    request_body = RegisterDevice,
    responses(
        (status = 201, description = "It is new", body = Success),
        (status = 200, description = "It was there already", body = Success),
        Usual,
        Invalid,
        TooLarge
    )
)]
pub async fn register(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Body(body): Body<RegisterDevice>,
) -> Result<(StatusCode, Json<Success>), ApiError> {
    let platform = body.validate()?;
    let device = Device { user_id: caller.user_id, platform, token: body.token };
    let done = edge.store.register_device(&device, edge.clock.now()).await.map_err(error::store)?;
    let status = match done {
        Registration::New => StatusCode::CREATED,
        Registration::Refreshed => StatusCode::OK,
    };
    Ok((status, Json(Success::DONE)))
}

/// The caller's devices.
#[utoipa::path(
    get,
    path = "/devices",
    operation_id = "listDevices",
    tag = "Devices",
    responses(
        (status = 200, description = "All of them", body = Devices),
        Usual
    )
)]
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

/// Removes a device: nothing is sent to it any more.
#[utoipa::path(
    delete,
    path = "/devices/{token}",
    operation_id = "removeDevice",
    tag = "Devices",
    params(("token" = String, Path, description = "The registration token", max_length = 4096)),
    responses(
        (status = 204, description = "It is gone"),
        Usual,
        Invalid,
        Missing
    )
)]
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Token(token): Token,
) -> Result<StatusCode, ApiError> {
    let removed = edge.store.remove_device(caller.user_id, &token).await.map_err(error::store)?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_device()) }
}

/// What the caller wants of notifications.
#[utoipa::path(
    get,
    path = "/me/notifications",
    operation_id = "getNotificationSettings",
    tag = "Devices",
    responses(
        (status = 200, description = "The settings", body = Notifications),
        Usual
    )
)]
pub async fn settings(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
) -> Result<Json<Notifications>, ApiError> {
    let found = edge.store.notification_settings(&[caller.user_id]).await.map_err(error::store)?;
    let settings = found.get(&caller.user_id).cloned().unwrap_or_default();
    Ok(Json(Notifications::from(&settings)))
}

/// Sets what the caller wants of notifications. What is left out becomes the default.
#[utoipa::path(
    put,
    path = "/me/notifications",
    operation_id = "setNotificationSettings",
    tag = "Devices",
    request_body = SetNotifications,
    responses(
        (status = 200, description = "The settings", body = Notifications),
        Usual,
        Invalid,
        TooLarge
    )
)]
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
