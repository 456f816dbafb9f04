//! Taking money.

use std::future::{Future, ready};
use std::pin::Pin;

use xcloud::{Context, Result};

/// A payment in the making.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Money that is reserved and not yet taken.
#[derive(Debug)]
pub struct Hold(String);

/// A payment service.
pub trait Payments: Send + Sync {
    /// Reserves the money. Idempotent by order id.
    fn authorise<'a>(
        &'a self,
        order: &'a str,
        cents: u64,
        currency: &'a str,
        cx: &'a Context,
    ) -> Pending<'a, Hold>;
    /// Takes what was reserved.
    fn capture<'a>(&'a self, hold: Hold, cx: &'a Context) -> Pending<'a, ()>;
    /// Gives back what was reserved.
    fn void<'a>(&'a self, hold: Hold, cx: &'a Context) -> Pending<'a, ()>;
}

/// Accepts every payment, moves no money, and says so.
#[derive(Debug)]
pub struct SandboxPayments;

impl Payments for SandboxPayments {
    fn authorise<'a>(
        &'a self,
        order: &'a str,
        cents: u64,
        currency: &'a str,
        cx: &'a Context,
    ) -> Pending<'a, Hold> {
        cx.log()
            .field("order_id", order)
            .info(format!("SandboxPayments: {cents} cents {currency} authorised, no real money"));
        Box::pin(ready(Ok(Hold(order.to_owned()))))
    }

    fn capture<'a>(&'a self, hold: Hold, cx: &'a Context) -> Pending<'a, ()> {
        cx.log().field("order_id", hold.0).info("SandboxPayments: captured, no real money");
        Box::pin(ready(Ok(())))
    }

    fn void<'a>(&'a self, hold: Hold, cx: &'a Context) -> Pending<'a, ()> {
        cx.log().field("order_id", hold.0).warn("SandboxPayments: voided, no real money");
        Box::pin(ready(Ok(())))
    }
}
