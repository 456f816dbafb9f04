//! The simulator on a socket, for programs that are measured or compared on it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use http::Response;
use tokio::net::TcpListener;

use super::Aws;

/// Answers every request after a delay, until an error of the socket.
///
/// # Errors
/// The socket's.
pub async fn serve(listener: TcpListener, aws: Arc<Aws>, delay: Duration) -> std::io::Result<()> {
    let answer = move |request: Request| {
        let aws = Arc::clone(&aws);
        async move { one(&aws, request, delay).await }
    };
    axum::serve(listener, Router::new().fallback(answer)).await
}

async fn one(aws: &Aws, request: Request, delay: Duration) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Response::new(Body::empty()) };
    // The shortest sleep is a millisecond.
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let request = http::Request::from_parts(parts, body);
    let name = super::Call::read(&request).map(|call| call.name()).unwrap_or_default();
    let answer = aws.answer(&request);
    // For whoever has asked for it: which calls a program makes.
    if std::env::var_os("AWSIM_LOG").is_some() {
        let line = format!("{} {name} {} {}\n", request.method(), request.uri(), answer.status().as_u16());
        drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
    }
    answer.map(Body::from)
}
