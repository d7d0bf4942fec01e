//! Writing a file that appears whole or not at all.

use std::io::Write;

use object_store::{ObjectStoreExt, PutPayload, PutResult, WriteMultipart};

use super::Place;
use super::lineage::hint;
use super::staged::Staged;
use crate::{Error, Result};

/// Bytes of one part of an upload. Files smaller than that are put in one request.
const PART: usize = 8 << 20;
/// Parts on their way at a time.
const PARTS_IN_FLIGHT: usize = 2;

/// A file being written. It becomes visible by [`Output::complete`]; dropped before that, nothing of it remains.
#[derive(Debug)]
pub struct Output {
    place: Place,
    /// Bytes that wait to be a whole part.
    head: Vec<u8>,
    /// What holds the parts before; files of one part need none.
    parts: Option<Parts>,
    written: u64,
}

#[derive(Debug)]
enum Parts {
    Upload(WriteMultipart),
    Local(Staged),
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
        Self { place: place.clone(), head: Vec::new(), parts: None, written: 0 }
    }

    /// Makes the file visible, in place of what was there.
    pub fn complete(mut self) -> Result<Written> {
        let runtime = self.place.runtime().clone();
        let head = std::mem::take(&mut self.head);
        let done = match self.parts.take() {
            Some(Parts::Upload(mut upload)) => {
                let inside = runtime.enter();
                upload.write(&head);
                drop(inside);
                runtime.block_on(upload.finish())
            }
            None if self.place.local().is_none() => {
                runtime.block_on(self.place.store().put(self.place.path(), PutPayload::from(head)))
            }
            local => {
                let put = self.staged(local).and_then(|mut staged| {
                    staged.write_all(&head)?;
                    staged.complete()
                });
                put.map_err(|error| self.refused(&error))?;
                Ok(PutResult { e_tag: None, version: None })
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

    fn staged(&self, parts: Option<Parts>) -> std::io::Result<Staged> {
        match (parts, self.place.local()) {
            (Some(Parts::Local(staged)), _) => Ok(staged),
            (_, Some(path)) => Staged::new(&path),
            (_, None) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        Error::store(self.place.shown(), "cannot be written", error)
    }

    fn refused(&self, error: &std::io::Error) -> Error {
        Error::file(self.place.shown(), format!("cannot be written: {error}"))
    }

    /// Passes on what has come, which is a part at least.
    fn pass_on(&mut self) -> Result<()> {
        let runtime = self.place.runtime().clone();
        let head = std::mem::take(&mut self.head);
        if self.place.local().is_some() {
            let parts = self.parts.take();
            let written = self.staged(parts).and_then(|mut staged| {
                staged.write_all(&head)?;
                Ok(staged)
            });
            self.parts = Some(Parts::Local(written.map_err(|error| self.refused(&error))?));
            return Ok(());
        }
        if self.parts.is_none() {
            let upload = runtime.block_on(self.place.store().put_multipart(self.place.path()));
            let upload = upload.map_err(|error| self.failed(&error))?;
            self.parts = Some(Parts::Upload(WriteMultipart::new_with_chunk_size(upload, PART)));
        }
        if let Some(Parts::Upload(upload)) = &mut self.parts {
            let inside = runtime.enter();
            upload.put(head.into());
            drop(inside);
            let waited = runtime.block_on(upload.wait_for_capacity(PARTS_IN_FLIGHT));
            waited.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.written += bytes.len() as u64;
        self.head.extend_from_slice(bytes);
        if self.head.len() >= PART {
            self.pass_on().map_err(std::io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(Parts::Upload(upload)) = self.parts.take() {
            // What cannot be taken back was never visible; the store's own rules clean it up.
            let _ = self.place.runtime().block_on(upload.abort());
        }
    }
}
