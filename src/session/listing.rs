//! Stores as SQL sees them: what is no data is not listed, and the folder of a table format is no folder of files.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::Result as EngineResult;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use url::Url;

use super::layout::{TableFormat, is_hidden};
use super::stores::Stores;
use crate::Error;

/// The stores, each with [`Listing`] over it.
#[derive(Debug)]
pub struct Listings(pub Arc<Stores>);

impl ObjectStoreRegistry for Listings {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        Ok(Arc::new(Listing(self.0.of(url)?)))
    }
}

/// Files can be named whatever they are called; listings pass over those below the folder whose names, or whose folders'
/// names, say that they are no data. The engine reads every file that is listed.
#[derive(Debug)]
struct Listing(Arc<dyn ObjectStore>);

impl Listing {
    fn data(
        objects: BoxStream<'static, Result<ObjectMeta>>,
        folder: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let folder = folder.cloned().unwrap_or_default();
        let is_data = move |object: ObjectMeta| {
            let below = object.location.as_ref().strip_prefix(folder.as_ref()).unwrap_or(object.location.as_ref());
            let below = below.trim_start_matches('/');
            future::ready(match TableFormat::of(below) {
                Some((format, "")) => {
                    let refused = Error::file(folder.as_ref(), format.unreadable());
                    Err(StoreError::Generic { store: "listing", source: Box::new(refused) })
                }
                _ if below.split('/').any(is_hidden) => Ok(None),
                _ => Ok(Some(object)),
            })
        };
        objects.try_filter_map(is_data).boxed()
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Listing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Self::data(self.0.list(prefix), prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        Self::data(self.0.list_with_offset(prefix, offset), prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.0.list_with_delimiter(prefix).await?;
        let is_data = |path: &Path| !path.filename().is_some_and(is_hidden);
        listed.common_prefixes.retain(is_data);
        listed.objects.retain(|object| is_data(&object.location));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}
