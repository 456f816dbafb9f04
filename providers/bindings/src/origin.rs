//! Where a URL leads.

use std::net::IpAddr;

/// Scheme, host and port of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    /// A name or an address, an IPv6 one without brackets.
    pub(crate) name: String,
    pub(crate) port: u16,
    /// The value of `host`: with the port where it is not the scheme's.
    pub(crate) host: String,
}

impl Origin {
    /// The origin of an `http` or `https` URL, and its path from the slash on (`/` where it has none).
    pub(crate) fn parse(url: &str) -> Option<(Self, &str)> {
        let (secure, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://")?),
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let (name, port) = match host.strip_prefix('[') {
            Some(six) => {
                let (name, port) = six.split_once(']')?;
                name.parse::<std::net::Ipv6Addr>().ok()?;
                (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match host.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (host, None),
            },
        };
        let usual = if secure { 443 } else { 80 };
        let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0))?;
        let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        let plain = url.bytes().all(|b| b.is_ascii_graphic()) && !url.contains(['?', '#']);
        if name.is_empty() || !name.bytes().all(sound) || !plain {
            return None;
        }
        let origin = Self { secure, name: name.to_ascii_lowercase(), port, host: host.to_ascii_lowercase() };
        Some((origin, if path.is_empty() { "/" } else { path }))
    }

    /// Whether nobody between can read along: TLS, this machine, or a name without a dot, which is a neighbour's in a
    /// network of containers (an emulator) and never one of the internet.
    pub(crate) fn is_private(&self) -> bool {
        self.secure || self.is_loopback() || (!self.name.contains('.') && self.address().is_none())
    }

    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.name == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }

    /// The address, where it is one and not a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Option<(bool, String, u16, String, &str)> {
        let (o, path) = Origin::parse(url)?;
        Some((o.secure, o.name, o.port, o.host, path))
    }

    #[test]
    fn a_url_has_a_scheme_a_host_a_port_and_a_path() {
        let sqs = "https://sqs.eu-west-1.amazonaws.com/123456789012/shop-dev-order-placed";
        let host = "sqs.eu-west-1.amazonaws.com".to_owned();
        let path = "/123456789012/shop-dev-order-placed";
        assert_eq!(parsed(sqs), Some((true, host.clone(), 443, host, path)));
        let local = Some((false, "127.0.0.1".into(), 4566, "127.0.0.1:4566".into(), "/"));
        assert_eq!(parsed("http://127.0.0.1:4566"), local);
        assert_eq!(parsed("http://[::1]:80/x"), Some((false, "::1".into(), 80, "[::1]:80".into(), "/x")));
        let bad =
            ["", "sqs", "ftp://a/", "https://", "https:///x", "http://a:b/", "http://a:0/", "http://[::1/"];
        let worse =
            ["http://[x]/", "https://a b/", "https://u@a/", "https://a/?q", "https://a/#f", "http://a\r\n/"];
        for url in bad.iter().chain(&worse) {
            assert_eq!(parsed(url), None, "{url}");
        }
    }

    #[test]
    fn plain_text_stays_on_this_machine_or_next_door() {
        let private = |url: &str| Origin::parse(url).is_some_and(|(origin, _)| origin.is_private());
        for url in [
            "https://example.com/",
            "http://localhost:1/",
            "http://127.9.9.9/",
            "http://[::1]/",
            "http://ministack:4566/",
        ] {
            assert!(private(url), "{url}");
        }
        for url in
            ["http://example.com/", "http://10.0.0.1/", "http://[fd00::1]/", "http://127.0.0.1.nip.io/"]
        {
            assert!(!private(url), "{url}");
        }
    }
}
