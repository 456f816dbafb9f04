//! A `blobTrigger`'s envelope: the blob's content in `Data`, where it lies in `Metadata`
//! (<https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-blob-trigger#metadata>). Packages of ours
//! use Event Grid (see `binding.rs`); this is for a `function.json` written by hand.
//!
//! The trigger tells of blobs that are there, whether it polls or is told by Event Grid: never of deleted ones.

use serde_json::json;
use xcloud_core::Result;
use xcloud_core::event::{CloudEvent, ObjectAction, Payload, Record};
use xcloud_core::text::percent_decode;

use super::envelope::{Envelope, Metadata, bad, zoned};
use super::servicebus::of;

/// Whether an envelope has what such a trigger says of its blob.
pub(super) fn is_blob(metadata: &Metadata) -> bool {
    metadata.has("Uri") && metadata.has("Properties") || metadata.has("BlobTrigger")
}

pub(super) fn read(envelope: Envelope) -> Result<Vec<Record>> {
    let metadata = envelope.metadata;
    let uri = metadata.text("Uri");
    let (container, key) = place(&metadata, uri.as_deref())?;
    let properties = metadata.structured("Properties").unwrap_or_default();
    let etag = of(&properties, "ETag").map(|etag| etag.trim_matches('"').to_owned());
    let modified = of(&properties, "LastModified");
    let number = |name: &str| of(&properties, name).and_then(|n| n.parse::<u64>().ok());
    let size = number("ContentLength").or_else(|| number("Length"));
    // What tells this writing of the blob from the next one; the host's own draw where nothing does.
    let writing = etag.as_ref().or(modified.as_ref()).cloned();
    let writing = writing.or_else(|| of(&metadata.structured("sys")?, "RandGuid")).unwrap_or_default();
    let data = json!({ "url": uri, "contentType": of(&properties, "ContentType"), "contentLength": size });
    let event = CloudEvent {
        id: format!("{container}/{key} {writing}"),
        source: account(uri.as_deref(), &container),
        ty: "Microsoft.Storage.BlobCreated".to_owned(),
        subject: Some(format!("/blobServices/default/containers/{container}/blobs/{key}")),
        time: modified.map(|time| zoned(&time).into_owned()),
        datacontenttype: Some("application/json".to_owned()),
        data: data.to_string().into(),
        ..CloudEvent::default()
    };
    let (bucket, action) = (container.clone(), ObjectAction::Created);
    let version = of(&properties, "VersionId");
    let payload = Payload::Object { bucket, key, action, size, etag, version };
    Ok(vec![Record::new(event, payload, container)])
}

/// Container and name: from `BlobTrigger`, where a host hands it over, else from the address.
fn place(metadata: &Metadata, uri: Option<&str>) -> Result<(String, String)> {
    if let Some(path) = metadata.text("BlobTrigger") {
        let (container, key) = path
            .split_once('/')
            .ok_or_else(|| bad(format!("`Metadata.BlobTrigger` is `{path}`, not `<container>/<name>`")))?;
        return Ok((container.to_owned(), key.to_owned()));
    }
    let uri = uri.ok_or_else(|| bad("a blob's envelope without `Metadata.Uri`"))?;
    let wrong = || bad(format!("`Metadata.Uri` is `{uri}`, not the address of a blob"));
    let (host, path) = uri.split_once("://").and_then(|(_, rest)| rest.split_once('/')).ok_or_else(wrong)?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // Storage emulators have the account in the path.
    let path =
        if is_account_in_path(host) { path.split_once('/').map_or("", |(_, rest)| rest) } else { path };
    // The root container has no name in addresses.
    let (container, key) = path.split_once('/').unwrap_or(("$root", path));
    let decoded = |text: &str| String::from_utf8(percent_decode(text).into_owned()).map_err(|_| wrong());
    match (decoded(container)?, decoded(key)?) {
        (container, key) if !container.is_empty() && !key.is_empty() => Ok((container, key)),
        _ => Err(wrong()),
    }
}

fn is_account_in_path(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    name == "localhost" || name.split('.').all(|part| part.parse::<u8>().is_ok())
}

/// The container's address without what was asked of it, or its name alone.
fn account(uri: Option<&str>, container: &str) -> String {
    let base = uri.and_then(|uri| uri.split_once(&format!("/{container}/"))).map(|(base, _)| base);
    base.map_or_else(|| container.to_owned(), |base| format!("{base}/{container}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulators_have_the_account_in_the_path() {
        assert!(is_account_in_path("127.0.0.1:10000") && is_account_in_path("localhost:10000"));
        assert!(!is_account_in_path("acct.blob.core.windows.net"));
        assert_eq!(account(Some("https://a.blob/c/x/c/y"), "c"), "https://a.blob/c");
    }
}
