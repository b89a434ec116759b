//! The table of routes: which function answers what.

use super::call::Call;
use super::reply::{Answer, Fault};
use super::{duplicates, embeddings, map, page, pictures, rank, reindex, search, status, vectorize};
use hyper::Method;
use std::pin::Pin;

/// An answer that is being made.
pub(super) type Pending = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;

/// A path and what answers it.
pub(super) struct Route {
    pub method: Method,
    /// The path, at whose end `{id}` may stand for any part without a slash.
    pub path: &'static str,
    /// Whether no token is needed.
    pub is_open: bool,
    pub handler: fn(Call) -> Pending,
}

/// Writes a row of the table.
macro_rules! route {
    ($method:ident $path:literal $handler:path) => {
        Route { method: Method::$method, path: $path, is_open: false, handler: |call| Box::pin($handler(call)) }
    };
    (open $method:ident $path:literal $handler:path) => {
        Route { is_open: true, ..route!($method $path $handler) }
    };
}

/// All routes. `openapi.json` describes them, and a test holds both against each other.
pub(super) const ROUTES: &[Route] = &[
    route!(open GET "/" page::file),
    route!(open GET "/page/{id}" page::file),
    route!(open GET "/health" status::health),
    route!(open GET "/.well-known/live" status::ready),
    route!(open GET "/.well-known/ready" status::ready),
    route!(GET "/metrics" status::metrics),
    route!(GET "/meta" status::meta),
    route!(GET "/openapi.json" status::openapi),
    route!(GET "/v1/models" status::models),
    route!(POST "/v1/embeddings" embeddings::embeddings),
    route!(POST "/vectorize" vectorize::vectorize),
    route!(POST "/rank" rank::rank),
    route!(POST "/classify" rank::classify),
    route!(GET "/search" search::by_query),
    route!(POST "/search" search::by_body),
    route!(GET "/map" map::map),
    route!(GET "/duplicates" duplicates::duplicates),
    route!(GET "/item/{id}" pictures::item),
    route!(GET "/thumb/{id}" pictures::thumb),
    route!(GET "/picture/{id}" pictures::picture),
    route!(GET "/reindex" reindex::state),
    route!(POST "/reindex" reindex::begin),
];

/// What there is at a path.
pub(super) enum Found {
    Route(&'static Route, String),
    /// Only other methods are there.
    Methods(Vec<Method>),
    Nothing,
}

/// Finds the route of a request. HEAD is GET without the body.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let here: Vec<(&Route, &str)> =
        ROUTES.iter().filter_map(|route| Some((route, matched(route.path, path)?))).collect();
    match here.iter().find(|(route, _)| route.method == *method) {
        Some((route, id)) => Found::Route(route, (*id).to_owned()),
        None if here.is_empty() => Found::Nothing,
        None => Found::Methods(here.iter().map(|(route, _)| route.method.clone()).collect()),
    }
}

/// Returns what stands for `{id}`, if a path matches.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    match pattern.strip_suffix("{id}") {
        Some(start) => path.strip_prefix(start).filter(|id| !id.is_empty() && !id.contains('/')),
        None => (pattern == path).then_some(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_routes() {
        let found = |method: Method, path: &str| match find(&method, path) {
            Found::Route(route, id) => format!("{} {id}", route.path),
            Found::Methods(methods) => format!("{methods:?}"),
            Found::Nothing => "nothing".into(),
        };
        assert_eq!(found(Method::HEAD, "/health"), "/health ");
        assert_eq!(found(Method::GET, "/thumb/0-1-2"), "/thumb/{id} 0-1-2");
        assert_eq!(found(Method::POST, "/thumb/0-1-2"), "[GET]");
        assert_eq!(found(Method::PUT, "/search"), "[GET, POST]");
        for path in ["/thumb/", "/thumb", "/thumb/a/b", "/health/", "//health", "", "/v1", "/Health", "/page/"] {
            assert_eq!(found(Method::GET, path), "nothing", "{path}");
        }
    }
}
