//! Writes that nobody sees before all of them have succeeded.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::client::IfAbsent;
use super::folders::Folders;

/// Objects on their way into one store, published together by [`Staging::commit`] or not at all.
///
/// What is written through [`Staging::store`] is uploaded as multipart uploads of the real store whose completion is
/// held back (for local files: staged files that no listing shows). Dropping a `Staging` whose writes are still under
/// way rolls back in the background; [`super::settled`] waits for that.
///
/// Each object appears whole or not at all. A process killed within `commit` may leave some objects of a folder
/// published and others not, or a large exclusive one under the hidden name where it waited for its own
/// ([`Exclusive::Aside`]).
#[derive(Debug)]
pub struct Staging(Arc<Shared>);

/// Whether [`Staging::commit`] publishes an object only where its name is free by then. Of several such writes to one name
/// the first wins, and the others get [`Error::AlreadyExists`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusive {
    /// It replaces what is there.
    No,
    /// Parts are put together under a hidden name and copied from there: the store has no upload of parts that fails on a
    /// taken name.
    Aside,
    /// The store itself completes an upload of parts where the name is free, and fails where it is taken.
    AtCompletion,
}

impl Staging {
    /// Stages writes into `store`, to what a person calls `target`.
    pub async fn begin(
        store: Arc<dyn ObjectStore>,
        target: &str,
        folders: Folders,
        exclusive: Exclusive,
        writes: Arc<Writes>,
    ) -> Self {
        let running = Arc::clone(&writes.running).read_owned().await;
        let held = Held { closed: false, uploads: Vec::new(), memory_left: MEMORY_FOR_SMALL_OBJECTS, refusal: None };
        let target = target.to_owned();
        Self(Arc::new(Shared { store, target, folders, exclusive, held: Mutex::new(held), writes, _running: running }))
    }

    /// A store to write through; reads, listings and deletions pass.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(StagingStore(Arc::clone(&self.0)))
    }

    /// Publishes everything, then deletes `replaced`. An object whose writer has not finished is an error, and then
    /// nothing is published.
    ///
    /// When an object cannot be published, those not yet published are dropped, and those that are published already
    /// are deleted again if `fresh` says that they stand at names that were free before.
    pub async fn commit(&self, replaced: Vec<Path>, fresh: bool) -> Result<()> {
        let shared = Arc::clone(&self.0);
        // In a task of its own: a caller that is cancelled now must not leave half of it published.
        tokio::spawn(async move { shared.commit(replaced, fresh).await }).await?
    }

    /// Drops everything; nothing of it is ever visible.
    pub async fn rollback(&self) {
        self.0.rollback().await;
    }

    /// What the real store said when it refused bytes, if it did: the writers' own error does not tell reading from writing.
    pub fn refusal(&self) -> Option<crate::Error> {
        lock(&self.0.held).refusal.take()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.0);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { shared.rollback().await });
        }
    }
}

/// The writes of a session: those under way, and what was published.
#[derive(Debug, Default)]
pub struct Writes {
    running: Arc<RwLock<()>>,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Writes {
    /// Waits until nothing is staged.
    pub async fn settled(&self) {
        drop(self.running.write().await);
    }

    /// Files and bytes published so far.
    pub fn published(&self) -> (u64, u64) {
        (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// How long a store may take to drop an upload: one that is down has used up its retries already.
const PATIENCE: Duration = Duration::from_secs(10);

/// Small objects are held in memory up to this total, so that thousands of partition files need no open file each.
const MEMORY_FOR_SMALL_OBJECTS: usize = 64 << 20;

#[derive(Debug)]
struct Shared {
    store: Arc<dyn ObjectStore>,
    target: String,
    folders: Folders,
    exclusive: Exclusive,
    held: Mutex<Held>,
    writes: Arc<Writes>,
    _running: OwnedRwLockReadGuard<()>,
}

#[derive(Debug)]
struct Held {
    /// Set by commit and rollback: what comes later is refused.
    closed: bool,
    uploads: Vec<Arc<Upload>>,
    memory_left: usize,
    refusal: Option<crate::Error>,
}

#[derive(Debug)]
struct Upload {
    location: Path,
    /// Where the parts are put together before they get their name: see [`Exclusive::Aside`].
    aside: Option<Path>,
    bytes: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Its writer is still at work.
    Writing(Box<dyn MultipartUpload>),
    /// All parts are there.
    Written(Box<dyn MultipartUpload>),
    /// Whole, in memory.
    Small(PutPayload, PutOptions),
    /// Published or dropped.
    Gone,
}

impl Upload {
    fn take(&self) -> State {
        std::mem::replace(&mut *lock(&self.state), State::Gone)
    }
}

impl Shared {
    /// Takes an upload over; drops it when the staging has ended meanwhile.
    async fn hold(&self, location: Path, aside: Option<Path>, state: State) -> Result<Arc<Upload>> {
        let bytes = if let State::Small(payload, _) = &state { payload.content_length() as u64 } else { 0 };
        let upload = Arc::new(Upload { location, aside, bytes: bytes.into(), state: Mutex::new(state) });
        let closed = {
            let mut held = lock(&self.held);
            if !held.closed {
                held.uploads.push(Arc::clone(&upload));
            }
            held.closed
        };
        if closed {
            discard(&upload).await;
            self.folders.remove();
            return Err(ended());
        }
        Ok(upload)
    }

    /// Ends the staging and hands out what it holds.
    fn close(&self) -> Vec<Arc<Upload>> {
        let mut held = lock(&self.held);
        held.closed = true;
        std::mem::take(&mut held.uploads)
    }

    async fn rollback(&self) {
        self.discard(&self.close()).await;
    }

    async fn discard(&self, uploads: &[Arc<Upload>]) {
        for upload in uploads {
            // A store that does not answer now will not for the others either.
            if !discard(upload).await {
                break;
            }
        }
        self.folders.remove();
    }

    async fn commit(&self, replaced: Vec<Path>, fresh: bool) -> Result<()> {
        let uploads = self.close();
        // The whole plan has succeeded, and still a file is not whole: rows would be missing.
        if let Some(unfinished) = uploads.iter().find(|upload| matches!(*lock(&upload.state), State::Writing(_))) {
            self.discard(&uploads).await;
            return Err(Error::Generic {
                store: "staging",
                source: format!("the writer of {} ended before its file was whole", unfinished.location).into(),
            });
        }
        let (mut files, mut bytes) = (0, 0);
        for (index, upload) in uploads.iter().enumerate() {
            match self.publish(upload).await {
                Ok(false) => {}
                Ok(true) => {
                    files += 1;
                    bytes += upload.bytes.load(Ordering::Relaxed);
                }
                Err(error) => {
                    if fresh {
                        for published in uploads.iter().take(index) {
                            // The error that brought us here is the one to report.
                            self.store.delete(&published.location).await.ok();
                        }
                    }
                    self.discard(&uploads).await;
                    return Err(error);
                }
            }
        }
        self.writes.files.fetch_add(files, Ordering::Relaxed);
        self.writes.bytes.fetch_add(bytes, Ordering::Relaxed);
        for location in replaced {
            match self.store.delete(&location).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether there was something to publish.
    async fn publish(&self, upload: &Upload) -> Result<bool> {
        let Upload { location, aside, .. } = upload;
        match (upload.take(), aside) {
            (State::Written(parts), None) => complete(parts).await?,
            (State::Written(parts), Some(aside)) => {
                complete(parts).await?;
                let outcome = self.store.copy_if_not_exists(aside, location).await;
                self.store.delete(aside).await.ok();
                outcome?;
            }
            (State::Small(payload, mut options), _) => {
                if self.exclusive != Exclusive::No {
                    options.mode = PutMode::Create;
                }
                self.folders.make(location);
                self.store.put_opts(location, payload, options).await.map(drop)?;
            }
            // Given up by its own writer; none is still at work.
            (State::Writing(_) | State::Gone, _) => return Ok(false),
        }
        Ok(true)
    }

    /// Takes room for a small object, if there is some left.
    fn reserve(&self, bytes: usize) -> bool {
        let mut held = lock(&self.held);
        let left = held.memory_left.checked_sub(bytes);
        held.memory_left = left.unwrap_or(held.memory_left);
        left.is_some()
    }

    /// Passes a result of the real store on, its error noted.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            let refusal = || crate::Error::store(&self.target, "cannot be written", error);
            lock(&self.held).refusal.get_or_insert_with(refusal);
        }
        result
    }

    async fn open(&self, location: Path, mut options: PutMultipartOptions) -> Result<Arc<Upload>> {
        let aside = (self.exclusive == Exclusive::Aside).then(|| beside(&location));
        if self.exclusive == Exclusive::AtCompletion {
            options.extensions.insert(IfAbsent);
        }
        let staged = aside.as_ref().unwrap_or(&location);
        self.folders.make(staged);
        let parts = self.noted(self.store.put_multipart_opts(staged, options).await)?;
        self.hold(location, aside, State::Writing(parts)).await
    }
}

/// A free name beside `location` that no reader takes for a table: hidden, and with an extension that is none.
fn beside(location: &Path) -> Path {
    let mut parts: Vec<_> = location.parts().collect();
    let name = parts.pop();
    let name = name.as_ref().map_or("", |name| name.as_ref());
    let hidden = format!(".{name}.{:016x}", RandomState::new().hash_one(name));
    parts.into_iter().chain([hidden.into()]).collect()
}

/// Makes the parts an object. Where that fails, nothing of them is to stay in the store.
async fn complete(mut parts: Box<dyn MultipartUpload>) -> Result<()> {
    let Err(error) = parts.complete().await else { return Ok(()) };
    tokio::time::timeout(PATIENCE, parts.abort()).await.ok();
    match error {
        Error::Precondition { path, source } => Err(Error::AlreadyExists { path, source }),
        error => Err(error),
    }
}

/// Drops an upload; whether the store did so, in time. Nothing of it is visible, so a failure leaves only unlisted bytes and
/// is no failure of the query.
async fn discard(upload: &Upload) -> bool {
    match upload.take() {
        State::Writing(mut parts) | State::Written(mut parts) => {
            tokio::time::timeout(PATIENCE, parts.abort()).await.is_ok_and(|done| done.is_ok())
        }
        State::Small(..) | State::Gone => true,
    }
}

/// A panic of another thread leaves the state as it was: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended() -> Error {
    Error::Generic { store: "staging", source: "the write was cancelled".into() }
}

/// The writers' side of one upload.
#[derive(Debug)]
struct StagedUpload {
    upload: Arc<Upload>,
    shared: Arc<Shared>,
}

#[async_trait]
impl MultipartUpload for StagedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match &mut *lock(&self.upload.state) {
            State::Writing(parts) => {
                self.upload.bytes.fetch_add(data.content_length() as u64, Ordering::Relaxed);
                let (part, shared) = (parts.put_part(data), Arc::clone(&self.shared));
                Box::pin(async move { shared.noted(part.await) })
            }
            _ => Box::pin(async { Err(ended()) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut state = lock(&self.upload.state);
        match std::mem::replace(&mut *state, State::Gone) {
            State::Writing(parts) => *state = State::Written(parts),
            _ => return Err(ended()),
        }
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        discard(&self.upload).await;
        Ok(())
    }
}

#[derive(Debug)]
struct StagingStore(Arc<Shared>);

impl fmt::Display for StagingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Staging({})", self.0.store)
    }
}

#[async_trait]
impl ObjectStore for StagingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        // Only a plain put can become an upload of parts, and an upload needs a part.
        let bytes = payload.content_length();
        if self.0.reserve(bytes) || bytes == 0 || options.mode != PutMode::Overwrite {
            self.0.hold(location.clone(), None, State::Small(payload, options)).await?;
        } else {
            let PutOptions { tags, attributes, extensions, .. } = options;
            let parts = PutMultipartOptions { tags, attributes, extensions };
            let mut upload = self.put_multipart_opts(location, parts).await?;
            upload.put_part(payload).await?;
            upload.complete().await?;
        }
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (shared, location) = (Arc::clone(&self.0), location.clone());
        // In a task of its own: a writer dropped while the store opens an upload must not leave one that nobody holds.
        let upload = tokio::spawn(async move { shared.open(location, options).await }).await??;
        Ok(Box::new(StagedUpload { upload, shared: Arc::clone(&self.0) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.store.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.store.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.store.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.store.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.store.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::memory::InMemory;

    use super::*;

    async fn begin(store: &Arc<dyn ObjectStore>, exclusive: Exclusive) -> Staging {
        Staging::begin(Arc::clone(store), "out", Folders::default(), exclusive, Arc::default()).await
    }

    async fn names(store: &Arc<dyn ObjectStore>) -> Vec<String> {
        let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
        objects.into_iter().map(|object| object.location.to_string()).collect()
    }

    async fn write(staging: &Staging, name: &str, text: &'static str, in_parts: bool) {
        let (store, name) = (staging.store(), Path::from(name));
        if in_parts {
            let mut upload = store.put_multipart(&name).await.unwrap();
            upload.put_part(text.into()).await.unwrap();
            upload.complete().await.unwrap();
        } else {
            store.put(&name, text.into()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_whole_is_an_error_and_nothing_is_published() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let staging = begin(&store, Exclusive::No).await;
        write(&staging, "out/a", "whole", false).await;
        write(&staging, "out/b", "whole", true).await;
        let mut upload = staging.store().put_multipart(&"out/c".into()).await.unwrap();
        upload.put_part("half".into()).await.unwrap();
        let old = Path::from("out/old");
        store.put(&old, "stays".into()).await.unwrap();

        let message = staging.commit(vec![old], true).await.unwrap_err().to_string();
        assert!(message.contains("out/c"), "{message}");
        assert_eq!(names(&store).await, ["out/old"]);
        // The writer that comes too late is told.
        assert!(upload.complete().await.is_err());
    }

    #[tokio::test]
    async fn of_exclusive_writes_to_one_name_the_first_wins() {
        for in_parts in [[false, false], [true, true], [false, true], [true, false]] {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let (first, second) = (begin(&store, Exclusive::Aside).await, begin(&store, Exclusive::Aside).await);
            write(&first, "out/x.parquet", "first", in_parts[0]).await;
            write(&second, "out/x.parquet", "second", in_parts[1]).await;
            assert!(names(&store).await.is_empty());

            first.commit(Vec::new(), true).await.unwrap();
            let error = second.commit(Vec::new(), true).await.unwrap_err();
            assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
            assert_eq!(names(&store).await, ["out/x.parquet"]);
            let found = store.get(&"out/x.parquet".into()).await.unwrap().bytes().await.unwrap();
            assert_eq!(found, "first");
        }
    }
}
