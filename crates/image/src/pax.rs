//! Extended headers of the pax format: records that say more of an entry than its header can.
//!
//! Source: POSIX.1-2024 pax "pax Extended Header"; SCHILY.xattr is star's and GNU tar's, GNU.sparse is GNU tar's.

use std::collections::BTreeMap;

use rustix::fs::Timespec;

use crate::tar::{EXTENDED_MAX, Fault, Segment};

/// The longest list of names of extended attributes that a file can have, each with its NUL: XATTR_LIST_MAX of
/// <linux/limits.h>.
const XATTR_LIST_MAX: usize = 65536;

/// What extended headers say of the next entry; an empty value takes an earlier one back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) linkpath: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<Timespec>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) sparse: Sparse,
    /// Bytes of all headers that were read. Any number of them may stand before an entry.
    read_bytes: u64,
    /// Bytes of the names in `xattrs`, each with its NUL.
    xattr_list: usize,
}

/// What they say of its holes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sparse {
    /// The version: 1 keeps the map in the content, 0 here.
    pub(crate) major: Option<u64>,
    /// The file's name; the header has a made one.
    pub(crate) name: Option<Vec<u8>>,
    /// The size with the holes.
    pub(crate) size: Option<u64>,
    /// Offset and length in turn.
    map: Vec<u64>,
}

impl Sparse {
    /// The map of version 0.
    pub(crate) fn segments(&self) -> Result<Vec<Segment>, Fault> {
        let (pairs, rest) = self.map.as_chunks::<2>();
        if rest.is_empty() {
            Ok(pairs.iter().map(|[offset, len]| Segment { offset: *offset, len: *len }).collect())
        } else {
            Err(malformed("GNU.sparse.map"))
        }
    }
}

impl Pax {
    /// Adds the records of one extended header.
    pub(crate) fn read(&mut self, mut records: &[u8]) -> Result<(), Fault> {
        self.read_bytes += records.len() as u64;
        if self.read_bytes > EXTENDED_MAX {
            let read = self.read_bytes;
            return Err(Fault::Damaged(format!(
                "has extended headers of {read} bytes for one entry, more than the {EXTENDED_MAX} that are read"
            )));
        }
        while !records.is_empty() {
            let (record, rest) = split_record(records).ok_or_else(|| malformed("its length"))?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(|| malformed("no '='"))?;
            let (key, value) = record.split_at(equals);
            self.set(key, value.get(1..).unwrap_or_default())?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"path" => self.path = some(value),
            b"linkpath" => self.linkpath = some(value),
            b"size" => self.size = decimal(key, value)?,
            b"uid" => self.uid = decimal(key, value)?,
            b"gid" => self.gid = decimal(key, value)?,
            b"mtime" => {
                self.mtime = if value.is_empty() { None } else { Some(time(value).ok_or_else(|| malformed("mtime"))?) };
            }
            b"GNU.sparse.major" => self.sparse.major = decimal(key, value)?,
            b"GNU.sparse.name" => self.sparse.name = some(value),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = decimal(key, value)?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.extend(decimal::<u64>(key, value)?),
            b"GNU.sparse.map" => {
                self.sparse.map.clear();
                for number in value.split(|byte| *byte == b',') {
                    self.sparse.map.extend(decimal::<u64>(key, number)?);
                }
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if self.xattrs.insert(name.to_vec(), value.to_vec()).is_none() {
                        self.xattr_list += name.len() + 1;
                    }
                    if self.xattr_list > XATTR_LIST_MAX {
                        return Err(malformed("more extended attributes than a file can have"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Splits "LENGTH key=value\n" from what follows it; the length counts all of the record.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let len: usize = str::from_utf8(records.get(..space)?).ok()?.parse().ok()?;
    let record = records.get(space + 1..len)?.strip_suffix(b"\n")?;
    Some((record, records.get(len..)?))
}

fn some(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

fn decimal<T: std::str::FromStr>(key: &[u8], value: &[u8]) -> Result<Option<T>, Fault> {
    if value.is_empty() {
        return Ok(None);
    }
    let number = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| malformed(&key.escape_ascii().to_string()))
}

/// Seconds since the epoch with a fraction, which counts upwards also before the epoch.
fn time(value: &[u8]) -> Option<Timespec> {
    let text = str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut nanoseconds = 0_i64;
    for at in 0..9 {
        let digit = match fraction.as_bytes().get(at) {
            Some(digit @ b'0'..=b'9') => i64::from(digit - b'0'),
            Some(_) => return None,
            None => 0,
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    let seconds: i64 = whole.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Timespec { tv_sec: seconds.checked_sub(1)?, tv_nsec: 1_000_000_000 - nanoseconds });
    }
    Some(Timespec { tv_sec: seconds, tv_nsec: nanoseconds })
}

fn malformed(what: &str) -> Fault {
    Fault::Damaged(format!("has a malformed extended header ({what})"))
}
