//! `Object`: something happened to an object in a bucket.

/// What happened to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectAction {
    /// It was written.
    Created,
    /// It was removed.
    Deleted,
}

/// An object-storage event. What a platform does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bucket (on Azure the container).
    pub bucket: String,
    /// The object's key, decoded.
    pub key: String,
    /// What happened.
    pub action: ObjectAction,
    /// Bytes.
    pub size: Option<u64>,
    /// The entity tag, without quotes.
    pub etag: Option<String>,
    /// The version or generation.
    pub version: Option<String>,
}
