//! Images are put into a bucket; each is noted with the thumbnails that it needs, and forgotten when it goes.
//!
//! What draws the pictures is yours: an event says which object it is about, and reading objects comes with a later
//! version of xcloud.

use serde::{Deserialize, Serialize};
use xcloud::event::ObjectAction;
use xcloud::{App, Context, Error, Http, Json, Object, Result, Table, handler};

/// The longer side of each thumbnail in pixels.
const SIDES: [u32; 3] = [64, 256, 1024];
const ENDINGS: [&str; 4] = [".png", ".jpg", ".jpeg", ".webp"];

/// An image that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Image {
    bytes: Option<u64>,
    etag: Option<String>,
    /// The thumbnails' keys.
    thumbnails: Vec<String>,
}

/// Notes an image that was written, forgets one that was removed. An event that comes again writes the same row again.
#[handler(object = "images", on = "any", tables = "thumbnails")]
async fn uploaded(object: Object, images: Table<Image>, cx: Context) -> Result<()> {
    let key = object.key.as_str();
    let lower = key.to_ascii_lowercase();
    // What is written beside the originals would call this again.
    if key.starts_with("thumbnails/") || !ENDINGS.iter().any(|ending| lower.ends_with(ending)) {
        cx.log().field("key", key).info("not an image");
        return Ok(());
    }
    match object.action {
        ObjectAction::Deleted => images.delete(key).await?,
        _ => {
            let thumbnails = SIDES.iter().map(|side| format!("thumbnails/{side}/{key}")).collect();
            let image = Image { bytes: object.size, etag: object.etag, thumbnails };
            images.put(key, &image).await?;
        }
    }
    cx.log().field("key", key).field("action", object.action.as_str()).info("noted");
    Ok(())
}

/// The thumbnails of an image.
#[handler(http = "GET /images/{*key}", tables = "thumbnails")]
async fn read(request: Http, images: Table<Image>) -> Result<Json<Image>> {
    let key: String = request.param("key")?;
    Ok(Json(images.get(&key).await?.ok_or_else(|| Error::not_found(format!("there is no image {key}")))?))
}

fn main() -> Result<()> {
    xcloud::run(App::new().functions(xcloud::functions![uploaded, read]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_image_is_noted_until_it_is_removed_and_a_thumbnail_is_not_one() {
        let images: Table<Image> = Table::for_test();
        let see = |object: Object| uploaded(object, images.clone(), Context::for_test());
        for key in ["cat.PNG", "notes.txt", "thumbnails/64/cat.PNG"] {
            see(Object::new("images", key)).await.unwrap();
        }
        assert_eq!(images.get("cat.PNG").await.unwrap().unwrap().thumbnails[0], "thumbnails/64/cat.PNG");
        assert_eq!(images.scan("", 10).await.unwrap().len(), 1);
        see(Object { action: ObjectAction::Deleted, ..Object::new("images", "cat.PNG") }).await.unwrap();
        assert_eq!(images.get("cat.PNG").await.unwrap(), None);
    }
}
