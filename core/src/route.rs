//! Method and path to handler: the in-process router of the `http` function.

use http::{Method, header};

use crate::error::{Error, ErrorKind, Result};
use crate::event::Params;
use crate::text::percent_decode;

/// One route of an app.
#[derive(Debug)]
struct Route {
    method: Option<&'static str>,
    path: &'static str,
    segments: Vec<Segment>,
    target: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    // The order is the precedence: a literal beats a parameter, a parameter beats the rest.
    Literal(&'static str),
    Param(&'static str),
    Rest(&'static str),
}

/// All routes, the most specific first.
#[derive(Debug, Default)]
pub(crate) struct Router {
    routes: Vec<Route>,
}

/// What a request's method and path lead to.
pub(crate) enum Found {
    Handler(usize, Params),
    /// The path exists for these methods only.
    WrongMethod(String),
    Nothing,
}

impl Router {
    /// Adds a route.
    ///
    /// # Errors
    /// When a route of the same method and shape is there already.
    pub(crate) fn add(
        &mut self,
        method: Option<&'static str>,
        path: &'static str,
        target: usize,
    ) -> Result<()> {
        let segments: Vec<_> = path.split('/').skip(1).map(segment).collect();
        let same = |r: &&Route| {
            r.method == method
                && r.segments.len() == segments.len()
                && r.segments.iter().zip(&segments).all(|(a, b)| match (a, b) {
                    (Segment::Literal(a), Segment::Literal(b)) => a == b,
                    (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
                })
        };
        if let Some(other) = self.routes.iter().find(same) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "two handlers answer {} {path} (the other one says {})",
                    method.unwrap_or("any method"),
                    other.path
                ),
            ));
        }
        let before = |route: &Route| {
            let methods = || route.method.is_none().cmp(&method.is_none());
            route.segments.cmp(&segments).then_with(methods).is_le()
        };
        // Where it belongs: a sort would be 9 kB of every binary.
        let at = self.routes.partition_point(before);
        self.routes.insert(at, Route { method, path, segments, target });
        Ok(())
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Found {
        let mut allowed: Vec<&str> = Vec::new();
        let mut head = None;
        for route in &self.routes {
            let Some(params) = matches(&route.segments, path) else { continue };
            match route.method {
                None => return Found::Handler(route.target, params),
                Some(m) if m == method.as_str() => return Found::Handler(route.target, params),
                // RFC 9110 §9.3.2: HEAD is GET without the body, which the server takes off.
                Some("GET") if method == Method::HEAD && head.is_none() => {
                    head = Some((route.target, params))
                }
                Some(m) if !allowed.contains(&m) => allowed.push(m),
                Some(_) => {}
            }
        }
        match head {
            Some((target, params)) => Found::Handler(target, params),
            None if allowed.is_empty() => Found::Nothing,
            None => Found::WrongMethod(allowed.join(", ")),
        }
    }
}

fn segment(text: &'static str) -> Segment {
    match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        Some(name) => match name.strip_prefix('*') {
            Some(rest) => Segment::Rest(rest),
            None => Segment::Param(name),
        },
        None => Segment::Literal(text),
    }
}

fn matches(segments: &[Segment], path: &str) -> Option<Params> {
    let mut params = Params::default();
    let mut rest = Some(path.strip_prefix('/')?);
    for segment in segments {
        let (part, tail) = match rest?.split_once('/') {
            Some((part, tail)) => (part, Some(tail)),
            None => (rest?, None),
        };
        match segment {
            Segment::Literal(text) => {
                if part != *text && *percent_decode(part) != *text.as_bytes() {
                    return None;
                }
            }
            Segment::Param(name) => {
                if part.is_empty() {
                    return None;
                }
                params.0.push((name, String::from_utf8(percent_decode(part).into_owned()).ok()?));
            }
            Segment::Rest(name) => {
                params.0.push((name, String::from_utf8(percent_decode(rest?).into_owned()).ok()?));
                return Some(params);
            }
        }
        rest = tail;
    }
    rest.is_none().then_some(params)
}

/// The answer when no handler fits.
pub(crate) fn not_found(path: &str) -> Error {
    Error::not_found(format!("no route for {path}"))
}

/// The answer when the path exists for other methods, with the `allow` header that HTTP asks for.
pub(crate) fn wrong_method(method: &Method, path: &str, allowed: &str) -> crate::Response {
    let error =
        Error::new(ErrorKind::MethodNotAllowed, format!("{path} does not take {method}; it takes {allowed}"));
    let mut response = crate::outcome::error_response(&error);
    if let Ok(value) = allowed.parse() {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(router: &Router, method: Method, path: &str) -> String {
        match router.find(&method, path) {
            Found::Handler(i, params) => format!("{i} {:?}", params.iter().collect::<Vec<_>>()),
            Found::WrongMethod(allow) => format!("allow {allow}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order_of_registration() {
        let mut router = Router::default();
        router.add(Some("GET"), "/{*rest}", 0).unwrap();
        router.add(Some("GET"), "/orders/{id}", 1).unwrap();
        router.add(Some("GET"), "/orders/new", 2).unwrap();
        router.add(Some("POST"), "/orders", 3).unwrap();
        router.add(Some("GET"), "/", 4).unwrap();
        assert_eq!(find(&router, Method::GET, "/orders/new"), "2 []");
        assert_eq!(find(&router, Method::GET, "/orders/a%2Fb%20c"), r#"1 [("id", "a/b c")]"#);
        assert_eq!(find(&router, Method::GET, "/x/y"), r#"0 [("rest", "x/y")]"#);
        assert_eq!(find(&router, Method::POST, "/orders"), "3 []");
        assert_eq!(find(&router, Method::HEAD, "/orders/new"), "2 []");
        assert_eq!(find(&router, Method::PUT, "/orders/1"), "allow GET");
        assert_eq!(find(&router, Method::GET, "/"), "4 []");
        assert_eq!(find(&router, Method::GET, "/orders/%ff"), "nothing");
        assert_eq!(find(&router, Method::POST, "/orders/"), "allow GET");
    }

    #[test]
    fn two_routes_of_one_shape_are_refused() {
        let mut router = Router::default();
        router.add(Some("GET"), "/a/{x}", 0).unwrap();
        let error = router.add(Some("GET"), "/a/{y}", 1).unwrap_err();
        assert!(error.message().contains("/a/{x}"), "{error}");
    }
}
