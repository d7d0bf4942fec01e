//! Writing a file that appears whole or not at all.

use std::io::Write;

use object_store::{ObjectStoreExt, PutPayload, WriteMultipart};

use super::Place;
use super::lineage::hint;
use crate::{Error, Result};

/// Bytes of one part of an upload. Files smaller than that are put in one request.
const PART: usize = 8 << 20;
/// Parts on their way at a time.
const PARTS_IN_FLIGHT: usize = 2;

/// A file being written. It becomes visible by [`Output::complete`]; dropped before that, nothing of it remains.
#[derive(Debug)]
pub struct Output {
    place: Place,
    head: Vec<u8>,
    upload: Option<WriteMultipart>,
    written: u64,
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
        Self { place: place.clone(), head: Vec::new(), upload: None, written: 0 }
    }

    /// Makes the file visible, in place of what was there.
    pub fn complete(mut self) -> Result<Written> {
        let runtime = self.place.runtime().clone();
        let done = match self.upload.take() {
            Some(upload) => runtime.block_on(upload.finish()),
            None => {
                let payload = PutPayload::from(std::mem::take(&mut self.head));
                runtime.block_on(self.place.store().put(self.place.path(), payload))
            }
        };
        let tag = done.map_err(|error| self.failed(&error))?.e_tag;
        // Not every store says what it calls the new version.
        let hint = match tag {
            Some(tag) => tag,
            None => {
                self.place.look()?.filter(|meta| meta.size == self.written).map_or_else(String::new, |meta| hint(&meta))
            }
        };
        Ok(Written { bytes: self.written, hint })
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        Error::store(self.place.shown(), "cannot be written", error)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let runtime = self.place.runtime().clone();
        self.written += bytes.len() as u64;
        if self.upload.is_none() {
            self.head.extend_from_slice(bytes);
            if self.head.len() < PART {
                return Ok(bytes.len());
            }
            let upload = runtime.block_on(self.place.store().put_multipart(self.place.path()));
            let upload = upload.map_err(|error| std::io::Error::other(self.failed(&error)))?;
            let upload = self.upload.insert(WriteMultipart::new_with_chunk_size(upload, PART));
            let _inside = runtime.enter();
            upload.write(&std::mem::take(&mut self.head));
        } else if let Some(upload) = &mut self.upload {
            let _inside = runtime.enter();
            upload.write(bytes);
        }
        if let Some(upload) = &mut self.upload {
            let waited = runtime.block_on(upload.wait_for_capacity(PARTS_IN_FLIGHT));
            waited.map_err(|error| std::io::Error::other(self.failed(&error)))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            // What cannot be taken back was never visible; the store's own rules clean it up.
            let _ = self.place.runtime().block_on(upload.abort());
        }
    }
}
