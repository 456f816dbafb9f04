//! Who this function is, as AWS's platforms tell it: keys in the environment (Lambda), or an address that hands them out
//! (Lambda with SnapStart and on managed instances, ECS, EKS)
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokio::sync::Mutex;
use xcloud_core::text::parse_rfc3339;
use xcloud_core::{Error, ErrorKind, Result};
use xcloud_serve::client::Reply;

use super::sigv4::Identity;
use crate::https::Peer;
use crate::origin::Origin;

/// How the environment is read.
pub(crate) type Environment = fn(&str) -> Option<String>;

/// Credentials are replaced this long before they end.
const EARLY: Duration = Duration::from_secs(300);
/// Plain text to another machine is allowed to these only: ECS, and the agent on EKS.
const HANDED_OUT_BY: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// A text that is in no output.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
    /// RFC 3339; without it they do not end.
    expiration: Option<String>,
}

impl Credentials {
    /// As the signer takes them.
    pub(crate) fn identity(&self) -> Identity<'_> {
        let token = self.token.as_ref().map(|token| token.0.as_str());
        Identity { key: &self.access_key_id, secret: &self.secret_access_key.0, token }
    }

    /// Whether they end within this time.
    fn end_within(&self, time: Duration) -> bool {
        let end = self.expiration.as_deref().and_then(parse_rfc3339);
        end.is_some_and(|end| end <= SystemTime::now() + time)
    }
}

/// Where credentials come from; those that were handed out are kept until they end.
pub(crate) struct Source {
    environment: Environment,
    kept: Mutex<Option<Arc<Credentials>>>,
}

impl Source {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, kept: Mutex::const_new(None) }
    }

    fn var(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// The credentials to sign with.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: there are none here; [`ErrorKind::Unavailable`]: what hands them out does not.
    pub(crate) async fn get(&self, until: Instant) -> Result<Arc<Credentials>> {
        if let Some(credentials) = self.in_environment() {
            return check(credentials);
        }
        // Held while they are asked for: one call asks, the others wait for what it gets.
        let mut kept = self.kept.lock().await;
        if let Some(credentials) = kept.as_ref().filter(|kept| !kept.end_within(EARLY)) {
            return Ok(Arc::clone(credentials));
        }
        match self.handed_out(until).await {
            Ok(credentials) => Ok(Arc::clone(kept.insert(check(credentials)?))),
            // They were asked for early.
            Err(error) => match kept.as_ref().filter(|kept| !kept.end_within(Duration::ZERO)) {
                Some(credentials) => Ok(Arc::clone(credentials)),
                None => Err(error),
            },
        }
    }

    /// Forgets what was handed out, and says whether others may be had: a service did not take them.
    pub(crate) async fn forget(&self) -> bool {
        self.kept.lock().await.take().is_some()
    }

    fn in_environment(&self) -> Option<Credentials> {
        Some(Credentials {
            access_key_id: self.var("AWS_ACCESS_KEY_ID")?,
            secret_access_key: Secret(self.var("AWS_SECRET_ACCESS_KEY")?),
            token: self.var("AWS_SESSION_TOKEN").map(Secret),
            expiration: None,
        })
    }

    async fn handed_out(&self, until: Instant) -> Result<Credentials> {
        let (origin, path) = self.address()?;
        let peer = Peer::at(origin);
        let mut head =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\n", peer.host());
        if let Some(token) = self.authorization()? {
            head.extend(["authorization: ", &token, "\r\n"]);
        }
        head.push_str("\r\n");
        let reply = peer.ask("AWS credentials", head.as_bytes(), b"", until).await?;
        read(&reply)
    }

    /// What hands credentials out.
    fn address(&self) -> Result<(Origin, String)> {
        let url = match (
            self.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            self.var("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ) {
            (Some(path), _) => format!("http://{}{path}", HANDED_OUT_BY[0]),
            (None, Some(url)) => url,
            (None, None) => {
                return Err(config(
                    "no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
                ));
            }
        };
        match Origin::parse(&url) {
            Some((origin, path)) if trusted(&origin) => Ok((origin, path.to_owned())),
            Some((origin, _)) => {
                let message = format!("AWS credentials are not asked for in plain text at {}", origin.host);
                Err(config(message))
            }
            None => Err(config("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL")),
        }
    }

    /// Read for each request: the file's content is replaced from time to time.
    fn authorization(&self) -> Result<Option<String>> {
        let token = match self.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(std::fs::read_to_string(&file).map_err(|e| {
                config(format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={file}: {e}")).caused_by(e)
            })?),
            None => self.var("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let token = token.map(|token| token.trim_end().to_owned());
        if token.as_deref().is_some_and(breaks) {
            return Err(config("the token for AWS credentials has a line break in it"));
        }
        Ok(token)
    }
}

fn trusted(origin: &Origin) -> bool {
    origin.secure || origin.is_loopback() || HANDED_OUT_BY.contains(&origin.name.as_str())
}

/// Credentials that can stand in a header.
fn check(credentials: Credentials) -> Result<Arc<Credentials>> {
    let Identity { key, token, .. } = credentials.identity();
    if breaks(key) || token.is_some_and(breaks) {
        return Err(config("the AWS access key or its session token has a line break in it"));
    }
    Ok(Arc::new(credentials))
}

fn breaks(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_control())
}

fn read(reply: &Reply) -> Result<Credentials> {
    let value: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if reply.status != 200 {
        let why = [text("Code"), text("Message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        return Err(Error::unavailable(format!(
            "AWS credentials were not handed out: {} {why}",
            reply.status
        )));
    }
    // Nothing of it is quoted: some of it may be a secret.
    let other = || Error::unavailable("what hands out AWS credentials gave something else");
    Ok(Credentials {
        access_key_id: text("AccessKeyId").ok_or_else(other)?,
        secret_access_key: text("SecretAccessKey").map(Secret).ok_or_else(other)?,
        token: text("Token").map(Secret),
        expiration: text("Expiration"),
    })
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests;
