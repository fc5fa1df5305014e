//! The documents for people: Swagger UI for REST, and a page about sockets and subjects. Nothing comes from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::wire::error::{ApiError, Code};

use super::File;

static UI: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> = LazyLock::new(|| {
    Arc::new(utoipa_swagger_ui::Config::new(["/openapi.json"]).persist_authorization(true))
});

/// One of Swagger UI's files; they are part of the program.
pub fn ui(path: &str, headers: &HeaderMap) -> Response {
    match utoipa_swagger_ui::serve(path, UI.clone()) {
        Ok(Some(file)) => {
            File::new(&file.content_type, Bytes::from(file.bytes.into_owned())).answer(headers)
        }
        Ok(None) => ApiError::new(Code::NotFound, "there is no such file").into_response(),
        Err(cause) => {
            tracing::error!(%cause, path, "a page cannot be shown");
            ApiError::internal().into_response()
        }
    }
}

pub async fn ui_file(Path(file): Path<String>, headers: HeaderMap) -> Response {
    ui(&file, &headers)
}

/// Where to find what.
pub fn index() -> Vec<u8> {
    include_bytes!("pages/index.html").to_vec()
}
