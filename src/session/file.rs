//! Rows that are made here to one Parquet file, as COPY writes it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::internal_datafusion_err;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileOutputMode, FileSinkConfig};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::collect;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::SessionContext;
use url::Url;

use crate::Result;

/// Writes all rows to the one Parquet file at `to`, which messages call `shown`: it appears when they are all there, or not at all.
/// A file that is there is an error unless it may be replaced.
pub async fn write_file(
    context: &SessionContext,
    rows: Arc<dyn PartitionStream>,
    to: Url,
    shown: &str,
    replace: bool,
) -> Result<()> {
    let state = context.state();
    let factory = state.get_file_format_factory("parquet");
    let factory = factory.ok_or_else(|| internal_datafusion_err!("the session writes no Parquet"))?;
    let options = replace.then(|| ("format.mode".to_owned(), "overwrite".to_owned()));
    let format = factory.create(&state, &HashMap::from_iter(options))?;
    let table = ListingTableUrl::try_new(to, None)?;
    let schema = Arc::clone(rows.schema());
    let sink = FileSinkConfig {
        original_url: shown.to_owned(),
        object_store_url: table.object_store(),
        file_group: FileGroup::default(),
        table_paths: vec![table],
        output_schema: Arc::clone(&schema),
        table_partition_cols: Vec::new(),
        insert_op: InsertOp::Append,
        keep_partition_by_columns: false,
        file_extension: format.get_ext(),
        file_output_mode: FileOutputMode::SingleFile,
    };
    let input = StreamingTableExec::try_new(schema, vec![rows], None, None, false, None)?;
    let plan = format.create_writer_physical_plan(Arc::new(input), &state, sink, None).await?;
    collect(plan, state.task_ctx()).await?;
    Ok(())
}
