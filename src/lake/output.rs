//! Writing a file that appears whole or not at all.

use std::io::Write;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, PutResult};
use parquet::arrow::ArrowWriter;
use tokio::task::JoinSet;

use super::Place;
use super::lineage::hint;
use crate::column::buffers::Buffer;
use crate::{Error, Result};

/// Bytes of one part of an upload. Files smaller than that are put in one request.
const PART: usize = 8 << 20;
/// Parts on their way at a time.
const PARTS_IN_FLIGHT: usize = 2;
/// How long a store may take to drop an upload: one that is down has used up its retries already.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file being written. It becomes visible by [`Output::complete`]; dropped before that, nothing of it remains.
#[derive(Debug)]
pub struct Output {
    place: Place,
    /// What is not on its way yet, less than a part.
    rest: Buffer<u8>,
    /// What holds the parts before; files of one part need none.
    upload: Option<Upload>,
    written: u64,
}

/// A file that goes in parts.
#[derive(Debug)]
struct Upload {
    to: Box<dyn MultipartUpload>,
    parts: JoinSet<object_store::Result<()>>,
}

/// A file that is visible.
#[derive(Debug)]
pub struct Written {
    /// Its size.
    pub bytes: u64,
    /// What the store calls this version of it.
    pub hint: String,
}

impl Output {
    /// A new file here; what is here now stays until the new file is complete.
    pub fn new(place: &Place) -> Self {
        Self { place: place.clone(), rest: Buffer::default(), upload: None, written: 0 }
    }

    /// Makes the file visible, in place of what was there.
    pub fn complete(mut self) -> Result<Written> {
        let rest = self.place.parts().lend(std::mem::take(&mut self.rest));
        let runtime = self.place.runtime().clone();
        let done = match &mut self.upload {
            Some(upload) => runtime.block_on(upload.complete(rest)),
            None => runtime.block_on(self.place.store().put(self.place.path(), PutPayload::from(rest))),
        };
        let tag = done.map_err(|error| self.failed(&error))?.e_tag;
        self.upload = None;
        // Not every store says what it calls the new version.
        let hint = match tag {
            Some(tag) => tag,
            None => {
                self.place.look()?.filter(|meta| meta.size == self.written).map_or_else(String::new, |meta| hint(&meta))
            }
        };
        Ok(Written { bytes: self.written, hint })
    }

    /// Passes on what has become a part.
    fn send(&mut self) -> Result<()> {
        let part = self.place.parts().lend(std::mem::take(&mut self.rest));
        let runtime = self.place.runtime().clone();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let to = runtime.block_on(self.place.store().put_multipart(self.place.path()));
                let to = to.map_err(|error| self.failed(&error))?;
                self.upload.insert(Upload { to, parts: JoinSet::new() })
            }
        };
        let sent = runtime.block_on(upload.send(part));
        sent.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        Error::store(self.place.shown(), "cannot be written", error)
    }
}

/// Writes a text as a file.
pub fn write_text(place: &Place, text: &str) -> Result<()> {
    let mut file = Output::new(place);
    let written = file.write_all(text.as_bytes());
    written.map_err(|source| Error::Io { path: place.shown().to_owned(), source })?;
    file.complete()?;
    Ok(())
}

/// Writes a small table as one Parquet file; see [`Place::check_writable`] for what is not replaced.
pub fn write_table(place: &Place, batch: &RecordBatch, overwrite: bool) -> Result<()> {
    place.check_writable(overwrite)?;
    let mut writer = ArrowWriter::try_new(Output::new(place), batch.schema(), None)?;
    writer.write(batch)?;
    writer.into_inner()?.complete()?;
    Ok(())
}

impl Upload {
    async fn send(&mut self, part: Bytes) -> object_store::Result<()> {
        self.parts.spawn(self.to.put_part(part.into()));
        self.wait_for(PARTS_IN_FLIGHT).await
    }

    async fn complete(&mut self, rest: Bytes) -> object_store::Result<PutResult> {
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        self.wait_for(0).await?;
        self.to.complete().await
    }

    /// Waits until no more parts than that are on their way.
    async fn wait_for(&mut self, count: usize) -> object_store::Result<()> {
        while self.parts.len() > count
            && let Some(part) = self.parts.join_next().await
        {
            part??;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut left = bytes;
        while !left.is_empty() {
            if self.rest.is_empty() {
                self.rest = self.place.parts().take(PART);
            }
            let (now, later) = left.split_at(left.len().min(PART - self.rest.len()));
            self.rest.extend_from_slice(now);
            left = later;
            if self.rest.len() == PART {
                self.send().map_err(std::io::Error::other)?;
            }
        }
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            self.place.runtime().block_on(async {
                upload.parts.shutdown().await;
                // What cannot be taken back was never visible; the store's own rules clean it up.
                tokio::time::timeout(PATIENCE, upload.to.abort()).await.ok();
            });
        }
    }
}
