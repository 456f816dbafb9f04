//! HTTP requests of API Gateway, function URLs and load balancers.

use std::borrow::Cow;
use std::io::Write;

use ::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use bytes::Bytes;
use xcloud_core::Result;
use xcloud_core::text::{base64_decode, percent_encode};

use super::json::{Body, Fault, Reader, Text};
use super::queue::{self, Records};
use super::{Origin, Scratch, bad};

/// Room for the headers that an API Gateway usually sends.
const HEADERS: usize = 24;

/// What any payload may hold of a request, as it stands there; `null` and absent are the same.
#[derive(Default)]
pub(super) struct Wire<'a> {
    version: Option<Text<'a>>,
    raw_path: Option<Text<'a>>,
    raw_query_string: Option<Text<'a>>,
    cookies: Option<&'a [u8]>,
    headers: Option<HeaderMap>,
    multi_value_headers: Option<HeaderMap>,
    query_string_parameters: Option<&'a [u8]>,
    multi_value_query_string_parameters: Option<&'a [u8]>,
    path: Option<Text<'a>>,
    http_method: Option<Text<'a>>,
    resource: Option<&'a [u8]>,
    /// Only questions to an authorizer have one of these two.
    route_arn: Option<&'a [u8]>,
    method_arn: Option<&'a [u8]>,
    /// Whether there is a request context, and what of it tells where the request came from.
    context: Option<Context<'a>>,
    body: Option<Result<Body<'a>, Fault>>,
    is_base64_encoded: Option<bool>,
    pub(super) records: Option<Records<'a>>,
}

#[derive(Default)]
struct Context<'a> {
    method: Option<Text<'a>>,
    elb: Option<&'a [u8]>,
}

impl<'a> Wire<'a> {
    /// Reads a whole payload, which is UTF-8; headers are parts of it where they stand in it as they are meant.
    ///
    /// # Errors
    /// It is not JSON, not an object, or a field of a request is of another type or there twice.
    pub(super) fn read(payload: &'a Bytes, scratch: &mut Scratch) -> Result<Self, Fault> {
        let mut wire = Self::default();
        let mut reader = Reader::new(payload);
        reader.object(|reader, name| {
            if reader.null()? { Ok(()) } else { wire.field(reader, &name.read()?, payload, scratch) }
        })?;
        reader.end()?;
        Ok(wire)
    }

    #[inline(always)]
    fn field(
        &mut self,
        reader: &mut Reader<'a>,
        name: &[u8],
        payload: &Bytes,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        match name {
            b"version" => once(&mut self.version, reader, Reader::text),
            b"rawPath" => once(&mut self.raw_path, reader, Reader::text),
            b"rawQueryString" => once(&mut self.raw_query_string, reader, Reader::text),
            b"cookies" => once(&mut self.cookies, reader, Reader::slice),
            b"headers" => once(&mut self.headers, reader, |reader| headers(reader, payload, scratch)),
            b"multiValueHeaders" => {
                once(&mut self.multi_value_headers, reader, |reader| headers(reader, payload, scratch))
            }
            b"queryStringParameters" => once(&mut self.query_string_parameters, reader, Reader::slice),
            b"multiValueQueryStringParameters" => {
                once(&mut self.multi_value_query_string_parameters, reader, Reader::slice)
            }
            b"path" => once(&mut self.path, reader, Reader::text),
            b"httpMethod" => once(&mut self.http_method, reader, Reader::text),
            b"resource" => once(&mut self.resource, reader, Reader::slice),
            b"routeArn" => once(&mut self.route_arn, reader, Reader::slice),
            b"methodArn" => once(&mut self.method_arn, reader, Reader::slice),
            b"requestContext" => once(&mut self.context, reader, Context::read),
            b"body" => once(&mut self.body, reader, |reader| reader.body(&mut scratch.bodies)),
            b"isBase64Encoded" => once(&mut self.is_base64_encoded, reader, Reader::boolean),
            b"Records" => once(&mut self.records, reader, queue::records),
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
        let second = self.version.is_some_and(|version| version.raw == b"2.0");
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

    /// The request. `payload` is what `self` was read from.
    pub(super) fn request(mut self, origin: Origin, payload: &Bytes) -> Result<Request<Bytes>> {
        let mut request = Request::new(self.body(payload)?);
        let method = self.context.as_ref().and_then(|c| c.method).or(self.http_method).unwrap_or(Text::EMPTY);
        *request.method_mut() = Method::from_bytes(&method.read()?).map_err(no_request)?;
        *request.uri_mut() = Uri::from_maybe_shared(self.target(origin)?).map_err(no_request)?;
        let mut headers = self.multi_value_headers.or(self.headers).unwrap_or_default();
        if let Some(value) = self.cookies.map(|list| cookies(list, payload)).transpose()?.flatten() {
            // Some emulators send them among the headers too.
            headers.insert(header::COOKIE, value);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn target(&self, origin: Origin) -> Result<Bytes> {
        let path = self.raw_path.or(self.path).unwrap_or(Text::EMPTY).read()?;
        let path = allowed(if path.is_empty() { b"/" } else { &path }, b"?#");
        let pairs = self.multi_value_query_string_parameters.or(self.query_string_parameters);
        let raw = self.raw_query_string.unwrap_or(Text::EMPTY).read()?;
        let query = match origin {
            Origin::V2 => allowed(&raw, b"#"),
            // These are decoded by the gateway, those of a load balancer are not.
            Origin::V1 => query(pairs, |text| Ok(percent_encode(&text.string()?).into_bytes()))?.into(),
            Origin::Alb { .. } => query(pairs, |text| Ok(allowed(&text.read()?, b"#&").into_owned()))?.into(),
        };
        if query.is_empty() {
            return Ok(path.into_owned().into());
        }
        Ok([&*path, b"?", &*query].concat().into())
    }

    /// The body as it was sent.
    fn body(&mut self, payload: &Bytes) -> Result<Bytes> {
        let body = match self.body.take().transpose()? {
            None => Bytes::new(),
            Some(Body::Plain(bytes)) => payload.slice_ref(bytes),
            Some(Body::Written(bytes)) => bytes,
        };
        if !self.is_base64_encoded.unwrap_or(false) {
            return Ok(body);
        }
        let bytes = base64_decode(&body);
        bytes
            .map(Bytes::from)
            .ok_or_else(|| bad("isBase64Encoded is set and the body is not base64".to_owned()))
    }
}

fn headers(reader: &mut Reader<'_>, payload: &Bytes, scratch: &mut Scratch) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    let mut at = 0;
    pairs(reader, |name, value| {
        // A front lets nothing else through; what cannot be a header is none.
        if let Some(value) = header_value(value, payload)?
            && let Some(name) = scratch.name(at, &name.read()?)
        {
            headers.append(name, value);
        }
        at += 1;
        Ok(())
    })?;
    Ok(headers)
}

impl<'a> Context<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut context = Self::default();
        reader.object(|reader, name| match &*name.read()? {
            _ if reader.null()? => Ok(()),
            b"http" => reader.object(|reader, name| match &*name.read()? {
                b"method" => once(&mut context.method, reader, Reader::text),
                _ => reader.skip(),
            }),
            b"elb" => once(&mut context.elb, reader, Reader::slice),
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

/// Names and values in order; a value may be a text, a list of texts, or `null`, which is none.
fn pairs<'a>(
    reader: &mut Reader<'a>,
    mut pair: impl FnMut(Text<'a>, Text<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    reader.object(|reader, name| match reader.peek() {
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
        HeaderValue::from_bytes(&text.read()?).ok()
    } else {
        HeaderValue::from_maybe_shared(payload.slice_ref(text.raw)).ok()
    })
}

fn cookies(list: &[u8], payload: &Bytes) -> Result<Option<HeaderValue>, Fault> {
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
            Ok(HeaderValue::from_bytes(&many.join(&b"; "[..])).ok())
        }
    }
}

fn query(list: Option<&[u8]>, write: impl Fn(Text<'_>) -> Result<Vec<u8>, Fault>) -> Result<Vec<u8>, Fault> {
    let mut query = Vec::new();
    if let Some(list) = list {
        pairs(&mut Reader::new(list), |name, value| {
            query.extend_from_slice(if query.is_empty() { b"" } else { b"&" });
            query.extend(write(name)?);
            query.push(b'=');
            query.extend(write(value)?);
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
fn allowed<'t>(text: &'t [u8], forbidden: &[u8]) -> Cow<'t, [u8]> {
    let fine = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
            && !forbidden.contains(&byte)
    };
    if text.iter().all(|&byte| fine(byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for &byte in text {
        if fine(byte) {
            out.push(byte);
        } else {
            // Writing to a buffer cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Cow::Owned(out)
}
