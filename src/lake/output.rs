//! Writing a file that appears whole or not at all.

use std::io::Write;
use std::time::Duration;

use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use super::Place;
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
    /// What is not on its way yet.
    rest: Vec<u8>,
    upload: Option<Upload>,
    written: u64,
}

/// A file that goes in parts.
#[derive(Debug)]
struct Upload {
    to: Box<dyn MultipartUpload>,
    parts: JoinSet<object_store::Result<()>>,
}

impl Output {
    /// A new file here; what is here now stays until the new file is complete.
    pub fn new(place: &Place) -> Self {
        Self { place: place.clone(), rest: Vec::new(), upload: None, written: 0 }
    }

    /// Makes the file visible, in place of what was there. The number of bytes.
    pub fn complete(mut self) -> Result<u64> {
        let runtime = self.place.runtime().clone();
        let rest = std::mem::take(&mut self.rest);
        match &mut self.upload {
            Some(upload) => {
                let done = runtime.block_on(async {
                    if !rest.is_empty() {
                        upload.send(rest).await?;
                    }
                    upload.wait_for(0).await?;
                    upload.to.complete().await
                });
                done.map_err(|error| self.failed(&error))?;
                self.upload = None;
            }
            None => {
                let put = runtime.block_on(self.place.store().put(self.place.path(), PutPayload::from(rest)));
                put.map_err(|error| self.failed(&error))?;
            }
        }
        Ok(self.written)
    }

    /// Sends what has become a part.
    fn send(&mut self) -> Result<()> {
        let runtime = self.place.runtime().clone();
        let part = std::mem::take(&mut self.rest);
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let to = runtime.block_on(self.place.store().put_multipart(self.place.path()));
                let to = to.map_err(|error| self.failed(&error))?;
                self.upload.insert(Upload { to, parts: JoinSet::new() })
            }
        };
        runtime.block_on(upload.send(part)).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        Error::store(self.place.shown(), "cannot be written", error)
    }
}

impl Upload {
    async fn send(&mut self, part: Vec<u8>) -> object_store::Result<()> {
        self.parts.spawn(self.to.put_part(part.into()));
        self.wait_for(PARTS_IN_FLIGHT).await
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
