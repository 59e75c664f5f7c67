//! Unpacks layers with this crate and with `tar -xf` in turn, and prints the medians of both and our peak memory.
//!
//! `layer_speed DIRECTORY ARCHIVE…`: the directory is where the trees are made and removed again.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use carboy_image::layer::{Layer, Remembers, settle, unpack_layer};

const ROUNDS: usize = 5;

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let directory = arguments.next().unwrap();
    for archive in arguments {
        let (mut ours, mut tars) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(timed(&directory, |into| {
                let into = File::open(into).unwrap();
                let unpacked = unpack_layer(File::open(&archive).unwrap(), into.as_fd(), &Layer::default()).unwrap();
                let _settled = settle(into.as_fd(), &unpacked, &[], Remembers::AsTrusted).unwrap();
            }));
            tars.push(timed(&directory, |into| {
                assert!(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(into).status().unwrap().success());
            }));
        }
        println!("{}: carboy {:.1?}, tar {:.1?}", archive.display(), median(ours), median(tars));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
}

fn timed(directory: &Path, unpack: impl Fn(&Path)) -> Duration {
    let into = directory.join("layer_speed");
    fs::create_dir(&into).unwrap();
    let start = Instant::now();
    unpack(&into);
    let taken = start.elapsed();
    carboy_image::remove_tree(File::open(directory).unwrap().as_fd(), OsStr::new("layer_speed")).unwrap();
    taken
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}
