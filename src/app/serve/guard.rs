//! Who may ask: the token, the name that the server was called by, the page that asks.

use super::reply::Fault;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, StatusCode};
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

/// Which site a browser says that a request comes from, and for what.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What every answer says: nothing of it may be run, framed, guessed or passed on by other sites.
pub(super) const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// What is asked of a request.
pub(in crate::app) struct Guard {
    token: Option<Vec<u8>>,
    /// The names that a loopback address may be called by; a page of another site may have made its own name lead here.
    hosts: Option<Vec<String>>,
    /// Other sites whose pages may ask.
    origins: Vec<String>,
}

impl Guard {
    /// Makes the guard of a server that listens at an address.
    pub fn new(address: SocketAddr, token: Option<String>, hosts: Vec<String>, origins: Vec<String>) -> Self {
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        let token = token.map(String::into_bytes);
        Guard { token, hosts: address.ip().is_loopback().then_some(hosts), origins }
    }

    /// Checks a request. `is_open` routes need no token.
    ///
    /// # Errors
    /// Returns a fault that says what is missing.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap, is_open: bool) -> Result<(), Fault> {
        let host = self.check_host(headers)?;
        self.check_site(method, headers, &host)?;
        if is_open || self.has_token(headers) {
            return Ok(());
        }
        let message = "a token is needed: Authorization: Bearer TOKEN, with what the file of --token-file holds";
        Err(Fault::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message))
    }

    /// Returns the origin to allow in the answer, if other sites' pages may ask.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<String, Fault> {
        let mut hosts = headers.get_all(HOST).iter();
        let (first, second) = (hosts.next(), hosts.next());
        let Some(host) = first.filter(|_| second.is_none()).and_then(|host| host.to_str().ok()) else {
            return Err(Fault::invalid("a request has one Host header"));
        };
        let host = host.to_ascii_lowercase();
        if self.hosts.as_ref().is_some_and(|known| !is_here(&host, known)) {
            let message = format!("this server is not called {host}; --host NAME allows a name");
            return Err(Fault::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message));
        }
        Ok(host)
    }

    /// Refuses what a browser sends for a page of another site, unless somebody follows a link.
    fn check_site(&self, method: &Method, headers: &HeaderMap, host: &str) -> Result<(), Fault> {
        if self.allowed(headers).is_some() {
            return Ok(());
        }
        let is = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|found| found == value);
        let is_link = is(&MODE, "navigate") && method == Method::GET;
        let is_foreign = match headers.get(ORIGIN) {
            Some(origin) => !origin.to_str().is_ok_and(|origin| authority(origin) == Some(host)),
            None => (is(&SITE, "cross-site") || is(&SITE, "same-site")) && !is_link,
        };
        if is_foreign {
            let message = "pages of other sites may not ask; --cors ORIGIN allows one";
            return Err(Fault::new(StatusCode::FORBIDDEN, "foreign_origin", message));
        }
        Ok(())
    }

    /// Whether no token is needed, or the request has it. The time that this takes does not tell how much is right.
    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let (scheme, given) = given.split_at(given.len().min("Bearer ".len()));
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(token))
    }
}

/// Returns host and port of an origin.
fn authority(origin: &str) -> Option<&str> {
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
}

/// Returns whether a Host header names this machine's own loopback, or one of the known names.
fn is_here(host: &str, known: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_loopback = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    name == "localhost" || is_loopback || known.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn guard(address: &str, token: Option<&str>) -> Guard {
        let known = vec!["Photos.local".into()];
        Guard::new(address.parse().unwrap(), token.map(String::from), known, vec!["https://my.site".into()])
    }

    fn status(guard: &Guard, pairs: &[(&'static str, &'static str)]) -> u16 {
        guard.check(&Method::GET, &headers(pairs), false).map_or_else(|fault| fault.status.as_u16(), |()| 200)
    }

    #[test]
    fn only_names_of_this_machine_are_served_on_loopback() {
        let guard = guard("127.0.0.1:80", None);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.8.7.6", "[::1]:80", "photos.local:80"] {
            assert_eq!(status(&guard, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "[fe80::1]", "10.0.0.1", "", "[::1", "127.0.0.1.x:80"] {
            assert_eq!(status(&guard, &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status(&guard, &[]), 400);
        assert_eq!(status(&self::guard("10.0.0.1:80", None), &[("host", "any.example")]), 200);
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let guard = guard("127.0.0.1:80", None);
        let host = ("host", "localhost:80");
        assert_eq!(status(&guard, &[host, ("origin", "http://localhost:80")]), 200);
        assert_eq!(status(&guard, &[host, ("origin", "https://my.site")]), 200);
        for origin in ["http://evil.example", "null", "http://localhost:81", "http://localhost"] {
            assert_eq!(status(&guard, &[host, ("origin", origin)]), 403, "{origin}");
        }
        assert_eq!(status(&guard, &[host, ("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(status(&guard, &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]), 200);
        assert_eq!(status(&guard, &[host, ("sec-fetch-site", "same-origin")]), 200);
    }

    #[test]
    fn the_token_is_all_of_it() {
        let guard = guard("10.0.0.1:80", Some("correct horse"));
        let ask = |value| status(&guard, &[("host", "a"), ("authorization", value)]);
        assert_eq!((ask("Bearer correct horse"), ask("bearer correct horse")), (200, 200));
        for wrong in ["", "Bearer", "Bearer ", "Bearer correct", "Bearer correct horses", "Basic correct horse"] {
            assert_eq!(ask(wrong), 401, "{wrong}");
        }
        assert!(guard.check(&Method::GET, &headers(&[("host", "a")]), true).is_ok());
    }
}
