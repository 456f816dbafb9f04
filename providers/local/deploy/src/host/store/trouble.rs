//! What can go wrong with a store, and what is said about it.

use std::io;
use std::path::Path;

use xcloud_core::{Error, ErrorKind};

/// The result of everything that touches the files.
pub(super) type Stored<T> = Result<T, Trouble>;

/// Why the files could not be used.
#[derive(Debug)]
pub(super) enum Trouble {
    Redb(redb::Error),
    Io(io::Error),
    /// The journal could not grow, and is as it was.
    NotWritten(io::Error),
    /// The files hold what this program did not write.
    Damaged(String),
    /// Something panicked.
    Panic,
    /// It failed before and is about to be opened again.
    Closed,
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) => Self::Io(error),
            error => Self::Redb(error),
        }
    }
}

impl Trouble {
    /// Whether the files must be opened again.
    pub(super) fn closes(&self) -> bool {
        !matches!(self, Self::Closed | Self::NotWritten(_))
    }

    /// For the person who reads the answer or the log: which store, why, what to do.
    pub(super) fn explain(&self, path: &Path) -> Error {
        let (tree, journal) = super::tree::files(path);
        let name = tree.display();
        let message = match self {
            Self::Io(error) | Self::NotWritten(error) if is_full(error) => format!(
                "the disk of {name} is full ({error}): this was not stored, what was stored before is safe; free \
                 some space and try again"
            ),
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                damaged(&tree, &journal, &error.to_string())
            }
            Self::Io(error) | Self::NotWritten(error) => format!("{name}: {error}"),
            Self::Redb(error @ (redb::Error::Corrupted(_) | redb::Error::TableTypeMismatch { .. })) => {
                damaged(&tree, &journal, &error.to_string())
            }
            Self::Redb(error) => format!("{name}: {error}"),
            Self::Damaged(why) => damaged(&tree, &journal, why),
            Self::Closed => format!("{name} is being opened again: try again"),
            Self::Panic => damaged(&tree, &journal, "it cannot be read"),
        };
        Error::new(ErrorKind::Unavailable, message)
    }
}

/// No space left, or none for this user.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn damaged(tree: &Path, journal: &Path, why: &str) -> String {
    format!(
        "{} is damaged ({why}): the messages and rows of this app cannot be read. Put back a copy of it and of {}, or move both \
         away to begin with an empty store; other apps are not affected",
        tree.display(),
        journal.display()
    )
}
