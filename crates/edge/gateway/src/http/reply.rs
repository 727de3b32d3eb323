//! Responses. Whatever goes wrong, the body is a JSON-RPC error with a stable code.

use super::body::Answer;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use interlock_mcp::{Id, RpcError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
const ALLOW: HeaderValue = HeaderValue::from_static("POST");
const SOON: HeaderValue = HeaderValue::from_static("1");

/// A request that is not answered with a result.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: RpcError,
    pub(super) id: Option<Id>,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, error: RpcError) -> Self {
        Self { status, error, id: None }
    }

    pub(super) fn bad(error: RpcError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// Names the request that is refused.
    pub(super) fn to(self, id: &Id) -> Self {
        Self { id: Some(id.clone()), ..self }
    }

    pub(super) fn respond(self) -> Response<Answer> {
        let mut response = json(self.status, self.error.to_frame(self.id.as_ref()));
        match self.status {
            StatusCode::UNAUTHORIZED => response.headers_mut().insert(header::WWW_AUTHENTICATE, BEARER),
            StatusCode::METHOD_NOT_ALLOWED => response.headers_mut().insert(header::ALLOW, ALLOW),
            StatusCode::SERVICE_UNAVAILABLE => response.headers_mut().insert(header::RETRY_AFTER, SOON),
            // What is left of the body is not read, so nothing can follow on this connection.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"))
            }
            _ => None,
        };
        response
    }
}

/// A JSON body.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Answer> {
    with(status, JSON, body)
}

/// A text body.
pub(super) fn text(body: Bytes) -> Response<Answer> {
    with(StatusCode::OK, TEXT, body)
}

/// No body.
pub(super) fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = status;
    response
}

fn with(status: StatusCode, kind: HeaderValue, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
