//! The HTTP client of the SDK's clients. The machine's certificate authorities are read when the first address asks for
//! TLS, not before: with an emulator on this machine they would be most of a command's time.

use std::sync::{Arc, OnceLock};

use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// A client whose users share their connections.
pub(super) fn client() -> SharedHttpClient {
    let plain = Builder::new().build_http();
    SharedHttpClient::new(ByScheme(Arc::new(Clients { plain, secure: OnceLock::new() })))
}

#[derive(Debug)]
struct Clients {
    plain: SharedHttpClient,
    secure: OnceLock<SharedHttpClient>,
}

impl Clients {
    fn secure(&self) -> &SharedHttpClient {
        self.secure.get_or_init(|| {
            let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
            Builder::new().tls_provider(ring).build_https()
        })
    }
}

#[derive(Debug, Clone)]
struct ByScheme(Arc<Clients>);

impl HttpClient for ByScheme {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let clients = Arc::clone(&self.0);
        SharedHttpConnector::new(Connector {
            clients,
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

/// Where a request goes is known when it is there.
#[derive(Debug)]
struct Connector {
    clients: Arc<Clients>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_plain = request.uri().starts_with("http://");
        let client = if is_plain { &self.clients.plain } else { self.clients.secure() };
        client.http_connector(&self.settings, &self.components).call(request)
    }
}
