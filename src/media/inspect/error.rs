//! Why a file is not taken, and what else can go wrong while it is looked at.

use std::io;

/// Why a file is not taken. Its text is for the client: it names the reason and quotes nothing of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What the content is cannot be told, or it is of a kind that is never taken.
    #[error("files of this type are not accepted")]
    Type,
    /// Recognised, and never taken: the reason is said because people meet it in good faith.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Recognised, but not on the list of what this service takes.
    #[error("files of type {0} are not accepted here")]
    NotAllowed(&'static str),
    /// The content is something else than its sender says.
    #[error("the content is not what its type says")]
    Mismatch,
    /// Something that is a program, a web page or an archive as well.
    #[error("the file contains a second file or active content")]
    Polyglot,
    /// Cut off, or not a valid file of its type.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// More pixels, frames or parts than may be taken.
    #[error("{0}")]
    TooLarge(&'static str),
}

impl Refused {
    /// Whether it is the size that is at fault, rather than the type.
    #[must_use]
    pub fn is_too_large(self) -> bool {
        matches!(self, Self::TooLarge(_))
    }
}

/// What can go wrong while a file is looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is at fault.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The file could not be read: it is the disk that is at fault.
    #[error("could not read the file: {0}")]
    Io(io::Error),
}

/// A file that ends in the middle is the file's fault, all other failures to read are the disk's.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Refused(ENDS_EARLY)
        } else {
            Self::Io(error)
        }
    }
}

/// The file is shorter than it says.
pub(super) const ENDS_EARLY: Refused = Refused::Damaged("it ends too early");
