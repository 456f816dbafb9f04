//! Greets over HTTP.

use serde::{Deserialize, Serialize};
use xcloud::{App, Context, Error, Http, Json, Result, handler};

/// What a caller sends.
#[derive(Deserialize)]
struct Guest {
    name: String,
}

/// What the caller gets.
#[derive(Debug, PartialEq, Serialize)]
struct Greeting {
    message: String,
}

/// The body is decoded before this runs: one that is not a `Guest` has been answered with 400.
#[handler(http = "POST /greet")]
async fn greet(guest: Http<Guest>, cx: Context) -> Result<Json<Greeting>> {
    let name = guest.name.trim();
    if name.is_empty() {
        return Err(Error::unprocessable("name is empty"));
    }
    cx.log().field("name", name).info("greeted");
    Ok(Json(Greeting { message: format!("Hello, {name}!") }))
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![greet]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xcloud::ErrorKind;

    fn guest(name: &str) -> Http<Guest> {
        Http::new(Guest { name: name.to_owned() })
    }

    #[tokio::test]
    async fn a_guest_is_greeted() {
        let Json(greeting) = greet(guest("Ada"), Context::for_test()).await.unwrap();
        assert_eq!(greeting.message, "Hello, Ada!");
    }

    #[tokio::test]
    async fn nobody_is_not() {
        let error = greet(guest(" "), Context::for_test()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unprocessable);
    }
}
