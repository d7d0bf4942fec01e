//! A store whose errors name its objects by URL.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::error::Refusal;

/// The same store. What it says names objects by their URLs, as users do; and a put that creates is repeated like others
/// when its answer is lost.
#[derive(Debug)]
pub struct Named {
    store: Arc<dyn ObjectStore>,
    names: Names,
    retries: usize,
    retry_timeout: Duration,
}

/// The URL of the store.
#[derive(Debug, Clone)]
struct Names(Arc<str>);

impl Named {
    /// Over the store at `url`.
    pub fn new(store: Arc<dyn ObjectStore>, url: &str, retries: usize, retry_timeout: Duration) -> Self {
        Self { store, names: Names(url.into()), retries, retry_timeout }
    }

    /// Whether the object has exactly these bytes.
    async fn holds(&self, location: &Path, payload: &PutPayload) -> Result<bool> {
        let found = self.store.get(location).await?;
        if found.meta.size != payload.content_length() as u64 {
            return Ok(false);
        }
        let found = found.bytes().await?;
        let mut rest = found.as_ref();
        Ok(payload.iter().all(|part| {
            let (begins, after) = (rest.starts_with(part), rest.get(part.len()..).unwrap_or_default());
            rest = after;
            begins
        }))
    }
}

impl Names {
    fn named(&self, location: Option<&Path>, error: Error) -> Error {
        let url = match location {
            Some(location) => format!("{}/{location}", self.0),
            None => self.0.to_string(),
        };
        match error {
            // An error within the repetition of a request has lost its kind.
            Error::Generic { store, source } => match source.downcast::<Error>() {
                Ok(inner) => self.named(location, *inner),
                Err(source) => {
                    let source = Refusal::new(url, &Error::Generic { store, source });
                    Error::Generic { store, source: Box::new(source) }
                }
            },
            Error::NotFound { source, .. } => Error::NotFound { path: url, source },
            Error::AlreadyExists { source, .. } => Error::AlreadyExists { path: url, source },
            Error::Precondition { source, .. } => Error::Precondition { path: url, source },
            Error::NotModified { source, .. } => Error::NotModified { path: url, source },
            Error::PermissionDenied { source, .. } => Error::PermissionDenied { path: url, source },
            Error::Unauthenticated { source, .. } => Error::Unauthenticated { path: url, source },
            other => other,
        }
    }

    fn of<'a>(&'a self, location: &'a Path) -> impl Fn(Error) -> Error + 'a {
        move |error| self.named(Some(location), error)
    }

    fn stream<T: 'static>(
        &self,
        location: Option<&Path>,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let (names, location) = (self.clone(), location.cloned());
        stream.map_err(move |error| names.named(location.as_ref(), error)).boxed()
    }
}

/// Whether an answer may be lost, and so is not asked for again: what was asked may have been done.
fn is_lost(error: &Error) -> bool {
    let Error::Generic { source, .. } = error else { return false };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source.as_ref());
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return !matches!(http.kind(), HttpErrorKind::Connect | HttpErrorKind::Request);
        }
        cause = error.source();
    }
    false
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Named {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (begin, mut lost) = (Instant::now(), 0);
        loop {
            let result = self.store.put_opts(location, payload.clone(), options.clone()).await;
            match result {
                Err(error) if options.mode == PutMode::Create && is_lost(&error) => {
                    if lost == self.retries || begin.elapsed() > self.retry_timeout {
                        return Err(self.names.named(Some(location), error));
                    }
                    lost += 1;
                }
                // What stands there may be what the lost answer was about.
                Err(Error::AlreadyExists { .. })
                    if lost > 0 && self.holds(location, &payload).await.map_err(self.names.of(location))? =>
                {
                    return Ok(PutResult { e_tag: None, version: None });
                }
                result => return result.map_err(self.names.of(location)),
            }
            tokio::time::sleep(Duration::from_millis(100) * lost as u32).await;
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.store.put_multipart_opts(location, options).await.map_err(self.names.of(location))?;
        Ok(Box::new(NamedUpload { upload, names: self.names.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        // A weak one matches nothing, not even itself.
        options.if_match = options.if_match.filter(|tag| !tag.starts_with("W/"));
        let mut result = self.store.get_opts(location, options).await.map_err(self.names.of(location))?;
        if let GetResultPayload::Stream(stream) = result.payload {
            result.payload = GetResultPayload::Stream(self.names.stream(Some(location), stream));
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.names.stream(None, self.store.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.names.stream(prefix, self.store.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.names.stream(prefix, self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await.map_err(|error| self.names.named(prefix, error))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await.map_err(self.names.of(to))
    }
}

#[derive(Debug)]
struct NamedUpload {
    upload: Box<dyn MultipartUpload>,
    names: Names,
    location: Path,
}

impl Names {
    /// The error of an upload that has begun.
    fn of_upload(&self, location: &Path, error: Error) -> Error {
        match error {
            Error::NotFound { .. } => {
                let said = "the store has dropped the upload, or has completed it and the answer was lost: try again";
                let source = Refusal::passing(format!("{}/{location}", self.0), said);
                Error::Generic { store: "upload", source: Box::new(source) }
            }
            error => self.named(Some(location), error),
        }
    }
}

#[async_trait]
impl MultipartUpload for NamedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, names, location) = (self.upload.put_part(data), self.names.clone(), self.location.clone());
        Box::pin(async move { part.await.map_err(|error| names.of_upload(&location, error)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.complete().await.map_err(|error| self.names.of_upload(&self.location, error))
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await.map_err(self.names.of(&self.location))
    }
}
