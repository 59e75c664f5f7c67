//! docs/see.md is typed, command by command, and prints what stands there: numbers and ids differ, words do not.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use carboy_e2e::network::alone;
use carboy_e2e::{Carboy, program};

const DOCUMENT: &str = include_str!("../../../docs/see.md");

/// What is to be typed, and what it prints.
struct Typed {
    command: &'static str,
    printed: Vec<&'static str>,
}

/// The blocks of the document that are marked as a console's.
fn typed() -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    for block in DOCUMENT.split("\n```console\n").skip(1) {
        let block = block.split("\n```").next().unwrap();
        for line in block.lines() {
            match line.strip_prefix("# ") {
                Some(command) => all.push(Typed { command, printed: Vec::new() }),
                None => all.last_mut().unwrap().printed.push(line),
            }
        }
    }
    all
}

/// A line without what differs from run to run: numbers, ids, and how far columns are apart.
fn likened(line: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_hexdigit() || letter == '.';
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let mut likened = String::new();
        for part in word.split_inclusive(|letter: char| !is_part(letter)) {
            let (part, end) = match part.char_indices().next_back() {
                Some((at, letter)) if !is_part(letter) => part.split_at(at),
                _ => (part, ""),
            };
            let is_number = part.chars().any(|letter| letter.is_ascii_digit());
            likened.push_str(if is_number { "0" } else { part });
            likened.push_str(end);
        }
        words.push(likened);
    }
    words.join(" ")
}

/// Whether what was printed is what stands in the document, where `…` stands for the rest of a line.
fn agrees(printed: &[String], expected: &[&str]) -> bool {
    let agree = |(printed, expected): (&String, &&str)| match expected.strip_suffix('…') {
        Some(begin) => likened(printed).starts_with(likened(begin).trim_end()),
        None => likened(printed) == likened(expected),
    };
    printed.len() == expected.len() && printed.iter().zip(expected).all(agree)
}

/// A shell in which `carboy` is the one that is tested.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn new(carboy: &Carboy) -> Self {
        let mut shell = Command::new("bash");
        shell.current_dir(carboy.folder()).env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        let mut process = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut shell = Self { process, input, output };
        let (folder, program) = (carboy.folder().display(), program().display().to_string());
        let disk = "$(lsblk -npo pkname,name $(df --output=source /var | tail -n 1) | awk '{print $1}' | head -n 1)";
        shell.typed(&format!(
            "exec 2>&1; carboy() {{ {program} --root {folder}/root --runroot {folder}/run \"$@\" </dev/null; }}; DISK={disk}"
        ));
        shell
    }

    /// What a command prints.
    fn typed(&mut self, command: &str) -> Vec<String> {
        writeln!(self.input, "{command}\necho; echo == end ==").unwrap();
        let mut printed = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the shell ended at {command}");
            if line == "== end ==\n" {
                break;
            }
            printed.push(line.trim_end().to_owned());
        }
        // What this host hides is not part of the story.
        printed.truncate(printed.iter().position(|line| line == "BLIND").unwrap_or(printed.len()));
        printed.truncate(printed.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
        printed
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.process.wait().unwrap().success());
    }
}

#[test]
fn what_the_document_shows_is_what_happens() {
    alone(|carboy| {
        let mut shell = Shell::new(carboy);
        let all = typed();
        assert!(all.len() > 40, "{} commands", all.len());
        let mut wrong = Vec::new();
        for Typed { command, printed } in &all {
            // The disk is another one elsewhere.
            if command.starts_with("DISK=") {
                continue;
            }
            let found = shell.typed(command);
            if !agrees(&found, printed) {
                wrong.push(format!("# {command}\n{}\n  stands for\n{}", found.join("\n"), printed.join("\n")));
            }
        }
        shell.end();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        assert_eq!(carboy.left_behind(), [""; 0]);
    });
}
