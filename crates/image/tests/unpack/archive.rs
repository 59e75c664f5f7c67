//! Archives for tests, written header by header: also those that no sane program writes.

#[derive(Clone)]
pub(crate) struct Archive(Vec<u8>);

/// One ustar header and its content; the fields are public so that a test can lie in each.
#[derive(Clone)]
pub(crate) struct Raw<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: Option<u64>,
    pub(crate) mtime: u64,
    pub(crate) link: &'a [u8],
    pub(crate) device: (u32, u32),
    pub(crate) content: &'a [u8],
}

pub(crate) fn raw<'a>(kind: u8, name: &'a (impl AsRef<[u8]> + ?Sized)) -> Raw<'a> {
    Raw {
        name: name.as_ref(),
        kind,
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        size: None,
        mtime: 1_700_000_000,
        link: b"",
        device: (0, 0),
        content: b"",
    }
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(mut self, entry: Raw<'_>) -> Self {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &entry.name[..entry.name.len().min(100)]);
        put(100, format!("{:07o}", entry.mode).as_bytes());
        put(108, format!("{:07o}", entry.uid & 0o7777777).as_bytes());
        put(116, format!("{:07o}", entry.gid & 0o7777777).as_bytes());
        let size = entry.size.unwrap_or(entry.content.len() as u64);
        if size < 1 << 33 {
            put(124, format!("{size:011o}").as_bytes());
        } else {
            put(124, &[0x80, 0, 0, 0]);
            put(128, &size.to_be_bytes());
        }
        put(136, format!("{:011o}", entry.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[entry.kind]);
        put(157, &entry.link[..entry.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", entry.device.0).as_bytes());
        put(337, format!("{:07o}", entry.device.1).as_bytes());
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(entry.content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.add(Raw { content: content.as_bytes(), ..raw(b'0', name) })
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.add(raw(b'5', name))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.add(Raw { link: target.as_bytes(), ..raw(b'2', name) })
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(Raw { link: target.as_bytes(), ..raw(b'1', name) })
    }

    pub(crate) fn device(self, kind: u8, name: &str, device: (u32, u32)) -> Self {
        self.add(Raw { device, ..raw(kind, name) })
    }

    /// A pax extended header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let len = (1..9).map(|digits| rest + digits).find(|len| len.to_string().len() == len - rest).unwrap();
            content.extend_from_slice(format!("{len} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.add(Raw { content: &content, ..raw(b'x', "pax") })
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    pub(crate) fn cut_off(self) -> Vec<u8> {
        self.0
    }
}
