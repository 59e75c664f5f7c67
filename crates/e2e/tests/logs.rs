//! `--log-driver`: where a container's output is kept, and that no log holds it up.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use carboy_e2e::{Carboy, ended, eventually, program};

/// Runs this in a container called box to its end.
fn says(carboy: &Carboy, flags: &[&str], script: &str) {
    let root = carboy.busybox();
    let words = ["run", "-d", "--name", "box"].into_iter().chain(flags.iter().copied());
    let ended = carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", script]));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(carboy.run(["wait", "box"]).stdout, "0\n");
}

fn folder(carboy: &Carboy) -> PathBuf {
    let id = carboy.inspect("box")["Id"].as_str().unwrap().to_owned();
    carboy.folder().join("root/containers").join(id)
}

/// A socket that takes datagrams, and waits for none for ever.
fn socket(carboy: &Carboy) -> (UnixDatagram, PathBuf) {
    let path = carboy.folder().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (socket, path)
}

fn next(socket: &UnixDatagram) -> Vec<u8> {
    let mut buffer = vec![0; 64 * 1024];
    let length = socket.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn what_is_said_of_a_container_stands_in_its_log_and_is_shown_with_details() {
    let carboy = Carboy::new();
    let flags = ["--label", "colour=light blue", "--env", "HUE=a=b", "--log-opt", "labels=colour,none"];
    let tag = ["--log-opt", "env=HUE", "--log-opt", "tag={{.Name}}/{{.ID}}"];
    says(&carboy, &[&flags[..], &tag[..]].concat(), "echo one; echo two >&2");
    let id = carboy.inspect("box")["Id"].as_str().unwrap()[..12].to_owned();
    let shown = carboy.run(["logs", "--details", "box"]);
    let details = format!("HUE=a%3Db,colour=light+blue,tag=box%2F{id} ");
    assert_eq!((shown.stdout, shown.stderr), (format!("{details}one\n"), format!("{details}two\n")));
    let text = fs::read_to_string(folder(&carboy).join("output.json")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["attrs"], serde_json::json!({"HUE": "a=b", "colour": "light blue", "tag": format!("box/{id}")}));
    let config = carboy.inspect("box")["HostConfig"]["LogConfig"].clone();
    assert_eq!((&config["Type"], &config["Config"]["labels"]), (&"json-file".into(), &"colour,none".into()));
    assert_eq!(carboy.run(["rm", "box"]).code, 0);
}

#[test]
fn local_keeps_every_byte_and_compresses_what_is_older() {
    let carboy = Carboy::new();
    let flags = ["--log-driver", "local", "--log-opt", "max-size=30k", "--log-opt", "max-file=20"];
    says(&carboy, &flags, "seq 10000; printf 'end\\377\\0'; echo last >&2");
    let shown = carboy.command(["logs", "box"]).output().unwrap();
    let mut expected: Vec<u8> = (1..=10000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    expected.extend_from_slice(b"end\xff\0");
    assert!(shown.stdout == expected, "{} bytes in place of {}", shown.stdout.len(), expected.len());
    assert_eq!(shown.stderr, b"last\n");
    let names: Vec<String> =
        fs::read_dir(folder(&carboy)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let packed = names.iter().filter(|name| name.starts_with("output.log.") && name.ends_with(".gz")).count();
    assert!(packed > 3 && names.iter().filter(|name| name.starts_with("output")).count() == packed + 1, "{names:?}");
    assert_eq!(carboy.run(["logs", "--tail", "2", "box"]).stderr, "last\n");
    assert_eq!(carboy.run(["rm", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn a_syslog_daemon_is_told_by_datagrams_by_udp_and_by_tcp() {
    let carboy = Carboy::new();
    let (local, path) = socket(&carboy);
    let script = "echo one; sleep 0.1; echo two >&2; sleep 0.1; head -c 20000 /dev/zero | tr '\\0' x; echo";
    let address = format!("syslog-address=unixgram://{}", path.display());
    let flags = ["--log-driver", "syslog", "--log-opt", &address, "--log-opt", "tag={{.Name}}"];
    says(&carboy, &[&flags[..], &["--log-opt", "syslog-facility=local1"]].concat(), script);
    let mut heard = (0..4).map(|_| String::from_utf8(next(&local)).unwrap());
    let first = heard.next().unwrap();
    assert!(first.starts_with("<142>") && first.contains(" box[") && first.ends_with("]: one"), "{first}");
    let second = heard.next().unwrap();
    assert!(second.starts_with("<139>") && second.ends_with("]: two"), "{second}");
    assert_eq!(
        heard.map(|part| part.matches('x').count() - 1).collect::<Vec<_>>(),
        [16384, 3616],
        "the name has one, too"
    );
    let shown = carboy.run(["logs", "box"]);
    assert_eq!((shown.code, shown.stdout.as_str()), (1, ""));
    assert!(shown.stderr.contains("configured logging driver does not support reading"), "{}", shown.stderr);
    assert_eq!(carboy.run(["rm", "box"]).code, 0);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let address = format!("syslog-address=udp://{}", udp.local_addr().unwrap());
    let flags = ["--log-driver", "syslog", "--log-opt", &address, "--log-opt", "syslog-format=rfc5424"];
    says(&carboy, &flags, "echo one");
    let mut buffer = [0; 1000];
    let length = udp.recv(&mut buffer).unwrap();
    let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(message.starts_with("<30>1 20") && message.ends_with(" - one"), "{message}");
    assert_eq!(carboy.run(["rm", "box"]).code, 0);

    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("syslog-address=tcp://{}", tcp.local_addr().unwrap());
    let flags = ["--log-driver", "syslog", "--log-opt", &address, "--log-opt", "syslog-format=rfc3164"];
    says(&carboy, &flags, "seq 1000");
    let mut text = String::new();
    tcp.accept().unwrap().0.read_to_string(&mut text).unwrap();
    let numbers = text.lines().map(|line| line.rsplit_once(": ").unwrap().1.parse::<u32>().unwrap());
    assert!(numbers.eq(1..=1000), "each line is told once, in its order");
    assert_eq!(carboy.run(["rm", "box"]).code, 0);
}

#[test]
fn a_log_that_takes_nothing_holds_nobody_up_and_what_is_lost_is_told() {
    let carboy = Carboy::new();
    let path = carboy.folder().join("log");
    let address = format!("syslog-address=unixgram://{}", path.display());
    let root = carboy.busybox();
    let flags = ["--log-driver", "syslog", "--log-opt", &address, "--log-opt", "max-buffer-size=10k"];
    let script = "seq 100000; touch /written; until [ -e /go ]; do sleep 0.05; done; echo again";
    let words = ["run", "-d", "--name", "box"].into_iter().chain(flags);
    assert_eq!(carboy.run(words.chain([root.to_str().unwrap(), "sh", "-c", script])).code, 0);
    let begun = Instant::now();
    eventually("all is written", || carboy.run(["exec", "box", "test", "-e", "/written"]).code == 0);
    assert!(begun.elapsed() < Duration::from_secs(20), "nobody is there, and nobody is waited for");
    let (socket, _) = socket(&carboy);
    // Who was not there is looked for again without being asked for.
    let mut heard = Vec::new();
    while heard.is_empty() || !heard.last().is_some_and(|line: &String| line.ends_with("]: again")) {
        heard.push(String::from_utf8(next(&socket)).unwrap());
        if heard.len() == 1 {
            assert_eq!(carboy.run(["exec", "box", "touch", "/go"]).code, 0);
        }
    }
    assert!(heard[0].ends_with("]: 1"), "{heard:?}");
    // What was still in its pipe when somebody listened again may be more than can wait, and is told by itself.
    let lost = |line: &String| {
        let (_, told) = line.split_once("]: carboy: ")?;
        let (count, rest) = told.split_once(' ')?;
        assert_eq!(rest, "lines before this one were lost: the syslog daemon did not take them");
        count.parse::<usize>().ok()
    };
    let (told, kept): (Vec<_>, Vec<_>) = heard.iter().partition(|line| lost(line).is_some());
    assert!(!told.is_empty(), "{heard:?}");
    let numbers = kept.iter().filter_map(|line| line.rsplit_once(": ")?.1.parse::<usize>().ok());
    assert!(numbers.is_sorted(), "{kept:?}");
    let sum = kept.len() - 1 + told.into_iter().filter_map(lost).sum::<usize>();
    assert_eq!(sum, 100_000, "{heard:?}");
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
    assert_eq!(carboy.left_behind(), [""; 0]);
}

#[test]
fn the_journal_gets_each_line_with_what_is_known_of_it() {
    let carboy = Carboy::new();
    let (socket, path) = socket(&carboy);
    let journal = "/run/systemd/journal";
    let was_there = std::path::Path::new(journal).exists();
    let stand_in = "mkdir -p $0 && mount -t tmpfs none $0 && ln -s $1 $0/socket && shift && exec \"$@\"";
    let run = carboy.command(["run", "-d", "--name", "box", "--log-driver", "journald", "--label", "com.colour=blue"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", stand_in, journal]).arg(path).arg(program()).args(run.get_args());
    command.args(["--log-opt", "labels=com.colour", "--log-opt", "tag=my {{.Name}}"]).arg(carboy.busybox());
    command.args(["sh", "-c", "printf 'one \\377\\n'; sleep 0.1; echo two >&2"]);
    assert_eq!(ended(&mut command).code, 0);
    let field = |name: &str, value: &[u8]| {
        let length = u64::try_from(value.len()).unwrap().to_le_bytes();
        [name.as_bytes(), b"\n", &length, value, b"\n"].concat()
    };
    let has = |entry: &[u8], name, value| {
        let field = field(name, value);
        entry.windows(field.len()).any(|part| part == field)
    };
    let first = next(&socket);
    let id = carboy.inspect("box")["Id"].as_str().unwrap().to_owned();
    for (name, value) in [
        ("MESSAGE", &b"one \xff"[..]),
        ("PRIORITY", b"6"),
        ("CONTAINER_NAME", b"box"),
        ("CONTAINER_TAG", b"my box"),
        ("SYSLOG_IDENTIFIER", b"my box"),
        ("COM_COLOUR", b"blue"),
        ("CONTAINER_ID_FULL", id.as_bytes()),
    ] {
        assert!(has(&first, name, value), "{name}: {}", String::from_utf8_lossy(&first));
    }
    let second = next(&socket);
    assert!(has(&second, "PRIORITY", b"3") && has(&second, "MESSAGE", b"two"));
    assert!(carboy.run(["logs", "box"]).stderr.contains("journalctl CONTAINER_NAME=box"));
    assert_eq!(carboy.run(["rm", "-f", "box"]).code, 0);
    if !was_there {
        let _ = fs::remove_dir(journal);
        let _ = fs::remove_dir("/run/systemd");
    }
}
