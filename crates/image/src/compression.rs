//! Compression of an archive, told by its first bytes: none, gzip (RFC 1952, several members) or zstd (RFC 8878, several frames).

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// As many first bytes as tell the compression.
const MAGIC: usize = 6;
/// Compressed bytes that are read at once.
const BUFFER: usize = 128 << 10;

/// The source with the bytes back that told its compression.
type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// The decompressed bytes of an archive.
pub(crate) enum Decompressed<R: Read> {
    /// Not compressed.
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<Zstd<Source<R>>>),
}

/// What the first bytes tell, where it cannot be read.
pub(crate) enum Unreadable {
    /// No byte at all.
    Empty,
    /// Another format, by its name.
    Format(&'static str),
    /// The source failed.
    Read(io::Error),
}

impl<R: Read> Decompressed<R> {
    pub(crate) fn detect(mut source: R) -> Result<Self, Unreadable> {
        let mut magic = Vec::new();
        source.by_ref().take(MAGIC as u64).read_to_end(&mut magic).map_err(Unreadable::Read)?;
        let start = magic.clone();
        let source = BufReader::with_capacity(BUFFER, Cursor::new(magic).chain(source));
        match start.as_slice() {
            [] => Err(Unreadable::Empty),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(source)))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Ok(Self::Zstd(Box::new(Zstd { source, decoder: FrameDecoder::new(), within: false })))
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(Unreadable::Format("xz")),
            [b'B', b'Z', b'h', ..] => Err(Unreadable::Format("bzip2")),
            [b'P', b'K', 3, 4, ..] => Err(Unreadable::Format("zip")),
            [4, 0x22, 0x4d, 0x18, ..] => Err(Unreadable::Format("lz4")),
            _ => Ok(Self::Plain(source)),
        }
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

/// A sequence of zstd frames.
pub(crate) struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    /// A frame was begun and its end not seen.
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame; false at the end of the source.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(false)
    }

    fn end(&mut self) -> io::Result<()> {
        self.within = false;
        match self.decoder.get_checksum_from_data() {
            Some(stored) if self.decoder.get_calculated_checksum() != Some(stored) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a zstd frame does not have its checksum"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let want = BlockDecodingStrategy::UptoBytes(into.len());
                self.decoder.decode_blocks(&mut self.source, want).map_err(damaged)?;
            }
            let count = self.decoder.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            self.end()?;
        }
    }
}

/// The decoder's errors hide those of its source: an early end and an errno come out again.
fn damaged(error: FrameDecoderError) -> io::Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return match cause.raw_os_error() {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => cause.kind().into(),
            };
        }
        source = cause.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
