//! A file of this machine while it is written: beside its place, under a hidden name, locked by its writer.
//!
//! A writer that is killed leaves its file and loses the lock: that tells the next job what it may remove.

use std::fs::{File, TryLockError};
use std::io::{Error, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Names end like that; they begin with a dot.
const SUFFIX: &str = ".babelake-staged";

/// A file that is not yet at its place; dropped, nothing of it remains.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    place: PathBuf,
    sync: bool,
}

impl Staged {
    /// A new file that will be at `place`; folders on the way are made. With `sync` it is on the disk itself before it is at
    /// its place, and so outlives a loss of power.
    pub fn new(place: &Path, sync: bool) -> Result<Self> {
        // It would be replaced, /dev/null included.
        if place.exists() && !place.is_file() {
            return Err(Error::other("it is there and is no file"));
        }
        let folder = place.parent().unwrap_or(place);
        std::fs::create_dir_all(folder)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        loop {
            let mut builder = tempfile::Builder::new();
            // As the system makes any other file; a temporary one would be the owner's alone.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let file = builder.prefix(&format!(".{name}.")).suffix(SUFFIX).tempfile_in(folder);
            // What it says besides is a name that nobody knows.
            let file = file.map_err(|error| Error::from(error.kind()))?;
            file.as_file().lock()?;
            // Between the two another job may have taken it for one whose writer is gone.
            if file.path().exists() {
                return Ok(Self { file, place: place.to_owned(), sync });
            }
        }
    }

    /// Writes bytes from this offset on.
    pub fn write_at<'a>(&mut self, offset: u64, mut bytes: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        // Not by way of the temporary file: its errors tell a name that nobody knows.
        let mut file = self.file.as_file();
        file.seek(SeekFrom::Start(offset))?;
        bytes.try_for_each(|bytes| file.write_all(bytes))
    }

    /// Puts the file at its place, instead of what is there.
    pub fn complete(self) -> Result<()> {
        self.at_its_place(|file, place| file.persist(place))
    }

    /// Puts the file at its place where nothing is there; an error of kind `AlreadyExists` otherwise.
    pub fn complete_new(self) -> Result<()> {
        self.at_its_place(|file, place| file.persist_noclobber(place))
    }

    fn at_its_place(self, persist: impl FnOnce(NamedTempFile, &Path) -> Persisted) -> Result<()> {
        let Self { file, place, sync } = self;
        if sync {
            file.as_file().sync_all()?;
        }
        persist(file, &place)?;
        match place.parent() {
            // The name is the folder's; on Windows a folder cannot be opened as a file.
            Some(folder) if sync && cfg!(unix) => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

type Persisted = std::result::Result<File, tempfile::PersistError>;

/// Whether a file is called as staged ones are.
pub fn is_name(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Removes files in `folder` that killed writers have left. What cannot be removed is left: it is in nobody's way.
pub fn clean(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if !is_name(&path.file_name().unwrap_or_default().to_string_lossy()) {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        match file.try_lock() {
            Ok(()) => drop(std::fs::remove_file(&path)),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_complete_and_leftovers_go() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let place = folder.path().join("a.parquet");
        let mut staged = Staged::new(&place, true).unwrap();
        staged.write_at(0, [b"whole".as_slice()].into_iter()).unwrap();
        assert!(!place.exists());
        // Its writer lives.
        clean(folder.path());
        assert_eq!(names().len(), 1);
        staged.complete().unwrap();
        assert_eq!((names(), std::fs::read(&place).unwrap()), (vec!["a.parquet".to_owned()], b"whole".to_vec()));

        let second = Staged::new(&place, false).unwrap().complete_new().unwrap_err();
        assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
        assert!(Staged::new(folder.path(), false).is_err());
        drop(Staged::new(&place, false).unwrap());
        assert_eq!(names(), ["a.parquet"]);
        // A killed writer leaves its file and no lock.
        std::fs::write(folder.path().join(format!(".a.parquet.x1{SUFFIX}")), "half").unwrap();
        clean(folder.path());
        assert_eq!(names(), ["a.parquet"]);
    }
}
