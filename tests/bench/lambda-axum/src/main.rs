//! The function as an axum app on `lambda_http`.

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use lambda_http::{Error, run, tracing};
use order::{Order, Receipt, price};

async fn create(Json(order): Json<Order>) -> Result<Json<Receipt>, StatusCode> {
    price(&order).map(Json).ok_or(StatusCode::UNPROCESSABLE_ENTITY)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    run(Router::new().route("/orders", post(create))).await
}
