//! What takes room on the disk is shown, and what of it nobody uses goes when somebody says so.

use std::io::Write as _;
use std::process::Stdio;

use carboy_e2e::{Carboy, made, says};

#[test]
fn containers_that_do_not_run_go_and_those_that_run_or_are_not_meant_stay() {
    let carboy = Carboy::new();
    made(&carboy, &["run", "-d", "--name", "runs"], "sleep 1000");
    made(&carboy, &["run", "--name", "kept", "--label", "keep=1"], "exit 0");
    let id = made(&carboy, &["create", "-v", "/data", "--name", "made"], "exit 0");
    let id = id.trim_end();
    made(&carboy, &["run", "--name", "wrote"], "dd if=/dev/zero of=/file bs=1000 count=250 2>/dev/null");
    assert_eq!(says(&carboy, &["container", "prune", "-f", "--filter", "until=1h"]), "Total reclaimed space: 0B\n");
    // Nobody answers, and somebody says no.
    let question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] \n";
    for answer in ["", "n\n"] {
        let mut asked = carboy.command(["container", "prune"]);
        let mut asked = asked.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        asked.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = asked.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (Some(0), question));
    }
    let pruned = says(&carboy, &["system", "prune", "-f", "--filter", "label!=keep"]);
    let gone: Vec<&str> = pruned.lines().skip(1).take(2).collect();
    assert!(pruned.starts_with("Deleted Containers:\n") && gone.contains(&id), "{pruned}");
    assert!(pruned.ends_with("\n\nTotal reclaimed space: 250kB\n"), "{pruned}");
    assert_eq!(says(&carboy, &["container", "ls", "-a", "--format", "{{.Names}}"]), "kept\nruns\n");
    assert_eq!(says(&carboy, &["volume", "ls", "-q"]).lines().count(), 1, "what it wrote there stays");
    let pruned = says(&carboy, &["system", "prune", "-f", "--volumes"]);
    assert!(pruned.contains("Deleted Containers:\n") && pruned.contains("Deleted Volumes:\n"), "{pruned}");
    assert_eq!(says(&carboy, &["volume", "ls", "-q"]), "");
    assert_eq!(says(&carboy, &["rm", "-f", "runs"]), "runs\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn what_takes_room_is_counted_with_what_of_it_is_to_be_had_back() {
    let carboy = Carboy::new();
    let write = "dd if=/dev/zero of=/file bs=1000 count=300 2>/dev/null; dd if=/dev/zero of=/data/file bs=1000 count=2 2>/dev/null";
    made(&carboy, &["run", "--log-driver", "none", "-v", "data:/data", "--name", "ended"], write);
    made(&carboy, &["run", "-d", "--log-driver", "none", "--name", "runs"], &format!("{write}; sleep 1000"));
    assert_eq!(says(&carboy, &["exec", "runs", "sh", "-c", "mkdir /data; rm /file; echo > /file"]), "");
    let table = says(&carboy, &["system", "df"]);
    let expected = "TYPE             TOTAL     ACTIVE    SIZE      RECLAIMABLE\n\
                    Images           0         0         0B        0B\n\
                    Containers       2         1         300kB     300kB (99%)\n\
                    Container Logs   2         1         0B        0B\n\
                    Local Volumes    1         1         2kB       0B (0%)\n";
    assert_eq!(table, expected);
    assert_eq!(says(&carboy, &["system", "df", "--format", "{{.Type}} {{.Active}}"]).lines().next(), Some("Images 0"));
    let each = says(&carboy, &["system", "df", "-v"]);
    for part in [
        "Images space usage:",
        "Containers space usage:",
        "stopped   ended",
        "Local Volumes space usage:",
        "data          1         2kB",
    ] {
        assert!(each.contains(part), "{part}: {each}");
    }
    assert_eq!(carboy.run(["system", "df", "-v", "--format", "json"]).code, 125);
    assert_eq!(says(&carboy, &["rm", "-f", "ended", "runs"]), "ended\nruns\n");
    assert_eq!(says(&carboy, &["volume", "rm", "data"]), "data\n");
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_filter_that_there_is_not_is_refused_as_dockers_daemon_does() {
    let carboy = Carboy::new();
    for kind in ["container", "image", "volume", "network"] {
        let ended = carboy.run([kind, "prune", "-f", "--filter", "x=y"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{ended:?}");
        assert!(ended.stderr.starts_with("error: cannot use --filter x=y: is no filter of "), "{ended:?}");
    }
}
