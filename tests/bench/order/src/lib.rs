//! The business function that all programs run: an order is validated and priced.

use serde::{Deserialize, Serialize};

/// What comes in.
#[derive(Deserialize)]
pub struct Order {
    order_id: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    sku: String,
    qty: u64,
    price_cents: u64,
}

/// What goes out.
#[derive(Serialize)]
pub struct Receipt {
    order_id: String,
    items: usize,
    total_cents: u64,
}

/// Prices an order; `None` when it comes to too much.
pub fn price(order: &Order) -> Option<Receipt> {
    let mut total_cents = 0u64;
    for item in order.items.iter().filter(|item| !item.sku.is_empty()) {
        total_cents = total_cents.checked_add(item.qty.checked_mul(item.price_cents)?)?;
    }
    Some(Receipt { order_id: order.order_id.clone(), items: order.items.len(), total_cents })
}
