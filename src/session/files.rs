//! Files and folders as tables: `FROM 'file.parquet'`, `FROM 'folder/'`.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::catalog::{DynamicFileCatalog, TableProvider, UrlTableFactory};
use datafusion::common::{DataFusionError, Result as EngineResult, plan_datafusion_err};
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use object_store::Error as StoreError;

use super::layout;
use crate::Error;

/// Makes table names that are paths mean the files there.
pub fn enable(context: SessionContext) -> SessionContext {
    let factory = Arc::new(FileTables::default());
    let catalogs = Arc::clone(context.state().catalog_list());
    let catalogs = DynamicFileCatalog::new(catalogs, Arc::clone(&factory) as Arc<dyn UrlTableFactory>);
    let context: SessionContext = context.into_state_builder().with_catalog_list(Arc::new(catalogs)).build().into();
    let state = context.state_weak_ref();
    // Set once: the factory is ours alone.
    factory.state.set(Box::new(move || state.upgrade().map(|state| state.read().clone()))).ok();
    context
}

/// Unlike the engine's own, passes over files in a folder that are no tables (`README.md`, `_SUCCESS`), and says what is
/// wrong with a path instead of "table not found".
#[derive(Default)]
struct FileTables {
    /// The session as it is now. It holds this factory, so this cannot hold it.
    state: OnceLock<Box<dyn Fn() -> Option<SessionState> + Send + Sync>>,
}

impl fmt::Debug for FileTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileTables")
    }
}

#[async_trait]
impl UrlTableFactory for FileTables {
    async fn try_new(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        let Ok(url) = ListingTableUrl::parse(name) else { return Ok(None) };
        let state = self.state.get().and_then(|state| state());
        let state = state.ok_or_else(|| plan_datafusion_err!("the session has ended"))?;
        let format = |path: &str| {
            let extension = Path::new(path).extension()?.to_str()?;
            Some((state.get_file_format_factory(extension)?, extension.to_owned()))
        };
        let is_path = name.contains('/') || format(name).is_some();

        let store = state.runtime_env().object_store(url.object_store())?;
        #[cfg(feature = "delta")]
        if url.get_glob().is_none()
            && let Some(table) = super::delta::named(&state, name, url.as_ref()).await?
        {
            return Ok(Some(table));
        }
        let mut found = None;
        let mut others = false;
        let mut files = match url.list_all_files(&state, store.as_ref(), "").await {
            Err(error) if !is_missing(&error) => return Err(named(name, "cannot be listed", error)),
            files => files.ok(),
        };
        while let Some(stream) = &mut files {
            match stream.try_next().await {
                Ok(Some(file)) => found = format(file.location.as_ref()),
                Err(error) if !is_missing(&error) => return Err(named(name, "cannot be listed", error)),
                Ok(None) | Err(_) => break,
            }
            if found.is_some() {
                break;
            }
            others = true;
        }
        let Some((format, extension)) = found else {
            return match (is_path, others) {
                (false, _) => Ok(None),
                (true, false) => Err(Error::file(name, "no such file, or a folder without files").into()),
                (true, true) => Err(Error::file(name, "no Parquet, CSV, JSON or Arrow file there").into()),
            };
        };
        // The folder's own metadata are seen when its schema is inferred, for then all of it is listed.
        let above = layout::table_above(&store, url.prefix()).await;
        if let Some(format) = above.map_err(|error| Error::store(name, "cannot be looked up", &error))? {
            return Err(Error::file(name, format.unreadable()).into());
        }
        let format = format.create(&state, &HashMap::new())?;
        let options = ListingOptions::new(format).with_file_extension(extension);
        let table = ListingTableConfig::new(url.clone()).with_listing_options(options);
        let table = async { table.infer_partitions_from_path(&state).await?.infer_schema(&state).await };
        let table = table.await.map_err(|error| match named(name, "cannot be read", error).into() {
            // The engine's message says what is wrong, but not in which table.
            error @ Error::Engine(_) => error.of(name),
            error => error,
        })?;
        Ok(Some(Arc::new(ListingTable::try_new(table)?)))
    }
}

fn is_missing(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ObjectStore(error) if matches!(**error, StoreError::NotFound { .. }))
}

/// What a store said, with the name of the table.
fn named(name: &str, what: &str, error: DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::ObjectStore(refusal) => Error::store(name, what, refusal).into(),
        _ => error,
    }
}
