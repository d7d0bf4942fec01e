//! A file of this machine while it is written: beside its place, under a hidden name, locked by its writer.
//!
//! A writer that is killed leaves its file and loses the lock: that tells the next job what it may remove.

use std::fs::{File, TryLockError};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Names end like that; they begin with a dot.
const SUFFIX: &str = ".babelake-staged";

/// A file that is not yet at its place; dropped, nothing of it remains.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    place: PathBuf,
}

impl Staged {
    /// A new file that will be at `place`; folders on the way are made.
    pub fn new(place: &Path) -> Result<Self> {
        // It would be replaced, /dev/null included.
        if place.exists() && !place.is_file() {
            return Err(std::io::Error::other("it is there and is no file"));
        }
        let folder = place.parent().unwrap_or(place);
        std::fs::create_dir_all(folder)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        loop {
            let mut builder = tempfile::Builder::new();
            // As the system makes any other file; a temporary one would be the owner's alone.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let file = builder.prefix(&format!(".{name}.")).suffix(SUFFIX).tempfile_in(folder)?;
            file.as_file().lock()?;
            // Between the two another job may have taken it for one whose writer is gone.
            if file.path().exists() {
                return Ok(Self { file, place: place.to_owned() });
            }
        }
    }

    /// Puts the file at its place, instead of what is there.
    pub fn complete(self) -> Result<()> {
        self.file.persist(&self.place)?;
        Ok(())
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

/// Removes files in `folder` that killed writers have left. What cannot be removed is left: it is in nobody's way.
pub fn clean(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') || !name.ends_with(SUFFIX) {
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
        let mut staged = Staged::new(&place).unwrap();
        staged.write_all(b"whole").unwrap();
        assert!(!place.exists());
        // Its writer lives.
        clean(folder.path());
        assert_eq!(names().len(), 1);
        staged.complete().unwrap();
        assert_eq!((names(), std::fs::read(&place).unwrap()), (vec!["a.parquet".to_owned()], b"whole".to_vec()));

        assert!(Staged::new(folder.path()).is_err());
        drop(Staged::new(&place).unwrap());
        assert_eq!(names(), ["a.parquet"]);
        // A killed writer leaves its file and no lock.
        std::fs::write(folder.path().join(format!(".a.parquet.x1{SUFFIX}")), "half").unwrap();
        clean(folder.path());
        assert_eq!(names(), ["a.parquet"]);
    }
}
