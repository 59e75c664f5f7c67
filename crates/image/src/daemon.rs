//! Docker's daemon, as far as it gives images and takes them: two requests of its API over its socket, as archives of
//! `docker save`. <https://docs.docker.com/reference/api/engine/>
//!
//! HTTP/1.1 with one request for each connection: RFC 9112.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Doing, Errno, Kernel, Refused, RefusedKind, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// The longest line of an answer's head, and the longest message that is read.
const LONGEST: u64 = 64 << 10;
/// How long nothing may come or go.
const SILENCE: Duration = Duration::from_mins(5);

/// A daemon that listens at a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Where its socket is.
    pub socket: PathBuf,
}

/// What it says of something that it does not do.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: String,
}

impl Daemon {
    /// The daemon at this socket.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf() }
    }

    /// An image as `docker save` would write it.
    ///
    /// # Errors
    /// Refused where it has none of that name, or nobody listens; a kernel error.
    pub fn save(&self, name: &str) -> Result<impl Read + use<>> {
        let names = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let mut stream = self.connect()?;
        let request = format!("GET /images/get?names={names} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).doing(|| self.action())?;
        let mut answer = Answer::read(stream).doing(|| self.action())?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let kind = if answer.status == 404 { RefusedKind::NoSuchObject } else { RefusedKind::Conflict };
        let said = answer.said().doing(|| self.action())?;
        Err(Refused::new("the image", format!("docker-daemon:{name}"), said).kind(kind).into())
    }

    /// Gives it an archive, which `write` writes.
    ///
    /// # Errors
    /// Refused where it does not take it, or nobody listens; a kernel error; what `write` gives.
    pub fn load(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let mut stream = self.connect()?;
        let request = "POST /images/load?quiet=1 HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\
                       Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(request.as_bytes()).doing(|| self.action())?;
        let mut chunks = io::BufWriter::with_capacity(128 << 10, Chunks(stream));
        let written = write(&mut chunks);
        // Whoever takes no more has said why.
        let ended = chunks.into_inner().map_err(io::IntoInnerError::into_error).and_then(Chunks::end);
        let stream = match (written, ended) {
            (Ok(()), Ok(stream)) => stream,
            (Err(error), _) => return Err(error),
            (Ok(()), Err(error)) => return Err(error).doing(|| self.action()),
        };
        let mut answer = Answer::read(stream).doing(|| self.action())?;
        let is_taken = answer.status == 200;
        let said = answer.said().doing(|| self.action())?;
        if is_taken && said.is_empty() {
            return Ok(());
        }
        Err(Refused::new("docker-daemon", self.socket.display().to_string(), said).into())
    }

    fn connect(&self) -> Result<UnixStream> {
        let shown = || self.socket.display().to_string();
        let stream = UnixStream::connect(&self.socket).map_err(|error| {
            let kernel =
                Kernel::new(format!("reach Docker at {}", shown()), Errno::from_io_error(&error).unwrap_or(Errno::IO));
            error::Error::from(kernel.hint("is dockerd running? DOCKER_HOST=unix:///PATH names another socket"))
        })?;
        let set = stream.set_read_timeout(Some(SILENCE)).and_then(|()| stream.set_write_timeout(Some(SILENCE)));
        set.doing(|| self.action())?;
        Ok(stream)
    }

    fn action(&self) -> String {
        format!("speak with Docker at {}", self.socket.display())
    }
}

/// What is written goes in chunks, each with its length before it.
struct Chunks(UnixStream);

impl Chunks {
    fn end(mut self) -> io::Result<UnixStream> {
        self.0.write_all(b"0\r\n\r\n")?;
        Ok(self.0)
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            write!(self.0, "{:x}\r\n", bytes.len())?;
            self.0.write_all(bytes)?;
            self.0.write_all(b"\r\n")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An answer; what is read of it is its content.
struct Answer {
    status: u16,
    stream: BufReader<UnixStream>,
    length: Length,
}

/// How the end of an answer's content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// So many bytes are left.
    Known(u64),
    /// So many bytes are left of a chunk; of the first one none.
    Chunk { left: u64, is_first: bool },
    /// It ends with the connection.
    Open,
}

impl Answer {
    fn read(stream: UnixStream) -> io::Result<Self> {
        let mut stream = BufReader::with_capacity(128 << 10, stream);
        let first = line(&mut stream)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| broken(&first))?;
        let mut length = Length::Open;
        loop {
            let line = line(&mut stream)?.to_ascii_lowercase();
            match line.split_once(':') {
                None if line.is_empty() => return Ok(Self { status, stream, length }),
                None => return Err(broken(&line)),
                Some(("transfer-encoding", _)) => length = Length::Chunk { left: 0, is_first: true },
                Some(("content-length", count)) => {
                    length = Length::Known(count.trim().parse().map_err(|_| broken(&line))?);
                }
                Some(_) => {}
            }
        }
    }

    /// What went wrong, in its words.
    fn said(&mut self) -> io::Result<String> {
        let status = self.status;
        let mut text = String::new();
        self.by_ref().take(LONGEST).read_to_string(&mut text)?;
        let said = text.lines().filter_map(|line| serde_json::from_str::<Said>(line).ok());
        let said = said.flat_map(|said| [said.message, said.error]).find(|said| !said.is_empty());
        Ok(said.unwrap_or_else(|| if status == 200 { String::new() } else { format!("it answers {status}") }))
    }

    /// The bytes that may be read now, as far as that is known.
    fn left(&mut self) -> io::Result<u64> {
        match self.length {
            Length::Open => Ok(u64::MAX),
            Length::Known(left) | Length::Chunk { left, .. } if left > 0 => Ok(left),
            Length::Known(_) => Ok(0),
            Length::Chunk { is_first, .. } => {
                if !is_first {
                    line(&mut self.stream)?;
                }
                let head = line(&mut self.stream)?;
                let digits = head.split(';').next().unwrap_or_default().trim();
                let left = u64::from_str_radix(digits, 16).map_err(|_| broken(&head))?;
                self.length = if left == 0 { Length::Known(0) } else { Length::Chunk { left, is_first: false } };
                Ok(left)
            }
        }
    }
}

impl Read for Answer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let count = self.stream.read(into.get_mut(..most).unwrap_or_default())?;
        match &mut self.length {
            Length::Open => {}
            _ if count == 0 && most > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Length::Known(left) | Length::Chunk { left, .. } => *left -= count as u64,
        }
        Ok(count)
    }
}

/// A line without its end.
fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    let count = stream.take(LONGEST).read_line(&mut line)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn broken(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no answer of HTTP: {line}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn answered(text: &[u8]) -> (u16, io::Result<Vec<u8>>) {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(text).unwrap();
        drop(far);
        let mut answer = Answer::read(near).unwrap();
        let mut content = Vec::new();
        let read = answer.read_to_end(&mut content);
        (answer.status, read.map(|_| content))
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let known = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef");
        assert_eq!((known.0, known.1.unwrap()), (200, b"abc".to_vec()));
        let chunked =
            answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n");
        assert_eq!(chunked.1.unwrap(), b"abcde");
        let open = answered(b"HTTP/1.0 404 no\r\n\r\nabc");
        assert_eq!((open.0, open.1.unwrap()), (404, b"abc".to_vec()));
    }

    #[test]
    fn an_answer_that_is_cut_off_is_no_whole_one() {
        assert!(answered(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").1.is_err());
        assert!(answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").1.is_err());
        assert!(answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n").1.is_err());
    }
}
