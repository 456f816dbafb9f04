//! Against a service of the tests' own, over TLS.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use xcloud_core::ErrorKind;

use super::*;
use crate::fake::{Act, Seen, serve};

struct Service {
    port: u16,
    certificate: CertificateDer<'static>,
    connections: Arc<AtomicUsize>,
    seen: Seen,
}

/// A service with a certificate for `localhost`.
async fn secure(acts: Vec<Act>) -> Service {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, connections) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let (shared, count) = (seen.clone(), Arc::clone(&connections));
    let acts = Arc::new(Mutex::new(acts.into_iter()));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let connection = count.fetch_add(1, Ordering::SeqCst);
            if let Ok(tls) = acceptor.accept(tcp).await {
                // Dropped without `close_notify`, as services do that close what was idle.
                tokio::spawn(serve(tls, connection, Arc::clone(&acts), shared.clone()));
            }
        }
    });
    Service { port, certificate, connections, seen }
}

fn peer(service: &Service, name: &str, trusted: bool) -> Peer {
    let mut roots = RootCertStore::empty();
    if trusted {
        roots.add(service.certificate.clone()).unwrap();
    }
    let (origin, _) = Origin::parse(&format!("https://{name}:{}/", service.port)).unwrap();
    Peer::new(origin, Some(tls::trusting(roots).unwrap()))
}

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n";

async fn ask(peer: &Peer) -> Result<Reply> {
    peer.ask("test", HEAD, b"body", Instant::now() + Duration::from_secs(5)).await
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let answer = |body: &str| Act::Answer(200, body.to_owned());
    let service = secure(vec![answer("one"), answer("two")]).await;
    let peer = peer(&service, "localhost", true);
    assert_eq!(ask(&peer).await.unwrap().body, "one");
    assert_eq!(ask(&peer).await.unwrap().body, "two");
    assert_eq!(service.connections.load(Ordering::SeqCst), 1);
    assert!(service.seen.all().iter().all(|(_, _, body)| body == "body"));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_again_and_the_request_with_it() {
    let service = secure(vec![Act::AnswerAndClose(200, "one".into()), Act::Answer(200, "two".into())]).await;
    let peer = peer(&service, "localhost", true);
    assert_eq!(ask(&peer).await.unwrap().body, "one");
    assert_eq!(ask(&peer).await.unwrap().body, "two");
    assert_eq!(service.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_new_connection_that_is_closed_is_not_made_again() {
    let service = secure(vec![Act::Close, Act::Answer(200, "two".into())]).await;
    let error = ask(&peer(&service, "localhost", true)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(service.seen.all().len(), 1);
}

#[tokio::test]
async fn nothing_is_said_to_a_service_that_cannot_prove_who_it_is() {
    let service = secure(vec![Act::Answer(200, String::new())]).await;
    for (name, trusted) in [("localhost", false), ("127.0.0.1", true)] {
        let error = ask(&peer(&service, name, trusted)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    assert!(service.seen.all().is_empty());
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_with_the_time_there_is() {
    let service = secure(vec![Act::Hang]).await;
    let peer = peer(&service, "localhost", true);
    let start = Instant::now();
    let error = peer.ask("test", HEAD, b"body", start + Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        error.message().contains("no answer in time") && start.elapsed() < Duration::from_secs(3),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_has_an_end() {
    let service = secure(vec![Act::Answer(200, "x".repeat(MAX_ANSWER + 1))]).await;
    let error = ask(&peer(&service, "localhost", true)).await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[tokio::test]
async fn what_goes_to_the_same_origin_shares_its_connections() {
    let origin = |url: &str| Origin::parse(url).unwrap().0;
    let (one, two) = (Peer::at(origin("https://a.example/1/q")), Peer::at(origin("https://a.example/1/r")));
    assert!(Arc::ptr_eq(&one, &two));
    assert!(!Arc::ptr_eq(&one, &Peer::at(origin("http://a.example/1/q"))));
}
