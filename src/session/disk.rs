//! The files of this machine as a store whose objects appear whole, and which cleans up after writers that were killed.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, future};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::client::IfAbsent;
use super::staged::{self, Staged};

/// `object_store`'s files, written by way of [`Staged`] ones.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: LocalFileSystem,
    /// Whether a file is on the disk itself before it appears: see [`super::stores::Access::sync`].
    sync: bool,
    /// Folders that hold nothing of killed writers any more.
    cleaned: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Disk {
    /// All files of this machine.
    pub fn new(sync: bool) -> Self {
        Self { sync, ..Self::default() }
    }

    /// A file that will be at `location`.
    async fn stage(&self, location: &Path) -> Result<Staged> {
        let place = self.files.path_to_filesystem(location)?;
        let (cleaned, sync) = (Arc::clone(&self.cleaned), self.sync);
        let staged = blocking(move || {
            if let Some(folder) = place.parent()
                && cleaned.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned())
            {
                staged::clean(folder);
            }
            Staged::new(&place, sync)
        });
        staged.await.map_err(|error| refused(location, error))
    }
}

/// Does what may wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn refused(location: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Error::PermissionDenied { path: location.to_string(), source: error.into() }
        }
        _ => Error::Generic { store: "disk", source: error.into() },
    }
}

/// Puts a written file at its place; `exclusive`: where nothing is there.
async fn complete(staged: Staged, location: &Path, exclusive: bool) -> Result<PutResult> {
    let completed = blocking(move || if exclusive { staged.complete_new() } else { staged.complete() });
    match completed.await {
        Ok(()) => Ok(PutResult { e_tag: None, version: None }),
        Err(error) if exclusive && error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::AlreadyExists { path: location.to_string(), source: error.into() })
        }
        Err(error) => Err(refused(location, error)),
    }
}

/// A file that is written in parts.
#[derive(Debug)]
struct Parts {
    location: Path,
    /// `None` once it is complete or given up.
    staged: Arc<Mutex<Option<Staged>>>,
    /// Where the next part begins.
    offset: u64,
    exclusive: bool,
}

impl Parts {
    fn take(&self) -> Option<Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (staged, location, offset) = (Arc::clone(&self.staged), self.location.clone(), self.offset);
        self.offset += data.content_length() as u64;
        Box::pin(async move {
            let written = blocking(move || match &mut *staged.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(staged) => staged.write_at(offset, data.iter().map(Bytes::as_ref)),
                None => Err(std::io::Error::other("the write was cancelled")),
            });
            written.await.map_err(|error| refused(&location, error))
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.take() {
            Some(staged) => complete(staged, &self.location, self.exclusive).await,
            None => Err(refused(&self.location, std::io::Error::other("the write was cancelled"))),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        drop(self.take());
        Ok(())
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.files)
    }
}

#[async_trait]
impl ObjectStore for Disk {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            // Which says that it has no such thing.
            return self.files.put_opts(location, payload, options).await;
        }
        let mut staged = self.stage(location).await?;
        let written = blocking(move || {
            staged.write_at(0, payload.iter().map(Bytes::as_ref))?;
            Ok(staged)
        });
        let staged = written.await.map_err(|error| refused(location, error))?;
        complete(staged, location, options.mode == PutMode::Create).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let staged = self.stage(location).await?;
        Ok(Box::new(Parts {
            location: location.clone(),
            staged: Arc::new(Mutex::new(Some(staged))),
            offset: 0,
            exclusive: options.extensions.get::<IfAbsent>().is_some(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        // To open a pipe waits until somebody opens its other end.
        let place = self.files.path_to_filesystem(location)?;
        let kind = blocking(move || std::fs::metadata(place)).await.map(|found| found.file_type());
        if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir()) {
            return Err(refused(location, std::io::Error::other("is a device or a pipe, no file")));
        }
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix).filter(is_object).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset).filter(is_object).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.files.list_with_delimiter(prefix).await?;
        listed.objects.retain(|object| !is_staged(object));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await
    }
}

/// What is staged is no object yet, or never will be.
fn is_object(found: &Result<ObjectMeta>) -> future::Ready<bool> {
    future::ready(!found.as_ref().is_ok_and(is_staged))
}

fn is_staged(object: &ObjectMeta) -> bool {
    object.location.filename().is_some_and(staged::is_name)
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn an_object_appears_when_it_is_complete_and_leftovers_are_no_objects() {
        let temp = tempfile::tempdir().unwrap();
        let (disk, root) = (Disk::new(true), Path::from_absolute_path(temp.path()).unwrap());
        let names = || async {
            let found: Vec<_> = disk.list(Some(&root)).try_collect().await.unwrap();
            let names = found.into_iter().map(|object| object.location.filename().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        std::fs::write(temp.path().join(".a.x1.babelake-staged"), "of a killed writer").unwrap();
        assert!(names().await.is_empty());

        let a = root.clone().join("a");
        let mut parts = disk.put_multipart(&a).await.unwrap();
        // The second one first.
        let (first, second) = (parts.put_part("one ".into()), parts.put_part("two".into()));
        second.await.unwrap();
        first.await.unwrap();
        assert!(names().await.is_empty());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1, "the leftover is gone");
        parts.complete().await.unwrap();
        assert_eq!(names().await, ["a"]);
        assert_eq!(disk.get(&a).await.unwrap().bytes().await.unwrap(), "one two");

        let create = |text: &'static str| disk.put_opts(&a, text.into(), PutMode::Create.into());
        assert!(matches!(create("new").await, Err(Error::AlreadyExists { .. })));
        disk.put(&a, "replaced".into()).await.unwrap();
        assert_eq!(disk.get(&a).await.unwrap().bytes().await.unwrap(), "replaced");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
