//! S3's buckets, their tags, notifications and objects.

use super::state::{Bucket, State};
use super::wire::xml::{all, element, leaf, text};
use super::wire::{Call, Failure, Outcome, Reply};

pub(super) fn answer(state: &mut State, call: &Call) -> Outcome {
    let name = call.part(0);
    if call.operation == "CreateBucket" {
        return create(state, name);
    }
    let Some(bucket) = state.buckets.get(name) else {
        return Err(Failure::new(404, "NoSuchBucket", "The specified bucket does not exist"));
    };
    match call.operation.as_str() {
        "GetBucketTagging" => tagging(bucket),
        "GetBucketNotificationConfiguration" if bucket.notification.is_empty() => {
            Ok(Reply::Xml("<NotificationConfiguration/>".to_owned()))
        }
        "GetBucketNotificationConfiguration" => Ok(Reply::Xml(bucket.notification.clone())),
        "ListObjectsV2" => {
            let objects = bucket.objects.keys().map(|key| element("Contents", &leaf("Key", key)));
            let objects: String = objects.collect();
            let count = leaf("KeyCount", &bucket.objects.len().to_string());
            Ok(Reply::Xml(element("ListBucketResult", &[leaf("Name", name), count, objects].concat())))
        }
        "ListObjectVersions" => {
            let one = |key| [leaf("Key", key), leaf("VersionId", "null"), leaf("IsLatest", "true")].concat();
            let versions: String = bucket.objects.keys().map(|key| element("Version", &one(key))).collect();
            Ok(Reply::Xml(element("ListVersionsResult", &[leaf("IsTruncated", "false"), versions].concat())))
        }
        _ => change(state, call),
    }
}

fn change(state: &mut State, call: &Call) -> Outcome {
    let body = String::from_utf8_lossy(&call.raw).into_owned();
    if call.operation == "PutBucketNotificationConfiguration" {
        valid(state, &body)?;
    }
    let name = call.part(0).to_owned();
    let Some(bucket) = state.buckets.get_mut(&name) else { return Err(Failure::unknown(call)) };
    match call.operation.as_str() {
        "PutBucketTagging" => {
            let pair = |tag: &str| Some((text(tag, "Key")?, text(tag, "Value")?));
            bucket.tags = all(&body, "Tag").into_iter().filter_map(pair).collect();
            Ok(Reply::Empty(204))
        }
        "PutBucketNotificationConfiguration" => {
            bucket.notification = body;
            Ok(Reply::Empty(200))
        }
        "PutObject" => {
            bucket.objects.insert(call.path[1..].join("/"), super::lambda::digest(&call.raw));
            Ok(Reply::Empty(200))
        }
        "DeleteObjects" => {
            for key in all(&body, "Object").into_iter().filter_map(|object| text(object, "Key")) {
                bucket.objects.remove(&key);
            }
            Ok(Reply::Xml("<DeleteResult/>".to_owned()))
        }
        "DeleteBucket" if !bucket.objects.is_empty() => {
            Err(Failure::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty"))
        }
        "DeleteBucket" => {
            state.buckets.remove(&name);
            Ok(Reply::Empty(204))
        }
        _ => Err(Failure::unknown(call)),
    }
}

fn create(state: &mut State, name: &str) -> Outcome {
    if state.buckets.contains_key(name) {
        let message = "Your previous request to create the named bucket succeeded and you already own it.";
        return Err(Failure::new(409, "BucketAlreadyOwnedByYou", message));
    }
    state.buckets.insert(name.to_owned(), Bucket::default());
    Ok(Reply::Empty(200))
}

fn tagging(bucket: &Bucket) -> Outcome {
    if bucket.tags.is_empty() {
        return Err(Failure::new(404, "NoSuchTagSet", "The TagSet does not exist"));
    }
    let tag = |(key, value): (&String, &String)| element("Tag", &(leaf("Key", key) + &leaf("Value", value)));
    let tags: String = bucket.tags.iter().map(tag).collect();
    Ok(Reply::Xml(element("Tagging", &element("TagSet", &tags))))
}

/// Whoever is told has to let S3 call.
fn valid(state: &State, body: &str) -> Result<(), Failure> {
    for function in all(body, "CloudFunction") {
        if !super::lambda::lets_call(state, function, "s3.amazonaws.com") {
            let message = "Unable to validate the following destination configurations";
            return Err(Failure::new(400, "InvalidArgument", message));
        }
    }
    Ok(())
}
