//! The function on the official crate, as its template has it.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use order::{Order, price};

async fn create(event: LambdaEvent<ApiGatewayV2httpRequest>) -> Result<ApiGatewayV2httpResponse, Error> {
    let order: Order = serde_json::from_str(event.payload.body.as_deref().unwrap_or_default())?;
    let receipt = price(&order).ok_or("too much")?;
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = 200;
    response.body = Some(serde_json::to_string(&receipt)?.into());
    response.headers.insert("content-type", "application/json".parse()?);
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    run(service_fn(create)).await
}
