//! HTTP requests of API Gateway, function URLs and load balancers.

use std::borrow::Cow;
use std::fmt::Write;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use bytes::Bytes;
use xcloud_core::Result;
use xcloud_core::text::{base64_decode, percent_encode};

use super::json::{Fault, Reader, Text};
use super::{Bodies, Origin, bad};

/// Room for the headers that an API Gateway usually sends.
const HEADERS: usize = 24;

/// What any payload may hold of a request, as it stands there; `null` and absent are the same.
#[derive(Default)]
pub(super) struct Wire<'a> {
    version: Option<Text<'a>>,
    raw_path: Option<Text<'a>>,
    raw_query_string: Option<Text<'a>>,
    cookies: Option<&'a str>,
    headers: Option<&'a str>,
    multi_value_headers: Option<&'a str>,
    query_string_parameters: Option<&'a str>,
    multi_value_query_string_parameters: Option<&'a str>,
    path: Option<Text<'a>>,
    http_method: Option<Text<'a>>,
    resource: Option<&'a str>,
    /// Only questions to an authorizer have one of these two.
    route_arn: Option<&'a str>,
    method_arn: Option<&'a str>,
    /// Whether there is a request context, and what of it tells where the request came from.
    context: Option<Context<'a>>,
    body: Option<Text<'a>>,
    is_base64_encoded: Option<bool>,
    /// The list, when its first record is one of SQS.
    pub(super) records: Option<&'a str>,
}

#[derive(Default)]
struct Context<'a> {
    method: Option<Text<'a>>,
    elb: Option<&'a str>,
}

impl<'a> Wire<'a> {
    /// Reads a whole payload.
    ///
    /// # Errors
    /// It is not JSON, not an object, or a field of a request is of another type or there twice.
    pub(super) fn read(payload: &'a str) -> Result<Self, Fault> {
        let mut wire = Self::default();
        let mut reader = Reader::new(payload);
        reader
            .object(|reader, name| if reader.null()? { Ok(()) } else { wire.field(reader, &name.read()?) })?;
        reader.end()?;
        Ok(wire)
    }

    fn field(&mut self, reader: &mut Reader<'a>, name: &str) -> Result<(), Fault> {
        match name {
            "version" => once(&mut self.version, reader, Reader::text),
            "rawPath" => once(&mut self.raw_path, reader, Reader::text),
            "rawQueryString" => once(&mut self.raw_query_string, reader, Reader::text),
            "cookies" => once(&mut self.cookies, reader, Reader::slice),
            "headers" => once(&mut self.headers, reader, Reader::slice),
            "multiValueHeaders" => once(&mut self.multi_value_headers, reader, Reader::slice),
            "queryStringParameters" => once(&mut self.query_string_parameters, reader, Reader::slice),
            "multiValueQueryStringParameters" => {
                once(&mut self.multi_value_query_string_parameters, reader, Reader::slice)
            }
            "path" => once(&mut self.path, reader, Reader::text),
            "httpMethod" => once(&mut self.http_method, reader, Reader::text),
            "resource" => once(&mut self.resource, reader, Reader::slice),
            "routeArn" => once(&mut self.route_arn, reader, Reader::slice),
            "methodArn" => once(&mut self.method_arn, reader, Reader::slice),
            "requestContext" => once(&mut self.context, reader, Context::read),
            "body" => once(&mut self.body, reader, Reader::text),
            "isBase64Encoded" => once(&mut self.is_base64_encoded, reader, Reader::boolean),
            "Records" => {
                let list = reader.slice()?;
                self.records = is_sqs(list).then_some(list);
                Ok(())
            }
            _ => reader.skip(),
        }
    }

    /// Where it came from, if it is a request.
    pub(super) fn origin(&self) -> Option<Origin> {
        // It looks like the request that it asks about; answering it as one would let everybody in or nobody.
        if self.route_arn.is_some() || self.method_arn.is_some() {
            return None;
        }
        let context = self.context.as_ref()?;
        let second = self.version.is_some_and(|version| version.raw == "2.0");
        if context.method.is_some() && second && self.raw_path.is_some() {
            return Some(Origin::V2);
        }
        self.http_method.as_ref()?;
        self.path.as_ref()?;
        if context.elb.is_some() {
            return Some(Origin::Alb { multi: self.multi_value_headers.is_some() });
        }
        self.resource.is_some().then_some(Origin::V1)
    }

    /// The request. `payload` is what `self` was read from: what stands in it as it is meant is not copied.
    pub(super) fn request(
        &self,
        origin: Origin,
        payload: &Bytes,
        bodies: &mut Bodies,
    ) -> Result<Request<Bytes>> {
        let mut request = Request::new(self.body(payload, bodies)?);
        let method = self.context.as_ref().and_then(|c| c.method).or(self.http_method).unwrap_or(Text::EMPTY);
        *request.method_mut() = Method::from_bytes(method.read()?.as_bytes()).map_err(no_request)?;
        *request.uri_mut() = Uri::from_maybe_shared(self.target(origin)?).map_err(no_request)?;
        *request.headers_mut() = self.headers(payload)?;
        Ok(request)
    }

    fn target(&self, origin: Origin) -> Result<Bytes> {
        let path = self.raw_path.or(self.path).unwrap_or(Text::EMPTY).read()?;
        let path = allowed(if path.is_empty() { "/" } else { &path }, b"?#");
        let pairs = self.multi_value_query_string_parameters.or(self.query_string_parameters);
        let raw = self.raw_query_string.unwrap_or(Text::EMPTY).read()?;
        let query = match origin {
            Origin::V2 => allowed(&raw, b"#"),
            // These are decoded by the gateway, those of a load balancer are not.
            Origin::V1 => query(pairs, |text| percent_encode(text).into())?.into(),
            Origin::Alb { .. } => query(pairs, |text| allowed(text, b"#&"))?.into(),
        };
        if query.is_empty() {
            return Ok(path.into_owned().into());
        }
        let mut target = String::with_capacity(path.len() + 1 + query.len());
        target.extend([&*path, "?", &*query]);
        Ok(target.into())
    }

    fn headers(&self, payload: &Bytes) -> Result<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        // A front lets nothing else through; what cannot be a header is none.
        let mut add = |name: &[u8], value: HeaderValue| {
            if let Ok(name) = HeaderName::from_bytes(name) {
                headers.append(name, value);
            }
        };
        if let Some(list) = self.multi_value_headers.or(self.headers) {
            pairs(list, |name, value| {
                if let Some(value) = header_value(value, payload)? {
                    add(name.read()?.as_bytes(), value);
                }
                Ok(())
            })?;
        }
        if let Some(value) = self.cookies.map(|list| cookies(list, payload)).transpose()?.flatten() {
            add(header::COOKIE.as_str().as_bytes(), value);
        }
        Ok(headers)
    }

    /// The body as it was sent.
    fn body(&self, payload: &Bytes, bodies: &mut Bodies) -> Result<Bytes> {
        let text = self.body.unwrap_or(Text::EMPTY);
        if !self.is_base64_encoded.unwrap_or(false) {
            return Ok(bodies.body(text, payload)?);
        }
        let bytes = base64_decode(text.read()?.as_bytes());
        bytes
            .map(Bytes::from)
            .ok_or_else(|| bad("isBase64Encoded is set and the body is not base64".to_owned()))
    }
}

impl<'a> Context<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut context = Self::default();
        reader.object(|reader, name| match &*name.read()? {
            _ if reader.null()? => Ok(()),
            "http" => reader.object(|reader, name| match &*name.read()? {
                "method" => once(&mut context.method, reader, Reader::text),
                _ => reader.skip(),
            }),
            "elb" => once(&mut context.elb, reader, Reader::slice),
            _ => reader.skip(),
        })?;
        Ok(context)
    }
}

/// Reads a field that may be there once: of two, nobody knows which the sender meant.
fn once<'a, T>(
    field: &mut Option<T>,
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<(), Fault> {
    if field.is_some() {
        return reader.fault("a field is there twice");
    }
    *field = Some(read(reader)?);
    Ok(())
}

/// Whether the first of some records is one of SQS.
fn is_sqs(list: &str) -> bool {
    let (mut first, mut sqs) = (true, false);
    let read = Reader::new(list).list(|reader| {
        if !std::mem::take(&mut first) || reader.peek() != b'{' {
            return reader.skip();
        }
        reader.object(|reader, name| match name.raw {
            "eventSource" => {
                sqs = reader.slice()? == "\"aws:sqs\"";
                Ok(())
            }
            _ => reader.skip(),
        })
    });
    read.is_ok() && sqs
}

/// Names and values in order; a value may be a text, a list of texts, or `null`, which is none.
fn pairs<'a>(
    list: &'a str,
    mut pair: impl FnMut(Text<'a>, Text<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    Reader::new(list).object(|reader, name| match reader.peek() {
        b'n' => reader.skip(),
        b'[' => reader.list(|reader| pair(name, text(reader)?)),
        _ => pair(name, reader.text()?),
    })
}

/// A text; `null` is empty.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Text<'a>, Fault> {
    if reader.null()? { Ok(Text::EMPTY) } else { reader.text() }
}

/// The value of a header, a part of the payload where it stands there as it is meant; `None` when it cannot be one.
fn header_value(text: Text<'_>, payload: &Bytes) -> Result<Option<HeaderValue>, Fault> {
    Ok(if text.escaped {
        HeaderValue::from_str(&text.read()?).ok()
    } else {
        HeaderValue::from_maybe_shared(payload.slice_ref(text.raw.as_bytes())).ok()
    })
}

fn cookies(list: &str, payload: &Bytes) -> Result<Option<HeaderValue>, Fault> {
    let mut all = Vec::new();
    Reader::new(list).list(|reader| {
        all.push(text(reader)?);
        Ok(())
    })?;
    match all.as_slice() {
        [] => Ok(None),
        [one] => header_value(*one, payload),
        many => {
            let many = many.iter().map(|cookie| cookie.read()).collect::<Result<Vec<_>, _>>()?;
            Ok(HeaderValue::from_str(&many.join("; ")).ok())
        }
    }
}

fn query<'t>(list: Option<&str>, write: impl Fn(&str) -> Cow<'_, str>) -> Result<String> {
    let mut query = String::new();
    if let Some(list) = list {
        pairs(list, |name, value| {
            let and = if query.is_empty() { "" } else { "&" };
            query.extend([and, &write(&name.read()?), "=", &write(&value.read()?)]);
            Ok(())
        })?;
    }
    Ok(query)
}

fn no_request(error: impl std::fmt::Display) -> xcloud_core::Error {
    bad(format!("the payload is no request: {error}"))
}

/// Text as part of a request target: what a URI may not hold is percent-encoded, escapes stay as they are. Gateways
/// decode some paths and leave others.
fn allowed<'t>(text: &'t str, forbidden: &[u8]) -> Cow<'t, str> {
    let fine = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
            && !forbidden.contains(&byte)
    };
    if text.bytes().all(fine) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if fine(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Cow::Owned(out)
}
