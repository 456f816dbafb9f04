//! The `#[handler]` attribute of xcloud. Use it through the `xcloud` crate.

mod args;
mod handler;
mod signature;

use proc_macro::TokenStream;

/// Makes an `async fn` a handler.
///
/// ```text
/// #[handler(http = "POST /orders/{id}")]          any method: http = "/orders/{id}"; the rest of a path: {*rest}
/// #[handler(queue = "order-placed", batch = 10)]
/// #[handler(topic = "news")]
/// #[handler(object = "uploads", on = "created")]   the default; or "deleted", "any"
/// #[handler(schedule = "every 5 minutes")]         or cron: schedule = "30 9 * * 1-5", timezone = "Europe/Berlin"
/// #[handler(change = "ledger")]                    a row of a table changed
/// #[handler(event)]                                every event that no other handler takes, as a CloudEvent
/// #[handler(raw)]                                  the same as the platform's own bytes
/// #[handler(…, sends = "order-placed")]            or sends = ["a", "b"], one name per `Sender` argument
/// #[handler(…, tables = "insights")]               or tables = ["a", "b"], one name per `Table` argument
/// ```
///
/// The first argument is the event (`Http<T>`, `Queue<T>`, `Topic<T>`, `Object`, `Tick`, `Change<T>`, `CloudEvent`,
/// `Raw`); `State<T>`, `Sender<T>`, `Table<T>` and `Context` follow in any order.
///
/// It leaves the fn as it is, so unit tests call it, and adds a type of the same name for `xcloud::functions![…]`:
///
/// ```text
/// async fn create_order(order: Http<Order>, shop: State<Shop>) -> Result<Json<Receipt>> { … }   // untouched
/// struct create_order {}
/// impl Function<Shop> for create_order {
///     const DESCRIPTOR: Descriptor = Descriptor { name: "create_order", trigger: …, sends: &[…], tables: &[…] };
///     type Answer = <Http<()> as Event>::Output;
///     type Event = Http<Order>;
///     type Args = (State<Shop>,);
///     type Return = Result<Json<Receipt>>;
///     async fn invoke(event, (a0,)) { create_order(event, a0).await }
/// }
/// ```
#[proc_macro_attribute]
pub fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(attribute.into(), item.into()).into()
}
