//! What the admin API answers when it can't do what was asked (RFC 9457).

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::Problem;
use crate::metadata::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("this route doesn't take this method")]
    Method,
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Internal(String),
    /// As a request with this scope would get it.
    #[error("{}", .0.detail)]
    Scope(Problem),
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad-request"),
            ApiError::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
            ApiError::Method => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            ApiError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            ApiError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ApiError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            ApiError::Scope(problem) => {
                let status = StatusCode::from_u16(problem.code.status());
                (status.unwrap_or(StatusCode::BAD_REQUEST), problem.code.as_str())
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotJoined | StoreError::Changing => Self::Conflict(error.to_string()),
            StoreError::Disk(_) | StoreError::HandingOver => Self::Internal(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        let scope = match &self {
            ApiError::Scope(problem) => Some(problem),
            _ => None,
        };
        let mut document = json!({
            "apiVersion": super::API_VERSION,
            "type": "about:blank",
            "title": scope.map_or(status.canonical_reason().unwrap_or_default(), |problem| problem.code.title()),
            "status": status.as_u16(),
            "detail": self.to_string(),
            "source": "cheops",
            "code": code,
        });
        if let (Some(problem), Some(document)) = (scope, document.as_object_mut()) {
            document.insert("hint".into(), problem.hint.as_deref().unwrap_or(problem.code.hint()).into());
            if let Some((position, length)) = problem.position {
                document.insert("position".into(), position.into());
                document.insert("length".into(), length.into());
            }
        }
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(document)).into_response()
    }
}
