//! The way from a request to its answer: who asks, what for, and what every answer says besides.

use super::body;
use super::call::Call;
use super::guard::HEADERS;
use super::reply::{Answer, Body, Fault};
use super::routes::{Found, Pending, Route, find};
use super::server::Server;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    HeaderMap, HeaderName, HeaderValue, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// What requests without a route are counted as.
const NO_ROUTE: &str = "none";

/// Answers a request, whatever happens.
pub(super) async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let started = Instant::now();
    let (route, outcome) = match find(&parts.method, parts.uri.path()) {
        Found::Route(route, id) => (route.path, handled(&server, route, id, &parts, body).await),
        Found::Methods(methods) => (NO_ROUTE, others(&server, &parts, &methods)),
        Found::Nothing => (NO_ROUTE, nothing(&server, &parts)),
    };
    let answer = outcome.unwrap_or_else(Fault::into_answer);
    server.metrics.answered(route, answer.status.as_u16(), started.elapsed());
    Ok(dressed(&server, &parts.headers, answer))
}

async fn handled(
    server: &Arc<Server>,
    route: &'static Route,
    id: String,
    parts: &Parts,
    body: Incoming,
) -> Result<Answer, Fault> {
    server.guard.check(&parts.method, &parts.headers, route.is_open)?;
    let body = if route.method == Method::POST { body::read(server, body).await? } else { body::Read::default() };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    guarded((route.handler)(Call { server: Arc::clone(server), id, query, body })).await
}

/// Makes a fault of a panic, which ends this request alone.
async fn guarded(mut pending: Pending) -> Result<Answer, Fault> {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| pending.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(Err(Fault::internal("the server failed at this request, and goes on"))))
    })
    .await
}

/// Answers a method that the path does not have. Browsers ask by OPTIONS whether a page of another site may ask.
fn others(server: &Server, parts: &Parts, methods: &[Method]) -> Result<Answer, Fault> {
    server.guard.check(&parts.method, &parts.headers, parts.method == Method::OPTIONS)?;
    let names = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let names = HeaderValue::from_str(&names).expect("names of methods");
    if parts.method == Method::OPTIONS {
        let answer = Answer::empty(StatusCode::NO_CONTENT).with(ALLOW, names.clone());
        return Ok(match server.guard.allowed(&parts.headers) {
            Some(_) => answer
                .with(ACCESS_CONTROL_ALLOW_METHODS, names)
                .with(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type")),
            None => answer,
        });
    }
    let message = format!("{} is not a method of {}", parts.method, parts.uri.path());
    let fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
    Ok(fault.into_answer().with(ALLOW, names))
}

fn nothing(server: &Server, parts: &Parts) -> Result<Answer, Fault> {
    server.guard.check(&parts.method, &parts.headers, false)?;
    Err(Fault::missing(format!("nothing is at {}; /openapi.json says what there is", parts.uri.path())))
}

/// Adds what every answer says.
fn dressed(server: &Server, asked: &HeaderMap, answer: Answer) -> Response<Body> {
    let mut response = answer.into_response();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(origin) = server.guard.allowed(asked) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers
            .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    #[test]
    fn a_panic_is_a_fault_of_one_request() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let fault = |pending: Pending| runtime.block_on(guarded(pending)).err().unwrap().status;
        assert_eq!(fault(Box::pin(async { panic!("as planned") })), StatusCode::INTERNAL_SERVER_ERROR);
        let later = async {
            tokio::task::yield_now().await;
            panic!("as planned")
        };
        assert_eq!(fault(Box::pin(later)), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(runtime.block_on(guarded(Box::pin(async { Ok(Answer::empty(StatusCode::OK)) }))).is_ok());
    }
}
