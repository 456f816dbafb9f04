//! TLS, as rustls does it: whom to trust, and one configuration for the process, made when the first connection needs it.

mod provider;

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use xcloud_core::env;

/// A file of PEM certificates to trust in place of Mozilla's, as OpenSSL reads it: for a company's own authority.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// The process's configuration. Not made before it is needed: a function that sends nothing should not start later
/// for it.
///
/// # Errors
/// What is wrong with `SSL_CERT_FILE`.
pub(crate) fn shared() -> io::Result<Arc<ClientConfig>> {
    static SHARED: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let made = SHARED.get_or_init(|| match env::var(CERTIFICATES) {
        Some(file) => from_file(&file).and_then(trusting),
        None => trusting(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()),
    });
    made.clone().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))
}

fn from_file(file: &str) -> Result<RootCertStore, String> {
    let bad = |why: &dyn std::fmt::Display| format!("{CERTIFICATES}={file}: {why}");
    let text = std::fs::read(file).map_err(|e| bad(&e))?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|e| bad(&e))?;
    let mut roots = RootCertStore::empty();
    // Bundles hold old ones that no verifier takes any more.
    if roots.add_parsable_certificates(certificates).0 == 0 {
        return Err(bad(&"no certificate in it can be used"));
    }
    Ok(roots)
}

/// A configuration that trusts these.
pub(crate) fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider::provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// TLS over a connection, with whom it should be.
///
/// # Errors
/// The peer is not who it should be, or does not speak TLS.
pub(crate) async fn over(
    tcp: TcpStream,
    name: &str,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, tcp).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_certificates_that_cannot_be_used_is_named() {
        let said = |file: &str| from_file(file).err().unwrap_or_default();
        assert!(said("/nonexistent/ca.pem").starts_with("SSL_CERT_FILE=/nonexistent/ca.pem: "));
        assert!(said("Cargo.toml").ends_with("no certificate in it can be used"), "{}", said("Cargo.toml"));
    }
}
