//! CORS, answered in process and so the same on every platform (Fetch standard, "CORS protocol",
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>). It tells browsers who may read answers; it keeps nobody from
//! sending requests.

use std::fmt;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};

use crate::body::Body;
use crate::error::{Error, ErrorKind, Result};
use crate::outcome::{Response, error_response};

/// What `[functions.http] cors` says; the deployer hands it over in [`crate::env::CORS`], as it is displayed:
/// `origins=https://a.example;methods=GET,PUT;credentials=true;max_age=600`. Not JSON: every function carries the
/// reader, and this one is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Who may read answers: `https://app.example`, or `*` alone for everyone.
    pub origins: Vec<String>,
    /// Methods beside the ones that browsers always send.
    pub methods: Vec<String>,
    /// Request headers that scripts may set; `*` for any.
    pub headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose: Vec<String>,
    /// Whether cookies and other credentials may be sent.
    pub credentials: bool,
    /// How long a browser may keep a preflight's answer, in seconds.
    pub max_age: u32,
}

impl Default for Cors {
    fn default() -> Self {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Self {
            origins: Vec::new(),
            methods: list(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
            headers: list(&["authorization", "content-type"]),
            expose: Vec::new(),
            credentials: false,
            max_age: 600,
        }
    }
}

const ANY: &str = "*";

impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("origins", &self.origins),
            ("methods", &self.methods),
            ("headers", &self.headers),
            ("expose", &self.expose),
        ];
        for (key, list) in lists {
            write!(f, "{key}={};", list.join(","))?;
        }
        write!(f, "credentials={};max_age={}", self.credentials, self.max_age)
    }
}

impl Cors {
    /// Reads what the deployer has set, which [`Cors::check`] has seen. Whoever is not named may not read.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Config, format!("{}: {what}", crate::env::CORS));
        let mut cors = Self::default();
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let list = || value.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
            match key {
                "origins" => cors.origins = list(),
                "methods" => cors.methods = list(),
                "headers" => cors.headers = list(),
                "expose" => cors.expose = list(),
                "credentials" => cors.credentials = value == "true",
                "max_age" => cors.max_age = value.parse().map_err(|_| wrong("`max_age` is no number"))?,
                _ => return Err(wrong(&format!("unknown key `{key}`"))),
            }
        }
        if cors.origins.is_empty() { Err(wrong("`origins` is missing")) } else { Ok(cors) }
    }

    /// Whether browsers would take it.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        if self.origins.is_empty() {
            return Err("`origins` is missing: who may read answers, or `*`".to_owned());
        }
        if let Some(origin) = self.origins.iter().find(|origin| !is_origin(origin)) {
            return Err(format!(
                "`{origin}` is no origin: write `https://host`, without a path, or `*` alone"
            ));
        }
        let any = |list: &[String]| list.iter().any(|item| item == ANY);
        if any(&self.origins) && self.origins.len() > 1 {
            return Err("`*` stands alone in `origins`: it is everyone".to_owned());
        }
        if self.credentials && any(&self.origins) {
            return Err("browsers refuse `credentials` for everyone: name the origins".to_owned());
        }
        let is_method =
            |text: &String| Method::from_bytes(text.as_bytes()).is_ok() && *text == text.to_uppercase();
        if let Some(method) = self.methods.iter().find(|method| !is_method(method)) {
            return Err(format!("`{method}` is no method in capitals"));
        }
        let names = self.headers.iter().chain(&self.expose);
        if let Some(name) =
            names.filter(|name| *name != ANY).find(|name| HeaderName::try_from(*name).is_err())
        {
            return Err(format!("`{name}` is no header's name"));
        }
        Ok(())
    }

    fn for_everyone(&self) -> bool {
        self.origins.iter().any(|origin| origin == ANY)
    }

    /// The request's origin, if it may read the answer.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.for_everyone() {
            return Some(HeaderValue::from_static(ANY));
        }
        self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// The answer to a preflight; `None` for every other request.
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<Response> {
        let headers = request.headers();
        let asks = headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !asks {
            return None;
        }
        let Some(origin) = self.allowed(headers) else {
            let message = "this origin is not among the function's `cors.origins`";
            let mut response = error_response(&Error::new(ErrorKind::Forbidden, message));
            self.vary(response.headers_mut());
            return Some(response);
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let out = response.headers_mut();
        self.grant(out, origin);
        let mut set = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                out.append(name, value);
            }
        };
        let mut names = list(&self.headers);
        if self.headers.iter().any(|name| name == ANY) {
            set(header::VARY, Some(HeaderValue::from_static("access-control-request-headers")));
            names = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        }
        set(header::ACCESS_CONTROL_ALLOW_METHODS, list(&self.methods));
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        set(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::try_from(self.max_age.to_string()).ok());
        Some(response)
    }

    /// Adds what a browser looks for to an answer; `origin` is what [`Cors::allowed`] gave. What the app has set itself
    /// stays.
    pub fn mark(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        match origin {
            Some(origin) => {
                self.grant(headers, origin);
                if let Some(names) = list(&self.expose) {
                    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
                }
            }
            None => self.vary(headers),
        }
    }

    fn grant(&self, headers: &mut HeaderMap, origin: HeaderValue) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        self.vary(headers);
    }

    /// A cache must not give one origin's answer to another.
    fn vary(&self, headers: &mut HeaderMap) {
        if !self.for_everyone() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }
}

/// `scheme://host[:port]` and nothing else (RFC 6454, section 6.2), or `*`.
fn is_origin(text: &str) -> bool {
    let host = text.split_once("://").map(|(scheme, host)| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        (!scheme.is_empty() && scheme.chars().all(plain)).then_some(host)
    });
    let is_host = |host: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
        !host.is_empty() && host.chars().all(known)
    };
    text == ANY || host.flatten().is_some_and(is_host)
}

/// Names in one header; none, no header.
fn list(names: &[String]) -> Option<HeaderValue> {
    if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        Cors { origins: origins.iter().map(|o| (*o).to_owned()).collect(), ..Cors::default() }
    }

    fn preflight(cors: &Cors, origin: &str, headers: Option<&str>) -> Option<Response> {
        let mut request = Request::options("/x").header("origin", origin);
        request = request.header("access-control-request-method", "PUT");
        if let Some(headers) = headers {
            request = request.header("access-control-request-headers", headers);
        }
        cors.preflight(&request.body(()).unwrap())
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|v| v.to_str().unwrap())
    }

    #[test]
    fn a_preflight_is_answered_for_who_may_and_refused_for_who_may_not() {
        let cors = Cors { credentials: true, ..cors(&["https://app.example", "http://localhost:3000"]) };
        cors.check().unwrap();
        let answer = preflight(&cors, "http://localhost:3000", Some("x-mine")).unwrap();
        assert_eq!(answer.status(), 204);
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("http://localhost:3000"));
        assert_eq!(header(&answer, "access-control-allow-credentials"), Some("true"));
        assert_eq!(header(&answer, "access-control-allow-headers"), Some("authorization, content-type"));
        assert_eq!(
            header(&answer, "access-control-allow-methods"),
            Some("GET, HEAD, POST, PUT, PATCH, DELETE")
        );
        assert_eq!(
            (header(&answer, "access-control-max-age"), header(&answer, "vary")),
            (Some("600"), Some("origin"))
        );
        let refused = preflight(&cors, "https://evil.example", None).unwrap();
        assert_eq!((refused.status().as_u16(), header(&refused, "access-control-allow-origin")), (403, None));
        // A prefix or another scheme is another origin.
        for other in ["https://app.example.evil", "http://app.example", "null", ""] {
            assert_eq!(preflight(&cors, other, None).unwrap().status(), 403, "{other}");
        }
    }

    #[test]
    fn everyone_and_any_header() {
        let cors = Cors { headers: vec!["*".to_owned()], ..cors(&["*"]) };
        cors.check().unwrap();
        let answer = preflight(&cors, "https://any.example", Some("x-a, x-b")).unwrap();
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
        assert_eq!(header(&answer, "access-control-allow-headers"), Some("x-a, x-b"));
        assert_eq!(header(&answer, "vary"), Some("access-control-request-headers"));
    }

    #[test]
    fn other_requests_are_no_preflights() {
        let cors = cors(&["*"]);
        let plain = Request::options("/").header("origin", "https://a.example").body(()).unwrap();
        assert!(cors.preflight(&plain).is_none());
        let get = Request::get("/").header("origin", "https://a.example");
        let get = get.header("access-control-request-method", "PUT").body(()).unwrap();
        assert!(cors.preflight(&get).is_none());
    }

    #[test]
    fn answers_are_marked_once() {
        let cors = Cors { expose: vec!["etag".to_owned()], ..cors(&["https://a.example"]) };
        let mut headers = HeaderMap::new();
        headers.insert("vary", HeaderValue::from_static("accept"));
        cors.mark(&mut headers, Some(HeaderValue::from_static("https://a.example")));
        assert_eq!(headers["access-control-expose-headers"], "etag");
        assert_eq!(headers.get_all("vary").iter().collect::<Vec<_>>(), ["accept", "origin"]);
        let mut own = HeaderMap::new();
        own.insert("access-control-allow-origin", HeaderValue::from_static("https://own.example"));
        cors.mark(&mut own, Some(HeaderValue::from_static("https://a.example")));
        assert_eq!(
            (own.len(), &own["access-control-allow-origin"]),
            (1, &HeaderValue::from_static("https://own.example"))
        );
        let mut none = HeaderMap::new();
        cors.mark(&mut none, None);
        assert_eq!((none.len(), &none["vary"]), (1, &HeaderValue::from_static("origin")));
    }

    #[test]
    fn what_browsers_refuse_is_refused() {
        let wrong = |cors: Cors, part: &str| {
            let why = cors.check().unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        wrong(cors(&[]), "`origins` is missing");
        for origin in [
            "a.example",
            "https://",
            "https://a.example/",
            "https://A.example",
            "https://a b",
            "null",
            "://a",
        ] {
            wrong(cors(&[origin]), &format!("`{origin}` is no origin"));
        }
        wrong(cors(&["*", "https://a.example"]), "stands alone");
        wrong(Cors { credentials: true, ..cors(&["*"]) }, "name the origins");
        wrong(Cors { methods: vec!["get".to_owned()], ..cors(&["*"]) }, "`get`");
        wrong(Cors { methods: vec!["A B".to_owned()], ..cors(&["*"]) }, "`A B`");
        wrong(Cors { headers: vec!["a b".to_owned()], ..cors(&["*"]) }, "`a b`");
    }

    #[test]
    fn what_is_displayed_is_read_back() {
        let every = Cors {
            methods: vec!["GET".to_owned()],
            headers: Vec::new(),
            expose: vec!["etag".to_owned(), "x-total".to_owned()],
            credentials: true,
            max_age: 0,
            ..cors(&["https://[::1]:8080", "https://a.example"])
        };
        for cors in [every, cors(&["*"])] {
            assert_eq!(Cors::parse(&cors.to_string()).unwrap(), cors);
        }
        for wrong in ["", "origins=", "methods=GET", "origins=*;max_age=x", "origins=*;what=1", "{}"] {
            assert_eq!(Cors::parse(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_setting_and_no_request_makes_it_panic(text in "(origins=|[*;,=a-z:/]|\\PC){0,40}", origin in "\\PC{0,20}") {
            let named = || Cors { origins: vec![text.clone()], methods: vec![text.clone()], ..Cors::default() };
            let cors = Cors::parse(&text).unwrap_or_else(|_| named());
            let Ok(value) = HeaderValue::try_from(origin) else { return Ok(()) };
            let mut request = Request::options("/").body(()).unwrap();
            request.headers_mut().insert("origin", value.clone());
            request.headers_mut().insert("access-control-request-method", value);
            let allowed = cors.allowed(request.headers());
            proptest::prop_assert!(cors.preflight(&request).is_some());
            cors.mark(request.headers_mut(), allowed);
        }
    }
}
