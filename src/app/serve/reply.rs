//! What the server answers: a body with its type, or a fault in the shape of OpenAI's errors.

use super::file_body::FileBody;
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use std::fmt::Display;

/// The type of an answer that is a value in JSON.
pub(super) const JSON: &str = "application/json";
/// What a program is told to wait, in seconds, when there is too much to do.
const RETRY_SECONDS: u32 = 1;

/// A body in memory, or a file on its way.
pub(super) type Body = Either<Full<Bytes>, FileBody>;

/// A good answer.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Body,
}

impl Answer {
    /// Answers with a value.
    pub fn json(value: &impl Serialize) -> Self {
        Self::bytes(JSON, serde_json::to_vec(value).expect("maps have texts for keys"))
    }

    /// Answers with bytes of a type.
    pub fn bytes(kind: &'static str, bytes: impl Into<Bytes>) -> Self {
        let body = Either::Left(Full::new(bytes.into()));
        Answer { status: StatusCode::OK, headers: vec![], body }.with(CONTENT_TYPE, HeaderValue::from_static(kind))
    }

    /// Answers with nothing but a status.
    pub fn empty(status: StatusCode) -> Self {
        Answer { status, headers: vec![], body: Either::Left(Full::default()) }
    }

    /// Adds a header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the answer as HTTP has it.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub status: StatusCode,
    /// What a program can tell the kind of fault by.
    pub code: &'static str,
    pub message: String,
    /// The field of the request that is wrong.
    pub param: Option<String>,
}

impl Fault {
    pub fn new(status: StatusCode, code: &'static str, message: impl Display) -> Self {
        Fault { status, code, message: message.to_string(), param: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// A field of the request is wrong.
    pub fn field(param: impl Display, message: impl Display) -> Self {
        Fault { param: Some(param.to_string()), ..Self::invalid(format!("{param}: {message}")) }
    }

    /// There is no such thing.
    pub fn missing(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// There is too much to do at the moment.
    pub fn busy(message: impl Display) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
    }

    /// The server failed, not the request.
    pub fn internal(message: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    /// Returns the fault as an answer.
    pub fn into_answer(self) -> Answer {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let Fault { status, code, message, param } = self;
        let error = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
        let answer = Answer { status, ..Answer::json(&error) };
        match status {
            StatusCode::UNAUTHORIZED => answer.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                answer.with(RETRY_AFTER, RETRY_SECONDS.into())
            }
            _ => answer,
        }
    }
}
