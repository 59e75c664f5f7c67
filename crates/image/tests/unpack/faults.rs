//! Archives that are cut off, damaged or too large, and file systems that are full.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

use crate::archive::{Archive, Raw, raw};
use crate::{Room, message};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn sample() -> Vec<u8> {
    Archive::new().directory("./").directory("d").file("d/f", &"content ".repeat(300)).symlink("s", "d/f").finish()
}

#[test]
fn an_archive_cut_off_anywhere_is_refused() {
    let whole = sample();
    for bytes in [whole[..whole.len() - 1024].to_vec(), gzip(&whole), zstd(&whole)] {
        for len in (1..bytes.len()).step_by(1 + bytes.len() / 100) {
            let error = Room::new().unpack(&bytes[..len]).unwrap_err();
            assert!(matches!(error, error::Error::Refused(_)), "{len}: {}", message(&error));
        }
    }
}

#[test]
fn a_cut_off_archive_names_the_last_entry() {
    let archive = Archive::new().add(Raw { size: Some(5000), content: b"short", ..raw(b'0', "d/f") }).cut_off();
    let text = message(&Room::new().unpack(&archive).unwrap_err());
    assert_eq!(text, "cannot use the archive: it is cut off, at or after the entry \"d/f\"");
}

#[test]
fn an_archive_in_another_format_is_refused_with_its_name() {
    for (bytes, format) in [
        (&b"\xfd7zXZ\0...."[..], "xz"),
        (b"BZh91AY", "bzip2"),
        (b"PK\x03\x04....", "zip"),
        (b"", "empty"),
        (b"MZ", "cut off"),
        (&[b'x'; 600], "no tar archive"),
        (&[0x1f; 600], "no tar archive"),
    ] {
        let error = Room::new().unpack(bytes).unwrap_err();
        assert!(message(&error).contains(format), "{}", message(&error));
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let (mut gzip, mut zstd, mut plain) = (gzip(&sample()), zstd(&sample()), sample());
    let len = gzip.len();
    gzip[len - 6] ^= 1;
    let len = zstd.len();
    zstd[len - 1] ^= 1;
    plain[600] ^= 1;
    for bytes in [gzip, zstd, plain] {
        let error = Room::new().unpack(&bytes).unwrap_err();
        assert!(matches!(error, error::Error::Refused(_)), "{}", message(&error));
    }
}

#[test]
fn several_members_and_frames_are_one_archive() {
    let (bytes, middle) = (sample(), 700);
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    for compressed in [
        [gzip(&bytes[..middle]), gzip(&bytes[middle..])].concat(),
        [skippable.clone(), zstd(&bytes[..middle]), skippable, zstd(&bytes[middle..])].concat(),
    ] {
        let room = Room::new();
        room.unpack(&compressed).unwrap();
        assert_eq!(room.read("d/f"), "content ".repeat(300));
    }
}

#[test]
fn a_size_of_terabytes_costs_nothing_before_the_content_is_there() {
    let archive = Archive::new().add(Raw { size: Some(1 << 42), content: b"short", ..raw(b'0', "f") }).cut_off();
    let error = Room::new().unpack(&archive).unwrap_err();
    assert!(message(&error).contains("cut off"), "{}", message(&error));
    let archive = Archive::new().add(Raw { size: Some(1 << 42), ..raw(b'x', "pax") }).cut_off();
    let error = Room::new().unpack(&archive).unwrap_err();
    assert!(message(&error).contains("extended header of 4398046511104 bytes"), "{}", message(&error));
    let archive = Archive::new().add(Raw { size: Some(u64::MAX), ..raw(b'0', "f") }).cut_off();
    Room::new().unpack(&archive).unwrap_err();
}

#[test]
fn attributes_of_directories_do_not_fill_the_memory() {
    let value = vec![b'x'; 1_000_000];
    let add = |archive: Archive, _| archive.pax(&[("SCHILY.xattr.trusted.x", &value)]).directory("d");
    let error = Room::new().unpack(&(0..6).fold(Archive::new(), add).finish()).unwrap_err();
    assert!(message(&error).contains("bytes of attributes"), "{}", message(&error));
}

#[test]
fn a_read_error_is_an_error_with_its_errno() {
    struct Failing(Vec<u8>);
    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.as_slice().read(into)? {
                0 => Err(io::Error::from_raw_os_error(5)),
                count => {
                    self.0.drain(..count);
                    Ok(count)
                }
            }
        }
    }
    for bytes in [sample()[..700].to_vec(), gzip(&sample())[..100].to_vec(), zstd(&sample())[..40].to_vec()] {
        let room = Room::new();
        let root = std::fs::File::open(&room.root).unwrap();
        let error = carboy_image::unpack(Failing(bytes), root.as_fd()).unwrap_err();
        assert_eq!(message(&error), "cannot read the archive: Input/output error (os error 5)");
    }
}

#[test]
fn a_full_file_system_names_the_entry_and_can_be_emptied() {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_set_string(&context, "size", "64k").unwrap();
    fsconfig_create(&context).unwrap();
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
    rustix::fs::mkdirat(&root, "new", rustix::fs::Mode::RWXU).unwrap();
    let into = rustix::fs::openat(&root, "new", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let archive = Archive::new().directory("d").file("d/small", "x").file("d/large", &"x".repeat(100_000)).finish();
    let error = carboy_image::unpack(archive.as_slice(), into.as_fd()).unwrap_err();
    assert_eq!(message(&error), "cannot write \"d/large\" of the archive: No space left on device (os error 28)");
    assert!(error.hint().is_some());
    carboy_image::remove_tree(root.as_fd(), "new".as_ref()).unwrap();
    assert!(rustix::fs::statat(&root, "new", rustix::fs::AtFlags::empty()).is_err());
}

#[test]
fn a_sparse_file_takes_the_space_of_its_pieces() {
    use std::os::unix::fs::MetadataExt;
    let room = Room::new();
    let records: [(&str, &[u8]); 3] = [
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.size", b"1099511627776"),
        ("GNU.sparse.map", b"4096,3,1099511627776,0"),
    ];
    room.unpack(&Archive::new().pax(&records).file("GNUSparseFile.0/sparse", "abc").finish()).unwrap();
    let made = std::fs::metadata(room.path("sparse")).unwrap();
    assert_eq!(made.size(), 1 << 40);
    assert!(made.blocks() <= 64, "{}", made.blocks());
    for map in ["0,4", "0,2", "5,1,4,2", "0,3,1", "18446744073709551615,3", "0,3,x,1"] {
        let records: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"100"), ("GNU.sparse.map", map.as_bytes())];
        let error = Room::new().unpack(&Archive::new().pax(&records).file("s", "abc").finish()).unwrap_err();
        assert!(matches!(error, error::Error::Refused(_)), "{map}: {}", message(&error));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_damaged_archive_never_panics_nor_reaches_outside(
        damage in prop::collection::vec((0_usize..4096, any::<u8>()), 1..6),
        checked in any::<bool>(),
    ) {
        let mut bytes = Archive::new()
            .pax(&[("path", b"d/long"), ("mtime", b"-1.5")])
            .file("x", "content")
            .symlink("up", "../outside")
            .file("y", "")
            .finish();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if checked {
            repair_checksums(&mut bytes);
        }
        let room = Room::new();
        let _outcome = room.unpack(&bytes);
        room.assert_outside_is_untouched();
    }
}

/// Makes each block that could be a header one with a right checksum.
fn repair_checksums(bytes: &mut [u8]) {
    for block in bytes.as_chunks_mut::<512>().0.iter_mut().filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

#[test]
fn extended_headers_that_say_more_than_a_file_can_have_are_refused() {
    let names: Vec<String> = (0..10_000).map(|number| format!("SCHILY.xattr.user.{number}")).collect();
    let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
    let error = Room::new().unpack(&Archive::new().pax(&records).file("f", "").finish()).unwrap_err();
    assert!(message(&error).contains("more extended attributes than a file can have"), "{}", message(&error));

    let half = vec![b'x'; 600_000];
    let twice = Archive::new().pax(&[("comment", &half)]).pax(&[("comment", &half)]).file("f", "");
    let error = Room::new().unpack(&twice.finish()).unwrap_err();
    assert!(message(&error).contains("bytes for one entry, more than the 1048576"), "{}", message(&error));
    let apart = Archive::new().pax(&[("comment", &half)]).file("f", "").pax(&[("comment", &half)]).file("g", "");
    assert_eq!(Room::new().unpack(&apart.finish()).unwrap().entries, 2);
}
