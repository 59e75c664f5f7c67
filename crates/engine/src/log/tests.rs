//! Logs in files: written, rotated, read again.

use std::fs::{self, File};

use super::files::older;
use super::*;

const fn files(max_bytes: u64, max_files: u32) -> LogWish {
    LogWish::JsonFile(Rotation { max_bytes, max_files, compress: false })
}

fn origin() -> Origin {
    let [id, name, image, tag] = ["id", "name", "image", "tag"].map(str::to_owned);
    Origin { id, name, image, tag, attributes: [].into() }
}

fn writer(wish: &LogWish, folder: &Path) -> Writer {
    Writer::open(wish, folder, &origin()).unwrap().unwrap()
}

fn read(folder: &Path) -> Vec<(Stream, String)> {
    read_as(&files(1, 1), folder)
}

fn read_as(wish: &LogWish, folder: &Path) -> Vec<(Stream, String)> {
    let mut reader = Reader::open(wish, folder).unwrap().unwrap();
    let entries = std::iter::from_fn(|| reader.next_entry().unwrap());
    entries.map(|entry| (entry.stream, String::from_utf8(entry.log).unwrap())).collect()
}

#[test]
fn lines_of_both_streams_are_kept_in_their_order_and_long_ones_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&files(1 << 20, 3), folder.path());
    writer.take(Stream::Stdout, b"one\ntw");
    writer.take(Stream::Stderr, b"error\n");
    writer.take(Stream::Stdout, b"o\n\n");
    writer.take(Stream::Stdout, &[&[b'x'; LONGEST_LINE + 5][..], b"\n\xff\x00end"].concat());
    writer.finish();
    let (out, err) = (Stream::Stdout, Stream::Stderr);
    let expected = [
        (out, "one\n".to_owned()),
        (err, "error\n".to_owned()),
        (out, "two\n".to_owned()),
        (out, "\n".to_owned()),
        (out, "x".repeat(LONGEST_LINE)),
        (out, "xxxxx\n".to_owned()),
        (out, "\u{fffd}\0end".to_owned()),
    ];
    assert_eq!(read(folder.path()), expected);
}

#[test]
fn the_same_is_kept_however_it_was_read() {
    let lengths = [0, 1, 7, 31, 32, 33, 99, 100, LONGEST_LINE - 1, LONGEST_LINE, 40_000, 3];
    let lines = lengths.iter().cycle().take(60).zip(0..);
    let all: String = lines.map(|(length, number)| format!("{}{number}\n", "x".repeat(*length))).collect();
    for max_bytes in [30_000, 1 << 30] {
        let mut entries: Vec<Vec<(Stream, String)>> = Vec::new();
        for piece in [all.len(), 65_536, 10_007, 613] {
            let folder = tempfile::tempdir().unwrap();
            let mut writer = writer(&files(max_bytes, 1000), folder.path());
            all.as_bytes().chunks(piece).for_each(|read| writer.take(Stream::Stdout, read));
            writer.finish();
            entries.push(read(folder.path()));
            for file in fs::read_dir(folder.path()).unwrap() {
                assert!(file.unwrap().metadata().unwrap().len() <= max_bytes);
            }
        }
        assert_eq!(entries[0].iter().map(|(_, log)| log.as_str()).collect::<String>(), all);
        assert!(entries.iter().all(|one| *one == entries[0]), "read in pieces, up to {max_bytes} bytes a file");
    }
}

#[test]
fn files_are_rotated_and_no_more_than_wished_are_kept() {
    for count in 1..4_u32 {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&files(1000, count), folder.path());
        for number in 0..100 {
            writer.take(Stream::Stdout, format!("line {number}\n").as_bytes());
        }
        let kept = read(folder.path());
        let numbers: Vec<usize> = kept.iter().map(|(_, log)| log[5..].trim().parse().unwrap()).collect();
        assert_eq!(numbers.last(), Some(&99));
        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
        let there = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(there, usize::try_from(count).unwrap());
        for file in fs::read_dir(folder.path()).unwrap() {
            assert!(file.unwrap().metadata().unwrap().len() <= 1000);
        }
    }
}

#[test]
fn a_reader_goes_on_where_it_was_and_follows_to_the_next_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&files(300, 10), folder.path());
    writer.take(Stream::Stdout, b"first\n");
    let mut reader = Reader::open(&files(1, 1), folder.path()).unwrap().unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().log, b"first\n");
    assert_eq!(reader.next_entry().unwrap(), None);
    for number in 0..20 {
        writer.take(Stream::Stdout, format!("{number}\n").as_bytes());
        assert_eq!(reader.next_entry().unwrap().unwrap().log, format!("{number}\n").into_bytes());
        assert_eq!(reader.next_entry().unwrap(), None);
    }
    assert!(older(&folder.path().join("output.json"), 2, "").exists());
}

#[test]
fn what_a_full_disk_does_not_take_is_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&files(1 << 20, 3), folder.path());
    writer.take(Stream::Stdout, b"before\n");
    let file = std::mem::replace(file_of(&mut writer), File::options().write(true).open("/dev/full").unwrap());
    writer.take(Stream::Stdout, b"a\nb\n");
    writer.take(Stream::Stderr, b"c\n");
    *file_of(&mut writer) = file;
    writer.take(Stream::Stdout, b"after\n");
    let logs: Vec<String> = read(folder.path()).into_iter().map(|(_, log)| log).collect();
    let told = "carboy: 3 lines before this one were lost: the disk did not take them\n";
    assert_eq!(logs, ["before\n", told, "after\n"]);
}

fn file_of(writer: &mut Writer) -> &mut File {
    let Sink::Files(files) = &mut writer.sink else { panic!("no files") };
    &mut files.file
}

#[test]
fn older_files_are_compressed_and_read_as_if_they_were_not() {
    for (wish, name) in [
        (LogWish::Local(Rotation { max_bytes: 4000, max_files: 4, compress: true }), "output.log"),
        (LogWish::JsonFile(Rotation { max_bytes: 4000, max_files: 4, compress: true }), "output.json"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&wish, folder.path());
        let mut reader = None;
        let mut followed = Vec::new();
        for number in 0..1000 {
            writer.take(Stream::Stderr, format!("line {number}\n").as_bytes());
            let reader = reader.get_or_insert_with(|| Reader::open(&wish, folder.path()).unwrap().unwrap());
            // Who does not follow at once finds some of the files only when they have become others.
            if number % 100 < 80 || number > 990 {
                while let Some(entry) = reader.next_entry().unwrap() {
                    followed.push(String::from_utf8(entry.log).unwrap());
                }
            }
        }
        writer.finish();
        let expected: Vec<String> = (0..1000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(followed, expected, "{name}");
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let packed = [1, 2, 3].map(|number| format!("{name}.{number}.gz"));
        assert_eq!(names, [&[name.to_owned()], &packed[..]].concat());
        let kept = read_as(&wish, folder.path());
        assert!(kept.len() > 100 && expected.ends_with(&kept.into_iter().map(|(_, log)| log).collect::<Vec<_>>()));
    }
}

#[test]
fn a_log_goes_on_behind_what_a_crash_has_cut_off() {
    for (wish, name) in [(LogWish::LOCAL, "output.log"), (LogWish::USUAL, "output.json")] {
        let folder = tempfile::tempdir().unwrap();
        writer(&wish, folder.path()).take(Stream::Stdout, b"one\ntwo\n");
        let file = File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        writer(&wish, folder.path()).take(Stream::Stderr, b"three\n");
        let expected = [(Stream::Stdout, "one\n".to_owned()), (Stream::Stderr, "three\n".to_owned())];
        assert_eq!(read_as(&wish, folder.path()), expected);
    }
}
