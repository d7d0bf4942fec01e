//! `.npz`: arrays of numpy in a ZIP archive, one of them read; stored as numpy.savez does, or deflated as savez_compressed does.
//!
//! Of ZIP (PKWARE's APPNOTE 6.3.10) that is the directory at the end, with its 64-bit fields, and the two methods. The crates for it
//! bring ciphers and change what others are built with.

use std::io::{self, BufReader, Read};
use std::ops::Range;

use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;

use super::Out;
use super::input::Input;
use super::keys::Keys;
use super::matrix::{Matrix, Order};
use super::npy;
use crate::Result;

/// The directory's end is within so many bytes of the file's.
const END_BYTES: u64 = (1 << 16) + 22 + 20;
/// A larger directory is none of arrays.
const MAX_DIRECTORY: u64 = 64 << 20;
/// A number that is in a 64-bit field.
const ELSEWHERE: u32 = u32::MAX;

/// An array in an archive.
#[derive(Debug, Clone)]
pub struct Member {
    /// The array, as its own header describes it.
    pub matrix: Matrix,
    entry: Entry,
}

/// A file in an archive.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    deflated: bool,
    encrypted: bool,
    crc: u32,
    /// Its bytes as they lie in the archive.
    bytes: Range<u64>,
    /// Its size.
    size: u64,
}

/// The array of that name, or the only one of two dimensions.
pub fn open(input: &Input, name: Option<&str>) -> Result<Member> {
    let entries = directory(input)?;
    let entries: Vec<Entry> = entries.into_iter().filter(|entry| entry.name.ends_with(".npy")).collect();
    let plain = |entry: &Entry| entry.name.strip_suffix(".npy").unwrap_or(&entry.name).to_owned();
    let names = || entries.iter().map(plain).collect::<Vec<_>>().join(", ");
    let entry = match name {
        Some(name) => {
            let found = entries.iter().find(|entry| entry.name == name || plain(entry) == name);
            found.ok_or_else(|| input.wrong(format!("has no array `{name}`: it has {}", names())))?.clone()
        }
        None => {
            let mut rows = Vec::new();
            for entry in &entries {
                let is_floats = |matrix: Matrix| !matrix.item.is_integer();
                if head(input, entry)?.is_ok_and(is_floats) {
                    rows.push(entry);
                }
            }
            match (rows.as_slice(), entries.as_slice()) {
                ([only], _) => (*only).clone(),
                ([], [only]) => only.clone(),
                ([], _) => {
                    return Err(
                        input.wrong(format!("does not tell which array is meant: name one with --array: {}", names()))
                    );
                }
                (several, _) => {
                    let names: Vec<_> = several.iter().map(|entry| plain(entry)).collect();
                    return Err(input.wrong(format!("has several arrays: name one with --array: {}", names.join(", "))));
                }
            }
        }
    };
    let wrong = |message: String| input.wrong(format!("array `{}`: {message}", plain(&entry)));
    let matrix = head(input, &entry)?.map_err(wrong)?.checked(input)?;
    if matrix.begin.checked_add(matrix.bytes()) != Some(entry.size) {
        return Err(wrong(format!(
            "has {} bytes, and its header says {}",
            entry.size,
            matrix.begin.saturating_add(matrix.bytes())
        )));
    }
    if matrix.order == Order::Columns {
        return Err(wrong("lies column by column: save it as np.ascontiguousarray(a)".to_owned()));
    }
    Ok(Member { matrix, entry })
}

/// What the header of an entry says.
fn head(input: &Input, entry: &Entry) -> Result<Result<Matrix, String>> {
    let mut head = Vec::new();
    let read = entry.reader(input)?.take(npy::HEAD).read_to_end(&mut head);
    read.map_err(|error| input.failed(error))?;
    Ok(npy::matrix(&head))
}

impl Member {
    /// Bytes that will be read.
    pub fn bytes(&self) -> u64 {
        self.entry.bytes.end - self.entry.bytes.start
    }

    /// Reads all rows.
    pub fn read(&self, input: &Input, keys: &Keys, out: &Out<'_>) -> Result<()> {
        let mut reader = CrcReader::new(self.entry.reader(input)?);
        let head = io::copy(&mut reader.by_ref().take(self.matrix.begin), &mut io::sink());
        head.map_err(|error| input.failed(error))?;
        self.matrix.read_rows(input, &mut reader, keys, out)?;
        if reader.crc().sum() != self.entry.crc {
            return Err(input.wrong(format!("`{}` is damaged: its checksum is another", self.entry.name)));
        }
        Ok(())
    }
}

impl Entry {
    /// Its bytes as they were before they were put into the archive.
    fn reader(&self, input: &Input) -> Result<Box<dyn Read>> {
        let reader = input.reader(self.bytes.clone())?;
        Ok(match self.deflated {
            true => Box::new(DeflateDecoder::new(BufReader::with_capacity(1 << 17, reader))),
            false => Box::new(reader),
        })
    }
}

/// What an archive has.
fn directory(input: &Input) -> Result<Vec<Entry>> {
    let damaged = || {
        input.wrong(
            "is no .npz file: it has no directory of a ZIP archive at its end; it is cut off or of another format",
        )
    };
    let tail_begin = input.size().saturating_sub(END_BYTES);
    let tail = input.bytes(tail_begin..input.size())?;
    let at = tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").ok_or_else(damaged)?;
    let end = Fields(tail.get(at..).unwrap_or_default());
    let (mut size, mut begin) =
        (u64::from(end.u32(12).ok_or_else(damaged)?), u64::from(end.u32(16).ok_or_else(damaged)?));
    // Where the 64-bit end is says a record before this one.
    let locator = at.checked_sub(20).and_then(|at| tail.get(at..)).filter(|bytes| bytes.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let place = Fields(locator).u64(8).ok_or_else(damaged)?;
        let end = input.bytes(place..place.saturating_add(56))?;
        let end = Fields(&end);
        (size, begin) = end.u64(40).zip(end.u64(48)).ok_or_else(damaged)?;
    }
    let stop =
        begin.checked_add(size).filter(|stop| *stop <= input.size() && size <= MAX_DIRECTORY).ok_or_else(damaged)?;
    let bytes = input.bytes(begin..stop)?;
    let (mut rest, mut entries) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let (entry, next) = entry(rest).ok_or_else(damaged)?;
        let (entry, local) = entry;
        // Its bytes come after a header of its own, whose length differs from the directory's.
        let header = input.bytes(local..local.saturating_add(30))?;
        let header = Fields(&header);
        let before = header.u16(26).zip(header.u16(28)).filter(|_| header.0.starts_with(b"PK\x03\x04"));
        let (name, extra) = before.ok_or_else(damaged)?;
        let first = local.saturating_add(30 + u64::from(name) + u64::from(extra));
        let bytes = first..first.saturating_add(entry.bytes.end);
        if bytes.end > input.size() {
            return Err(damaged());
        }
        if entry.encrypted {
            return Err(input.wrong(format!("`{}` is encrypted", entry.name)));
        }
        entries.push(Entry { bytes, ..entry });
        rest = next;
    }
    Ok(entries)
}

/// The first entry of a directory with the place of its own header, and the rest of the directory.
fn entry(bytes: &[u8]) -> Option<((Entry, u64), &[u8])> {
    let fields = Fields(bytes.starts_with(b"PK\x01\x02").then_some(bytes)?);
    let length = |at| fields.u16(at).map(usize::from);
    let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
    let text = bytes.get(46..46 + name)?;
    let mut large = Fields(&[]);
    let mut extras = bytes.get(46 + name..46 + name + extra)?;
    while let Some((kind, length)) = Fields(extras).u16(0).zip(Fields(extras).u16(2)) {
        let (field, rest) = extras.get(4..)?.split_at_checked(length.into())?;
        if kind == 1 {
            large = Fields(field);
        }
        extras = rest;
    }
    // The 64-bit fields that are there, in this order: those that have no place of their own.
    let mut at = 0;
    let mut number = |place| match fields.u32(place)? {
        ELSEWHERE => {
            at += 8;
            large.u64(at - 8)
        }
        number => Some(number.into()),
    };
    let (size, packed, local) = (number(24)?, number(20)?, number(42)?);
    let deflated = match fields.u16(10)? {
        0 => false,
        8 => true,
        _ => return None,
    };
    let name_of = String::from_utf8_lossy(text).into_owned();
    let encrypted = fields.u16(8)? & 1 == 1;
    let entry = Entry { name: name_of, deflated, encrypted, crc: fields.u32(16)?, bytes: 0..packed, size };
    Some(((entry, local), bytes.get(46 + name + extra + comment..)?))
}

/// Numbers at places, least byte first.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn at<const N: usize>(&self, place: usize) -> Option<[u8; N]> {
        self.0.get(place..)?.first_chunk().copied()
    }

    fn u16(&self, place: usize) -> Option<u16> {
        self.at(place).map(u16::from_le_bytes)
    }

    fn u32(&self, place: usize) -> Option<u32> {
        self.at(place).map(u32::from_le_bytes)
    }

    fn u64(&self, place: usize) -> Option<u64> {
        self.at(place).map(u64::from_le_bytes)
    }
}
