//! REST: routes by audience, and everything that a request passes on its way.
//!
//! To add a route: a handler in the file of its subject, which reads the request, calls the rules and writes the
//! answer, annotated with what it takes and answers; and its name here. Types that the annotation names stand in
//! `docs/openapi.rs`.

mod contexts;
mod conversations;
mod devices;
mod docs;
mod extract;
mod joining;
mod me;
mod media;
mod messages;
pub mod operators;
mod participants;
mod pins;
mod presence;
mod ranged;
mod reactions;
mod safety;
mod scheduled;
mod search;
mod stack;
mod sync;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::telemetry::listener;

use super::{Edge, ws};

/// The route of erasing, which answers also those whose data is being erased.
const ERASE: &str = "/messaging/me";

/// Everything that is served on the main listener.
pub fn router(edge: Arc<Edge>, ready: listener::Check) -> Router {
    let authenticated = middleware::from_fn_with_state(edge.clone(), stack::authenticate);
    let api = participants_api().route_layer(authenticated).merge(linked_api());
    let (api, described) = OpenApiRouter::new().nest("/messaging", api).split_for_parts();
    stacked(edge, ready, api.merge(ws::routes()).merge(docs::routes(described)))
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
fn participants_api() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .merge(conversation_routes())
        .merge(context_routes())
        .merge(participant_routes())
        .merge(community_routes())
        .merge(message_routes())
        .merge(device_routes())
        .merge(safety_routes())
        .merge(media_routes())
        .routes(routes!(sync::since))
        .routes(routes!(me::export))
        .routes(routes!(me::erase))
}

fn conversation_routes() -> OpenApiRouter<Arc<Edge>> {
    use conversations as c;
    OpenApiRouter::new()
        .routes(routes!(c::list, c::create))
        .routes(routes!(c::get, c::patch))
        .routes(routes!(c::archive, c::unarchive))
        .routes(routes!(c::pin, c::unpin))
        .routes(routes!(c::mute, c::unmute))
        .routes(routes!(c::mark_read))
        .routes(routes!(c::unread))
}

fn context_routes() -> OpenApiRouter<Arc<Edge>> {
    use contexts as x;
    OpenApiRouter::new()
        .routes(routes!(x::event, x::create_event))
        .routes(routes!(x::business, x::create_business))
        .routes(routes!(x::listing, x::create_listing))
}

fn participant_routes() -> OpenApiRouter<Arc<Edge>> {
    use participants as p;
    OpenApiRouter::new()
        .routes(routes!(p::list, p::add))
        .routes(routes!(p::remove, p::set_role))
        .routes(routes!(p::leave))
        .routes(routes!(presence::get))
}

/// Who comes into a community and who may not, and what is pinned.
fn community_routes() -> OpenApiRouter<Arc<Edge>> {
    use joining as j;
    OpenApiRouter::new()
        .routes(routes!(j::join))
        .routes(routes!(j::requests))
        .routes(routes!(j::approve))
        .routes(routes!(j::drop))
        .routes(routes!(j::list_bans))
        .routes(routes!(j::ban, j::lift_ban))
        .routes(routes!(pins::list))
        .routes(routes!(pins::pin, pins::unpin))
}

fn device_routes() -> OpenApiRouter<Arc<Edge>> {
    use devices as d;
    OpenApiRouter::new()
        .routes(routes!(d::list, d::register))
        .routes(routes!(d::remove))
        .routes(routes!(d::settings, d::set_settings))
}

fn safety_routes() -> OpenApiRouter<Arc<Edge>> {
    use safety as s;
    OpenApiRouter::new()
        .routes(routes!(s::list))
        .routes(routes!(s::block, s::unblock))
        .routes(routes!(s::report))
}

fn message_routes() -> OpenApiRouter<Arc<Edge>> {
    use messages as m;
    use reactions as r;
    OpenApiRouter::new()
        .routes(routes!(m::list))
        .routes(routes!(m::send))
        .routes(routes!(scheduled::list))
        .routes(routes!(m::get, m::edit, m::delete))
        .routes(routes!(r::add, r::remove))
        .routes(routes!(m::receipts))
        .routes(routes!(search::find))
}

/// The form of an upload streams, within limits of its own.
fn media_routes() -> OpenApiRouter<Arc<Edge>> {
    use media as m;
    OpenApiRouter::new()
        .routes(routes!(m::upload))
        .layer(DefaultBodyLimit::disable())
        .routes(routes!(m::begin))
        .routes(routes!(m::complete))
        .routes(routes!(m::sign))
}

/// For people with a token or a signed link: the handlers look which.
fn linked_api() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(media::get)).routes(routes!(media::thumbnail))
}
