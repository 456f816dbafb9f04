use xcloud::{handler, Http};

struct Order;
#[handler(http = "GET /")]
async fn f(_r: Http) -> Order { Order }

fn main() {}
