//! `Change<T>`: a row or document of a table changed.

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It was there before.
    Updated,
    /// It is gone.
    Deleted,
}

/// One change of a row. What a platform does not give (Cosmos has no before-image) is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    /// What happened.
    pub kind: ChangeKind,
    /// The row's key as text; composite keys as JSON.
    pub key: String,
    /// The row before.
    pub old: Option<T>,
    /// The row after.
    pub new: Option<T>,
}
