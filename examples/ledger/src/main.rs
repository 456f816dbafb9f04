//! A ledger: entries are written over HTTP, and every change of one settles its account's balance.

use serde::{Deserialize, Serialize};
use xcloud::event::ChangeKind;
use xcloud::{App, Change, Context, Error, Http, Json, Result, Table, handler, http::StatusCode};

/// One booking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    account: String,
    cents: i64,
}

/// What an account holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Balance {
    cents: i64,
    entries: u64,
    /// The change that made it so: one that comes again is known by its key.
    last: String,
}

/// Writes an entry; the balance follows.
#[handler(http = "PUT /entries/{id}", tables = "entries")]
async fn write(entry: Http<Entry>, entries: Table<Entry>) -> Result<StatusCode> {
    let id: String = entry.param("id")?;
    if entry.account.is_empty() {
        return Err(Error::unprocessable("`account` is empty"));
    }
    entries.put(&id, &entry.into_body()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Removes an entry; the balance follows.
#[handler(http = "DELETE /entries/{id}", tables = "entries")]
async fn remove(request: Http, entries: Table<Entry>) -> Result<()> {
    let id: String = request.param("id")?;
    entries.delete(&id).await
}

/// What an account holds.
#[handler(http = "GET /balances/{account}", tables = "balances")]
async fn balance(request: Http, balances: Table<Balance>) -> Result<Json<Balance>> {
    let account: String = request.param("account")?;
    let unknown = || Error::not_found(format!("account {account} has no entries"));
    Ok(Json(balances.get(&account).await?.ok_or_else(unknown)?))
}

/// Settles the balance of the account of an entry that was written or removed.
///
/// It needs the row before the change, which not every cloud gives: `xcloud check` says so.
#[handler(change = "entries", tables = "balances")]
async fn settle(change: Change<Entry>, balances: Table<Balance>, cx: Context) -> Result<()> {
    let key = change.event.idempotency_key();
    if change.kind == ChangeKind::Updated && change.old.is_none() {
        return Err(Error::unprocessable("an update without the row before: this platform does not give it"));
    }
    let before = change.old.iter().map(|entry| (entry, -1));
    for (entry, sign) in before.chain(change.new.iter().map(|entry| (entry, 1))) {
        let found = balances.row(&entry.account).await?;
        let mut balance = found.as_ref().map(|row| row.value.clone()).unwrap_or_default();
        let this = format!("{key} {sign}");
        if balance.last == this {
            // It was settled, and what followed failed: the platform sends it again.
            continue;
        }
        balance.cents += sign * entry.cents;
        balance.entries = balance.entries.saturating_add_signed(sign);
        balance.last = this;
        // Only over the balance that was read: a change of the same account at the same time tries again.
        match found {
            Some(row) => balances.replace(&entry.account, &balance, &row.version).await?,
            None => balances.insert(&entry.account, &balance).await?,
        };
        cx.log().field("account", entry.account.as_str()).field("cents", balance.cents).info("settled");
    }
    Ok(())
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![write, remove, balance, settle]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cents: i64) -> Entry {
        Entry { account: "ada".to_owned(), cents }
    }

    #[tokio::test]
    async fn a_balance_follows_its_entries_and_a_change_that_comes_twice_counts_once() {
        let (balances, cx) = (Table::for_test, Context::for_test);
        let table: Table<Balance> = balances();
        let again = |table: &Table<Balance>| table.clone();
        let mut first = Change::created("e-1", entry(500));
        first.event.id = "1".to_owned();
        settle(first.clone(), again(&table), cx()).await.unwrap();
        settle(first, again(&table), cx()).await.unwrap();
        let mut second =
            Change { kind: ChangeKind::Updated, old: Some(entry(500)), ..Change::created("e-1", entry(200)) };
        second.event.id = "2".to_owned();
        settle(second, again(&table), cx()).await.unwrap();
        let balance = table.get("ada").await.unwrap().unwrap();
        assert_eq!((balance.cents, balance.entries), (200, 1));
    }

    #[tokio::test]
    async fn an_update_without_the_row_before_is_put_aside() {
        let change = Change { kind: ChangeKind::Updated, ..Change::created("e-1", entry(1)) };
        assert!(settle(change, Table::for_test(), Context::for_test()).await.is_err());
    }
}
