//! The order's shape and its rules.

use serde::{Deserialize, Serialize};
use xcloud::{Error, Result};

/// What a customer sends.
#[derive(Debug, Deserialize)]
pub struct Order {
    pub order_id: String,
    pub customer: String,
    pub currency: String,
    pub items: Vec<Item>,
}

/// One line of an order.
#[derive(Debug, Deserialize)]
pub struct Item {
    pub sku: String,
    pub qty: u64,
    pub price_cents: u64,
}

/// What the customer gets.
#[derive(Debug, Serialize)]
pub struct Receipt {
    pub order_id: String,
    pub status: &'static str,
    pub items: usize,
    pub total_cents: u64,
}

/// The message that an accepted order becomes.
#[derive(Debug, Serialize, Deserialize)]
pub struct OrderPlaced {
    pub order_id: String,
    pub customer: String,
    pub currency: String,
    pub total_cents: u64,
}

impl Order {
    /// Checks the rules and adds up the price.
    pub fn total(&self) -> Result<u64> {
        let broken = |what: &str| Err(Error::unprocessable(what));
        if self.order_id.is_empty() {
            return broken("order_id is empty");
        }
        if self.customer.is_empty() {
            return broken("customer is empty");
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return broken("currency is not three capital letters");
        }
        if self.items.is_empty() {
            return broken("the order has no items");
        }
        if let Some(item) = self.items.iter().find(|item| item.qty == 0) {
            return broken(&format!("qty of {} is 0", item.sku));
        }
        let sum = self.items.iter().try_fold(0u64, |sum, item| {
            item.qty.checked_mul(item.price_cents).and_then(|line| sum.checked_add(line))
        });
        sum.ok_or_else(|| Error::unprocessable("the total is too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud::ErrorKind;

    #[test]
    fn each_rule_is_checked() {
        let order = |id: &str, customer: &str, currency: &str, items: &str| -> Order {
            let json = format!(
                r#"{{"order_id":"{id}","customer":"{customer}","currency":"{currency}","items":{items}}}"#
            );
            serde_json::from_str(&json).unwrap()
        };
        let one = r#"[{"sku":"A","qty":1,"price_cents":2}]"#;
        assert_eq!(order("o", "c", "EUR", one).total().unwrap(), 2);
        let huge = format!(r#"[{{"sku":"A","qty":2,"price_cents":{}}}]"#, u64::MAX);
        let nothing = r#"[{"sku":"A","qty":0,"price_cents":2}]"#;
        for broken in [
            order("", "c", "EUR", one),
            order("o", "", "EUR", one),
            order("o", "c", "eur", one),
            order("o", "c", "EURO", one),
            order("o", "c", "EUR", "[]"),
            order("o", "c", "EUR", nothing),
            order("o", "c", "EUR", &huge),
        ] {
            assert_eq!(broken.total().unwrap_err().kind(), ErrorKind::Unprocessable, "{broken:?}");
        }
    }
}
