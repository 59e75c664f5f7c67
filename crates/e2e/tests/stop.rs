//! `stop` and `wait`: containers end as they were made to end, in the time they have, and their exit codes are told.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use carboy_e2e::{Attended, Carboy, ended};

/// A container that says "ready", and then does this.
fn started(carboy: &Carboy, name: &str, flags: &[&str], script: &str) -> Attended {
    let root = carboy.busybox();
    let words = ["run", "-i", "--name", name].into_iter().chain(flags.iter().copied());
    let script = format!("{script}; echo ready; while :; do sleep 0.1; done");
    let mut container =
        Attended::start(&mut carboy.command(words.chain([root.to_str().unwrap(), "sh", "-c", &script])));
    assert_eq!(container.line(), "ready");
    container
}

/// What a command prints, which ends well and in less than this.
fn printed(carboy: &Carboy, words: &[&str], seconds: u64) -> String {
    let began = Instant::now();
    let ended = carboy.run(words);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
    assert!(began.elapsed() < Duration::from_secs(seconds), "{words:?} took {:?}", began.elapsed());
    ended.stdout
}

#[test]
fn those_that_heed_the_signal_end_by_themselves_and_others_are_killed_in_time() {
    let carboy = Carboy::new();
    let heeds = started(&carboy, "heeds", &[], "trap 'exit 3' TERM");
    let deaf = started(&carboy, "deaf", &[], "trap '' TERM");
    let paused = started(&carboy, "paused", &[], "trap '' TERM");
    assert_eq!(carboy.run(["pause", "paused"]).code, 0);
    // One patience for all of them.
    assert_eq!(printed(&carboy, &["stop", "-t", "2", "heeds", "deaf", "paused"], 6), "heeds\ndeaf\npaused\n");
    for (container, code) in [(heeds, 3), (deaf, 137), (paused, 137)] {
        assert_eq!(container.end().code, code);
    }
    assert_eq!(printed(&carboy, &["wait", "heeds", "deaf", "paused"], 5), "3\n137\n137\n");
    assert_eq!(printed(&carboy, &["stop", "heeds"], 5), "heeds\n", "one that has ended is stopped");
    assert_eq!(printed(&carboy, &["rm", "heeds", "deaf", "paused"], 10), "heeds\ndeaf\npaused\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_container_is_asked_as_it_was_made_to_be_asked() {
    let carboy = Carboy::new();
    let flags = ["--stop-signal", "INT", "--stop-timeout", "-1"];
    let polite = started(&carboy, "polite", &flags, "trap 'sleep 1; exit 4' INT");
    let document = carboy.inspect("polite");
    assert_eq!(
        (&document["Config"]["StopSignal"], &document["Config"]["StopTimeout"]),
        (&"SIGINT".into(), &(-1).into())
    );
    assert_eq!(printed(&carboy, &["stop", "polite"], 10), "polite\n");
    assert_eq!(polite.end().code, 4);
    let hasty = started(&carboy, "hasty", &["--rm", "--stop-timeout", "0"], "trap '' TERM");
    assert_eq!(printed(&carboy, &["stop", "hasty"], 5), "hasty\n");
    assert_eq!(hasty.end().code, 137);
    let other = started(&carboy, "other", &["--rm"], "trap 'exit 5' USR1");
    assert_eq!(printed(&carboy, &["stop", "-s", "USR1", "other"], 5), "other\n");
    assert_eq!(other.end().code, 5);
}

#[test]
fn wait_tells_the_exit_code_of_whatever_ends() {
    let carboy = Carboy::new();
    let kept = started(&carboy, "kept", &[], "trap 'exit 6' TERM");
    let gone = started(&carboy, "gone", &["--rm"], "trap 'exit 7' TERM");
    let waits = ["kept", "gone"].map(|name| {
        let mut wait = carboy.command(["wait", name]);
        wait.stdout(Stdio::piped()).spawn().unwrap()
    });
    for name in ["kept", "gone"] {
        assert_eq!(carboy.run(["kill", "-s", "TERM", name]).code, 0);
    }
    let codes = waits.map(|wait| String::from_utf8(wait.wait_with_output().unwrap().stdout).unwrap());
    assert_eq!((kept.end().code, gone.end().code), (6, 7));
    assert_eq!(codes, ["6\n", "7\n"]);
}

#[test]
fn what_is_not_there_is_told_for_each() {
    let carboy = Carboy::new();
    let here = started(&carboy, "here", &["--rm"], "trap 'exit 0' TERM");
    for command in ["stop", "wait"] {
        let refused = carboy.run([command, "nowhere"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{command}");
        assert!(
            refused.stderr.contains("nowhere") && refused.stderr.contains("no such container"),
            "{}",
            refused.stderr
        );
    }
    let both = ended(&mut carboy.command(["stop", "nowhere", "here"]));
    assert_eq!((both.code, both.stdout.as_str()), (1, "here\n"));
    assert_eq!(here.end().code, 0);
    for words in
        [["stop", "-t", "soon", "here"], ["stop", "-t", "4294967296", "here"], ["stop", "-s", "SIGFOO", "here"]]
    {
        let refused = carboy.run(words);
        assert_eq!((refused.code, refused.stdout.as_str()), (125, ""), "{words:?}");
        assert!(refused.stderr.starts_with("error: cannot use -"), "{}", refused.stderr);
    }
}
