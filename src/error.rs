//! The one error type of the library.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

use crate::kernel;
pub(crate) use store::{Refusal, is_passing};
use store::{in_words, ours, said};

mod store;

/// What can go wrong, said so that a person knows what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument, option or value that cannot be used; the message names it and says what to do.
    #[error("{0}")]
    Invalid(String),

    /// A file that cannot be used as it is: not Parquet, truncated, a column missing or of the wrong type.
    #[error("{path}: {message}")]
    File {
        /// The file, as the user named it.
        path: String,
        /// What is wrong and what to do.
        message: String,
    },

    /// A row that cannot be used.
    #[error("{path}: column `{column}`, row {row}: {message}")]
    Row {
        /// The file, as the user named it.
        path: String,
        /// The column of the bad value.
        column: String,
        /// The row, counted from 0 in its file.
        row: u64,
        /// What is wrong and what to do.
        message: String,
    },

    /// An output that is there already and may not be replaced.
    #[error("{path}: {message}")]
    Exists {
        /// The file or folder that is in the way.
        path: String,
        /// What is there and which option allows it.
        message: String,
    },

    /// A stored value written by a newer version.
    #[error("{what} has format {found}, this babelake reads formats up to {supported}: update babelake")]
    Format {
        /// The kind of value: space, decoder or translator.
        what: &'static str,
        /// The format found.
        found: i32,
        /// The newest format this version reads.
        supported: i32,
    },

    /// The mathematics found no answer: too few anchors, rank zero and the like.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),

    /// A statement of a script failed, or the script could not be read.
    #[error("{path}:{line}: {source}")]
    Script {
        /// The script, as the user named it.
        path: String,
        /// The line in the file, counted from 1.
        line: usize,
        /// What is wrong.
        source: Box<Error>,
    },

    /// Reading or writing failed below us.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder, as the user named it.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },

    /// A store that did not do what it was asked for within the retries, for a reason that may pass.
    #[error("{path}: {message}")]
    Unavailable {
        /// The file or folder, as the user named it.
        path: String,
        /// What was tried and what the store said.
        message: String,
    },

    /// The data is not what the job is meant for: it could be done, and should not be without a second look.
    #[error("{0}")]
    Guard(String),

    /// A translation is not as good as the gate asks for; the message says by how much and what to do.
    #[error("{0}")]
    Gate(String),

    /// An object store failed.
    #[error("{}", in_words(.0))]
    Store(#[from] object_store::Error),

    /// Arrow refused a value.
    #[error("{0}")]
    Arrow(#[from] ArrowError),

    /// Parquet refused a file.
    #[error("{0}")]
    Parquet(ParquetError),

    /// The query engine refused or failed a statement; the root of its error is what a person needs.
    #[error("{}", root_message(.0))]
    Engine(DataFusionError),
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::File`].
    pub fn file(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::File { path: path.into(), message: message.into() }
    }

    /// What a store said about a file: [`Error::Unavailable`] where another try may succeed, [`Error::File`] otherwise.
    pub fn store(path: impl Into<String>, what: &str, error: &object_store::Error) -> Self {
        if let Some(Self::File { message, .. }) = ours(error) {
            return Self::file(path, message);
        }
        Self::about(path, format!("{what}: {}", said(error)), is_passing(error))
    }

    /// This error as one about `path`, with the chance of another try that it has.
    pub fn of(self, path: impl Into<String>) -> Self {
        Self::about(path, self.to_string(), self.is_passing())
    }

    fn about(path: impl Into<String>, message: String, passing: bool) -> Self {
        let path = path.into();
        if passing { Self::Unavailable { path, message } } else { Self::File { path, message } }
    }

    /// The file or folder it is about, as the user named it, where it is about one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File { path, .. }
            | Self::Row { path, .. }
            | Self::Exists { path, .. }
            | Self::Script { path, .. }
            | Self::Io { path, .. }
            | Self::Unavailable { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether the same command may succeed later without any change.
    pub fn is_passing(&self) -> bool {
        self.causes().any(|error| {
            error.downcast_ref::<object_store::Error>().is_some_and(is_passing)
                || matches!(error.downcast_ref(), Some(Self::Unavailable { .. }))
        })
    }

    /// Whether a quality gate said no.
    pub fn is_gate(&self) -> bool {
        self.causes().any(|error| matches!(error.downcast_ref(), Some(Self::Gate(_))))
    }

    /// This error and what it came from, also where the messages leave that out.
    fn causes(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        std::iter::successors(Some(self as &(dyn std::error::Error + 'static)), |error| {
            match error.downcast_ref::<Self>() {
                Some(Self::Script { source, .. }) => Some(source.as_ref()),
                Some(Self::Engine(engine)) => Some(engine),
                Some(Self::Store(store)) => Some(store),
                Some(Self::Arrow(arrow)) => Some(arrow),
                Some(Self::Parquet(parquet)) => Some(parquet),
                _ => error.source(),
            }
        })
    }
}

/// The message of the innermost error: the engine wraps errors once a plan node, and the wrappers say nothing to a user.
fn root_message(error: &DataFusionError) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(store) = error.downcast_ref::<object_store::Error>() {
            return in_words(store);
        }
        cause = error.source();
    }
    match error.find_root() {
        DataFusionError::External(inner) => inner.to_string(),
        DataFusionError::SQL(parser, _) => parser.to_string(),
        root => root.message().into_owned(),
    }
}

impl From<ParquetError> for Error {
    /// An error of ours that went through a Parquet writer comes back as itself.
    fn from(error: ParquetError) -> Self {
        let ParquetError::External(inner) = error else { return Self::Parquet(error) };
        match inner.downcast::<std::io::Error>() {
            Ok(io) => match io.downcast::<Self>() {
                Ok(ours) => ours,
                Err(io) => Self::Parquet(ParquetError::External(Box::new(io))),
            },
            Err(other) => Self::Parquet(ParquetError::External(other)),
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Self::Engine(DataFusionError::External(other)),
            },
            other => Self::Engine(other),
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::Engine(inner) => inner,
            other => Self::External(Box::new(other)),
        }
    }
}
