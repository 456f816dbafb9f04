//! Signature Version 4 in the `Authorization` header
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).

use std::time::SystemTime;

use ring::{digest, hmac};
use xcloud_core::text::rfc3339;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The access key's id.
    pub key: &'a str,
    /// The secret access key.
    pub secret: &'a str,
    /// The session token of temporary credentials.
    pub token: Option<&'a str>,
}

impl std::fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path, percent-encoded as it is sent, without `.` and `..`.
    pub path: &'a str,
    /// The query, percent-encoded as it is sent, without its `?`.
    pub query: &'a str,
    /// The headers to sign, `host` among them; those that signing adds left out.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Whose signature a service takes: its region, and its name.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Such as `eu-west-1`.
    pub region: &'a str,
    /// Such as `sqs`.
    pub service: &'a str,
}

/// The headers to add to a request: `x-amz-date`, `x-amz-security-token` where there is a token, and `authorization`.
pub fn sign(
    request: &Request<'_>,
    identity: Identity<'_>,
    scope: Scope<'_>,
    time: SystemTime,
) -> Vec<(&'static str, String)> {
    let date: String =
        rfc3339(time).chars().take(19).filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect();
    let mut added = vec![("x-amz-date", date)];
    added.extend(identity.token.map(|token| ("x-amz-security-token", token.to_owned())));
    let names = request.headers.iter().copied();
    let all = names.chain(added.iter().map(|(name, value)| (*name, value.as_str())));
    let (signed, canonical) = canonical(request, all.collect());
    let (date, day) = (&added[0].1, &added[0].1[..8]);
    let scoped = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("{ALGORITHM}\n{date}\n{scoped}\n{}", sha256(canonical.as_bytes()));
    let mut key = format!("AWS4{}", identity.secret).into_bytes();
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, to_sign.as_bytes()));
    let credential = format!("{}/{scoped}", identity.key);
    let value = format!("{ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={signature}");
    added.push(("authorization", value));
    added
}

/// The names of the signed headers, and the request as both sides write it.
fn canonical(request: &Request<'_>, headers: Vec<(&str, &str)>) -> (String, String) {
    let mut sorted = Vec::<(String, String)>::new();
    for (name, value) in headers {
        let (name, value) = (name.to_ascii_lowercase(), folded(value));
        match sorted.iter_mut().find(|(known, _)| *known == name) {
            Some((_, first)) => first.extend([",", &value]),
            None => insert(&mut sorted, (name, value)),
        }
    }
    let lines: String = sorted.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names: Vec<_> = sorted.iter().map(|(name, _)| name.as_str()).collect();
    let signed = names.join(";");
    let (method, path, query) = (request.method, request.path, ordered(request.query));
    let text = format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{}", sha256(request.body));
    (signed, text)
}

/// A value without spaces around it, and with one where there are several.
fn folded(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A query's pairs in order, each with its `=`.
fn ordered(query: &str) -> String {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        insert(&mut pairs, pair.split_once('=').unwrap_or((pair, "")));
    }
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Into its place, after its equals: there are a handful, and a sort is 10 KB of a function for each type.
fn insert<T: Ord>(sorted: &mut Vec<T>, item: T) {
    let at = sorted.iter().position(|other| *other > item).unwrap_or(sorted.len());
    sorted.insert(at, item);
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
