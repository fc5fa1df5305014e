//! REST: routes by audience, and everything that a request passes on its way.
//!
//! To add a route: a handler in the file of its subject, which reads the request, calls the rules and writes the
//! answer; and a line here.

mod contexts;
mod conversations;
mod devices;
mod extract;
mod messages;
pub mod operators;
mod participants;
mod presence;
mod reactions;
mod scheduled;
mod stack;
mod sync;

use std::sync::Arc;

use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};

use crate::telemetry::listener;

use super::{Edge, ws};

/// Everything that is served on the main listener.
pub fn router(edge: Arc<Edge>, ready: listener::Check) -> Router {
    let routes = Router::new().nest("/messaging", participants_api(&edge)).merge(ws::routes());
    stacked(edge, ready, routes)
}

/// The sockets alone, for a listener of their own.
pub fn sockets_router(edge: Arc<Edge>, ready: listener::Check) -> Router {
    stacked(edge, ready, ws::routes())
}

/// What operators ask, and the stack, outermost last: what stands lower here sees a request earlier and its
/// answer later.
fn stacked(edge: Arc<Edge>, ready: listener::Check, routes: Router<Arc<Edge>>) -> Router {
    let metrics = (!edge.settings.metrics_elsewhere).then(|| edge.metrics.clone());
    let operators = listener::app(metrics, ready);
    routes
        .with_state(edge.clone())
        .merge(operators)
        .fallback(stack::no_such_route)
        .method_not_allowed_fallback(stack::no_such_method)
        .layer(stack::cors(&edge.settings.cors_origins))
        .layer(middleware::from_fn(stack::catch_panic))
        .layer(middleware::from_fn_with_state(edge, stack::observe))
}

/// For people with a token: each request is authenticated and counted before its handler runs.
fn participants_api(edge: &Arc<Edge>) -> Router<Arc<Edge>> {
    Router::new()
        .merge(conversation_routes())
        .merge(context_routes())
        .merge(participant_routes())
        .merge(message_routes())
        .merge(device_routes())
        .route("/sync", get(sync::since))
        .route_layer(middleware::from_fn_with_state(edge.clone(), stack::authenticate))
}

fn conversation_routes() -> Router<Arc<Edge>> {
    use conversations as c;
    Router::new()
        .route("/conversations", get(c::list).post(c::create))
        .route("/conversations/{id}", get(c::get).patch(c::patch))
        .route("/conversations/{id}/archive", post(c::archive).delete(c::unarchive))
        .route("/conversations/{id}/pin", post(c::pin).delete(c::unpin))
        .route("/conversations/{id}/mute", post(c::mute).delete(c::unmute))
        .route("/conversations/{id}/mark-read", post(c::mark_read))
        .route("/unread", get(c::unread))
}

fn context_routes() -> Router<Arc<Edge>> {
    use contexts as x;
    Router::new()
        .route("/conversations/event/{eventId}", get(x::event).post(x::create_event))
        .route("/conversations/business/{businessId}", get(x::business).post(x::create_business))
        .route("/conversations/listing/{listingId}", get(x::listing).post(x::create_listing))
}

fn participant_routes() -> Router<Arc<Edge>> {
    use participants as p;
    Router::new()
        .route("/conversations/{id}/participants", get(p::list).post(p::add))
        .route("/conversations/{id}/participants/{userId}", delete(p::remove).patch(p::set_role))
        .route("/conversations/{id}/join", post(p::join))
        .route("/conversations/{id}/leave", post(p::leave))
        .route("/presence", get(presence::get))
}

fn device_routes() -> Router<Arc<Edge>> {
    use devices as d;
    Router::new()
        .route("/devices", get(d::list).post(d::register))
        .route("/devices/{token}", delete(d::remove))
        .route("/me/notifications", get(d::settings).put(d::set_settings))
}

fn message_routes() -> Router<Arc<Edge>> {
    use messages as m;
    use reactions as r;
    Router::new()
        .route("/conversations/{id}/messages", get(m::list))
        .route("/messages", post(m::send))
        .route("/messages/scheduled", get(scheduled::list))
        .route("/messages/{id}", get(m::get).put(m::edit).delete(m::delete))
        .route("/messages/{id}/reactions/{emoji}", put(r::add).delete(r::remove))
        .route("/messages/{id}/receipts", get(m::receipts))
}
