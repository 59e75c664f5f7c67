//! Every target on its seeds, and on thousands of texts that come from them by chance, always the same ones: what CI runs
//! where no fuzzer is installed.

use std::fs;
use std::path::Path;

use carboy_fuzz::TARGETS;

const ROUNDS: u32 = 30_000;
/// Unpacking writes to a disk.
const ROUNDS_OF_ARCHIVES: u32 = 150;

/// Numbers as if by chance. Marsaglia, Xorshift RNGs.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// Some bytes changed, doubled, left out or cut off; now and then nothing but noise.
    fn mutated(&mut self, seed: &[u8]) -> Vec<u8> {
        const NASTY: [&str; 11] =
            ["-1", "0", "18446744073709551616", "4294967296", "\0", "..", "/", "\n", "\u{feff}", "1e999", "[[[["];
        let mut bytes = seed.to_vec();
        if self.below(16) == 0 {
            let length = self.below(200);
            return (0..length).map(|_| self.next().to_le_bytes()[0]).collect();
        }
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] = self.next().to_le_bytes()[0],
                1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..(at + self.below(9)).min(bytes.len()))),
                4 => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => drop(bytes.splice(at..at, NASTY[self.below(NASTY.len())].bytes())),
            }
        }
        bytes
    }
}

#[test]
fn no_parser_panics_on_what_nobody_foresaw() {
    for target in TARGETS {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        target.seeds.iter().for_each(|seed| (target.run)(seed.as_bytes()));
        let rounds = if matches!(target.name, "archive" | "layer") { ROUNDS_OF_ARCHIVES } else { ROUNDS };
        for round in 0..rounds {
            let seed = target.seeds[chance.below(target.seeds.len())];
            let bytes = chance.mutated(seed.as_bytes());
            let survived = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(survived.is_ok(), "{} in round {round}: {:?}", target.name, String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_document_that_ends_anywhere_is_refused_and_no_more() {
    for target in TARGETS
        .iter()
        .filter(|target| ["config", "resources", "docker_profile", "snapshot", "state"].contains(&target.name))
    {
        for seed in target.seeds {
            (0..seed.len()).for_each(|length| (target.run)(&seed.as_bytes()[..length]));
        }
    }
    let nested = "[".repeat(100_000);
    let long = format!(r#"{{"ociVersion":"{}"}}"#, "1".repeat(1 << 20));
    TARGETS.iter().for_each(|target| (target.run)(nested.as_bytes()));
    TARGETS.iter().for_each(|target| (target.run)(long.as_bytes()));
}

#[test]
fn every_target_has_a_program_for_cargo_fuzz() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut programs: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".rs", ""))
        .collect();
    programs.sort();
    assert_eq!(programs, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
}
