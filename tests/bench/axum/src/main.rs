//! The function as an axum app on a port.

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use order::{Order, Receipt, price};

async fn create(Json(order): Json<Order>) -> Result<Json<Receipt>, StatusCode> {
    price(&order).map(Json).ok_or(StatusCode::UNPROCESSABLE_ENTITY)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await?;
    axum::serve(listener, Router::new().route("/orders", post(create))).await
}
