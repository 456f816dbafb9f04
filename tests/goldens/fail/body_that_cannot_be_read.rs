use xcloud::{handler, Http, Json};

struct Order;
#[handler(http = "POST /")]
async fn f(_r: Http<Order>) -> Json<u8> { Json(1) }

fn main() {}
