//! Folders that a write makes on a local disk, and takes away again when it comes to nothing.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use url::Url;

/// The folders that one write has made. Stores that are not the local disk have no folders.
#[derive(Debug, Default)]
pub struct Folders {
    disk: Option<LocalFileSystem>,
    /// Outer folders stand before those within.
    made: Mutex<Vec<PathBuf>>,
}

impl Folders {
    /// For writes to the store at `url`.
    pub fn of(url: &Url) -> Self {
        Self { disk: (url.scheme() == "file").then(LocalFileSystem::new), made: Mutex::default() }
    }

    /// Makes the folders that the object needs and that are not there. The store would make them as well, and nobody
    /// would know afterwards that they are ours; what goes wrong here goes wrong there too, and it tells.
    pub fn make(&self, location: &Path) {
        let Some(file) = self.disk.as_ref().and_then(|disk| disk.path_to_filesystem(location).ok()) else { return };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<_> = file.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            if std::fs::create_dir(folder).is_ok() {
                made.push(folder.to_owned());
            }
        }
    }

    /// Removes those that are empty.
    pub fn remove(&self) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in made.drain(..).rev() {
            // Fails where another has put something into it meanwhile, and then it shall stay.
            std::fs::remove_dir(folder).ok();
        }
    }
}
