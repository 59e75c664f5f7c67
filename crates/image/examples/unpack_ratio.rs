//! Unpacks archives with this crate and with `tar -xf` in turn, and prints the medians of both, their ratio, and our peak memory.
//!
//! `unpack_ratio DIRECTORY ARCHIVE…`: the directory is where the trees are made and removed again.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let directory = arguments.next().unwrap();
    for archive in arguments {
        let (mut ours, mut tars, mut removals) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(timed(&directory, &mut removals, |into| {
                carboy_image::unpack_file(&archive, File::open(into).unwrap().as_fd()).unwrap();
            }));
            tars.push(timed(&directory, &mut Vec::new(), |into| {
                assert!(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(into).status().unwrap().success());
            }));
        }
        let (ours, tars, removal) = (median(ours), median(tars), median(removals));
        let ratio = ours.as_secs_f64() / tars.as_secs_f64();
        println!(
            "{}: carboy {ours:.1?}, tar {tars:.1?}, ratio {ratio:.2}, remove_tree {removal:.1?}",
            archive.display()
        );
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
}

fn timed(directory: &Path, removals: &mut Vec<Duration>, unpack: impl Fn(&Path)) -> Duration {
    let into = directory.join("unpack_ratio");
    fs::create_dir(&into).unwrap();
    let start = Instant::now();
    unpack(&into);
    let taken = start.elapsed();
    let start = Instant::now();
    carboy_image::remove_tree(File::open(directory).unwrap().as_fd(), OsStr::new("unpack_ratio")).unwrap();
    removals.push(start.elapsed());
    taken
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}
