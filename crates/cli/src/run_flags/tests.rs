//! Every flag of `run`, with values that it takes and values that it refuses.

use super::*;
use engine::health::HealthWish;
use engine::log::{LogWish, Rotation};
use engine::options::ImageRoot;
use std::ffi::OsString;

fn caller(name: &str) -> Option<OsString> {
    (name == "MINE").then(|| "my own".into())
}

pub(super) fn options(words: &[&str]) -> Result<RunOptions> {
    match read(&RUN, &mut Parser::from_args(words), Form::Text, &caller)? {
        Run::Container(options, _) => Ok(*options),
        Run::Help => panic!("help"),
    }
}

/// The error and its hint as the user sees them.
pub(super) fn refusal(words: &[&str]) -> String {
    match options(words) {
        Ok(options) => format!("TAKEN: {options:?}"),
        Err(error) => format!("{error}\n  {}", error.hint().unwrap_or("-")),
    }
}

/// Flag, value, and what is then found in the options.
const GOOD: &[(&str, &str, &str)] = &[
    ("tty", "true", "tty: true"),
    ("interactive", "1", "interactive: true"),
    ("detach", "true", "detach: true, log: JsonFile(Rotation { max_bytes: 10000000, max_files: 3, compress: false })"),
    ("log-driver", "json-file", "log: JsonFile(Rotation { max_bytes: 10000000, max_files: 3, compress: false })"),
    ("log-driver", "none", "log: Nothing"),
    ("log-driver", "local", "log: Local(Rotation { max_bytes: 20971520, max_files: 5, compress: true })"),
    ("log-driver", "journald", "log: Journald(Buffer { max_bytes: 1048576 })"),
    ("log-driver", "syslog", "log: Syslog(Syslog { target: Datagrams(\"/dev/log\"), facility: 3, format: Unix }"),
    ("log-opt", "compress=true", "compress: true"),
    ("log-opt", "labels=a,b", "labels: [\"a\", \"b\"]"),
    ("log-opt", "tag={{ .Name }}!", "tag: Some(\"{{.Name}}!\")"),
    ("log-opt", "max-size=2m", "log: JsonFile(Rotation { max_bytes: 2097152, max_files: 3, compress: false }"),
    ("log-opt", "max-file=1", "log: JsonFile(Rotation { max_bytes: 10000000, max_files: 1, compress: false }"),
    ("entrypoint", "/bin/x y", "entrypoint: Some([\"/bin/x y\"])"),
    ("entrypoint", "", "entrypoint: Some([])"),
    ("env", "A=b=c", "env: [Variable { name: \"A\", value: Some(\"b=c\") }]"),
    ("env", "MINE", "env: [Variable { name: \"MINE\", value: Some(\"my own\") }]"),
    ("env", "NOT", "env: [Variable { name: \"NOT\", value: None }]"),
    ("env-file", "/dev/null", "env: []"),
    ("workdir", "/a/./b/../c/", "workdir: Some(ContainerPath(\"/a/c\"))"),
    ("user", "ann:staff", "user: Some(\"ann:staff\")"),
    ("group-add", "video", "group_add: [\"video\"]"),
    ("init", "true", "init: true"),
    ("detach-keys", "ctrl-a,x,ctrl-[,DEL", "detach_keys: [1, 120, 27, 127]"),
    ("detach-keys", "", "detach_keys: []"),
    ("stop-signal", "sigint", "stop: Stop { signal: Some(Signal(2)), patience: None }"),
    ("stop-signal", "15", "stop: Stop { signal: Some(Signal(15)), patience: None }"),
    ("stop-signal", "RTMIN+3", "stop: Stop { signal: Some(Signal(37)), patience: None }"),
    ("stop-signal", "SIGRTMAX-1", "stop: Stop { signal: Some(Signal(63)), patience: None }"),
    ("stop-timeout", "0", "stop: Stop { signal: None, patience: Some(Seconds(0)) }"),
    ("stop-timeout", "-1", "stop: Stop { signal: None, patience: Some(Endless) }"),
    ("oom-score-adj", "-1000", "oom_score_adj: Some(-1000)"),
    ("ulimit", "nofile=1024:2048", "resource: \"RLIMIT_NOFILE\", soft: At(1024), hard: At(2048)"),
    ("ulimit", "core=0", "resource: \"RLIMIT_CORE\", soft: At(0), hard: At(0)"),
    ("ulimit", "memlock=-1:-1", "resource: \"RLIMIT_MEMLOCK\", soft: Unlimited, hard: Unlimited"),
    ("name", "web_1.a-b", "name: Some(\"web_1.a-b\")"),
    ("hostname", "web-1.example", "hostname: Some(\"web-1.example\")"),
    ("domainname", "example", "domainname: Some(\"example\")"),
    ("rm", "T", "remove: true"),
    ("restart", "no", "restart: No"),
    ("restart", "on-failure", "restart: OnFailure { most: 0 }"),
    ("restart", "on-failure:3", "restart: OnFailure { most: 3 }"),
    ("restart", "always", "restart: Always"),
    ("restart", "unless-stopped", "restart: UnlessStopped"),
    ("label", "a.b/c=d=e", "labels: {\"a.b/c\": \"d=e\"}"),
    ("label-file", "/dev/null", "labels: {}"),
    ("label", "bare", "labels: {\"bare\": \"\"}"),
    ("pull", "always", "pull: Always"),
    ("platform", "linux/amd64", ""),
    ("verify", "src/run_flags/tests/key.pub", "verify: Some(PublicKey(Digest(\"sha256:f5043"),
    ("annotation", "a.b/c=d=e", "annotations: {\"a.b/c\": \"d=e\"}"),
    ("cidfile", "id", "cidfile: Some(\"id\")"),
    ("pidfile", "pid", "pidfile: Some(\"pid\")"),
    (
        "volume",
        "/a//b/:/c",
        "source: \"/a/b\", destination: ContainerPath(\"/c\"), access: ReadWrite, recursion: Recursive, propagation: RPrivate",
    ),
    ("health-cmd", "test -e /up", "health: Checked(Healthcheck { command: Some(Line(\"test -e /up\"))"),
    ("health-interval", "1m30s", "interval: Some(90s)"),
    ("health-timeout", "1s", " timeout: Some(1s)"),
    ("health-retries", "5", "retries: Some(5)"),
    ("health-start-period", "1h", "start_period: Some(3600s)"),
    ("health-start-interval", "500ms", "start_interval: Some(500ms)"),
    ("no-healthcheck", "true", "health: Unchecked"),
    ("volume", "/a:/c:ro,z,rslave", "access: ReadOnly, recursion: Recursive, propagation: RSlave"),
    (
        "mount",
        "type=bind,src=/a,dst=/c,readonly",
        "source: \"/a\", destination: ContainerPath(\"/c\"), access: ReadOnly,",
    ),
    ("volume", "data:/c:ro,nocopy", "name: Given(\"data\"), destination: ContainerPath(\"/c\"), access: ReadOnly"),
    ("volume", "/c", "VolumeMount { name: New, destination: ContainerPath(\"/c\")"),
    ("volumes-from", "web:ro", "volumes_from: [VolumesFrom { container: \"web\", access: ReadOnly }]"),
    ("mount", "src=data,dst=/c,volume-subpath=a/b,volume-nocopy", "subpath: Some(\"a/b\"), fill: Nothing"),
    ("mount", "dst=/c,volume-label=a=b,\"volume-opt=o=x,y\"", "labels: {\"a\": \"b\"}, options: {\"o\": \"x,y\"}"),
    ("mount", "type=bind,src=/a,dst=/c,bind-nonrecursive", "recursion: One"),
    ("mount", "type=bind,\"source=/a,b\",target=/c", "source: \"/a,b\""),
    ("mount", "type=bind,src=/a,dst=/c,ro=true,bind-recursive=writable", "access: ReadOnlyTop"),
    (
        "mount",
        "type=bind,src=/a,dst=/c,bind-recursive=disabled,bind-propagation=shared",
        "recursion: One, propagation: Shared",
    ),
    (
        "mount",
        "type=tmpfs,dst=/c,tmpfs-size=1m,tmpfs-mode=1770,ro",
        "options: [\"size=1048576\", \"mode=1770\", \"ro\"]",
    ),
    ("tmpfs", "/run", "Tmpfs { destination: ContainerPath(\"/run\"), options: [], asked: AsTmpfs }"),
    ("tmpfs", "/run:rw,size=1m,exec,size=2m,noexec", "options: [\"rw\", \"size=2m\", \"noexec\"]"),
    ("read-only", "t", "read_only: true"),
    ("shm-size", "128M", "shm_size_bytes: Some(134217728)"),
    ("shm-size", "0", "shm_size_bytes: None"),
    ("device", "/dev/null", "source: \"/dev/null\", destination: ContainerPath(\"/dev/null\"), access: \"rwm\""),
    ("device", "/dev/null:r", "destination: ContainerPath(\"/dev/null\"), access: \"r\""),
    ("device", "/dev/null:/dev/x", "destination: ContainerPath(\"/dev/x\"), access: \"rwm\""),
    ("device", "/dev/null:/dev/x:mr", "destination: ContainerPath(\"/dev/x\"), access: \"mr\""),
    ("privileged", "TRUE", "privileged: true"),
    ("cap-add", "net_admin", "cap_add: [One(\"CAP_NET_ADMIN\")]"),
    ("cap-add", "ALL", "cap_add: [All]"),
    ("cap-drop", "CAP_CHOWN", "cap_drop: [One(\"CAP_CHOWN\")]"),
    ("security-opt", "seccomp=unconfined", "seccomp: Some(Unconfined)"),
    ("security-opt", "seccomp=builtin", "seccomp: Some(Default)"),
    ("security-opt", "seccomp=p.json", "seccomp: Some(File(\"p.json\"))"),
    ("security-opt", "seccomp:p.json", "seccomp: Some(File(\"p.json\"))"),
    ("security-opt", "no-new-privileges", "no_new_privileges: true"),
    ("security-opt", "no-new-privileges:true", "no_new_privileges: true"),
    ("security-opt", "no-new-privileges=false", "no_new_privileges: false"),
    ("security-opt", "label=disable", "seccomp: None"),
    ("sysctl", "net.core.somaxconn=1024", "sysctls: {\"net.core.somaxconn\": \"1024\"}"),
    ("pid", "host", "pid: Host"),
    ("pid", "container:web", "pid: Joined(Container(\"web\"))"),
    ("pid", "pid:7", "pid: Joined(Process(7))"),
    ("pid", "", "pid: Private"),
    ("ipc", "shareable", "ipc: Private"),
    ("ipc", "host", "ipc: Host"),
    ("uts", "host", "uts: Host"),
    ("userns", "private", "user: Private"),
    ("userns", "", "user: Host"),
    ("cgroupns", "host", "cgroup: Host"),
    ("timens", "private", "time: Private"),
    ("uidmap", "0:100000:65536", "user: Private"),
    ("uidmap", "0:100000:65536", "uid_mappings: [IdMapping { container_id: 0, host_id: 100000, size: 65536 }]"),
    ("gidmap", "0:7:1", "gid_mappings: [IdMapping { container_id: 0, host_id: 7, size: 1 }]"),
    ("time-offset", "monotonic=-1.5,boottime=86400", "monotonic: Some(TimeOffset { secs: -2, nanosecs: 500000000 })"),
    ("time-offset", "boottime=-86400", "boottime: Some(TimeOffset { secs: -86400, nanosecs: 0 })"),
    ("time-offset", "boottime=1", "time: Private"),
    ("cgroup-parent", "/team", "cgroup_parent: Some(\"/team\")"),
    ("cgroup-manager", "systemd", "cgroup_manager: Some(Systemd)"),
    ("cgroup-manager", "cgroupfs", "cgroup_manager: Some(Cgroupfs)"),
];

/// Flags and values that are refused.
const BAD: &[(&str, &str)] = &[
    ("tty", "yes"),
    ("env", "=x"),
    ("label", "=x"),
    ("env", ""),
    ("workdir", "srv"),
    ("detach-keys", "ctrl-1"),
    ("detach-keys", "ab"),
    ("stop-signal", "SIGFOO"),
    ("stop-signal", "0"),
    ("stop-signal", "65"),
    ("stop-signal", "RTMAX+1"),
    ("oom-score-adj", "1001"),
    ("ulimit", "nofile"),
    ("ulimit", "files=1"),
    ("ulimit", "nofile=2048:1024"),
    ("ulimit", "nofile=-1:1024"),
    ("ulimit", "nofile=-2"),
    ("ulimit", "nofile=many"),
    ("name", "a"),
    ("name", "-ab"),
    ("name", "a/b"),
    ("hostname", "a b"),
    ("domainname", ""),
    ("annotation", "a"),
    ("cidfile", ""),
    ("pidfile", ""),
    ("restart", "allways"),
    ("restart", "always:3"),
    ("restart", "on-failure:x"),
    ("health-interval", "30"),
    ("health-timeout", "-1s"),
    ("health-start-period", "1us"),
    ("health-retries", "-1"),
    ("volume", "a"),
    ("volume", "d:/a"),
    ("volume", "da/ta:/a"),
    ("volume", "data:/a:shared"),
    ("volume", "/a:/b:nocopy"),
    ("volume", "/a:b"),
    ("volume", ":/a"),
    ("volume", "/a:/b:rx"),
    ("volume", "/a:/b:ro,rw"),
    ("volume", "/a:/b:ro:z"),
    ("mount", "type=bind,source=/a"),
    ("mount", "type=bind,target=/a"),
    ("mount", "source=/data,target=/a"),
    ("mount", "source=data,target=/a,volume-subpath=../b"),
    ("mount", "source=data,target=/a,volume-driver=nfs"),
    ("mount", "source=data,target=/a,bind-propagation=shared"),
    ("mount", "type=bind,source=/data,target=/a,volume-nocopy"),
    ("mount", "type=npipe,target=/a"),
    ("mount", "type=bind,source=/a,target=/b,bind-propagation=up"),
    ("mount", "type=bind,source=/a,target=/b,bind-recursive=yes"),
    ("mount", "type=bind,source=/a,target=/b,bind-recursive=readonly"),
    ("mount", "type=bind,source=/a,target=/b,tmpfs-size=1m"),
    ("mount", "type=bind,source=,target=/b"),
    ("mount", "type=tmpfs,source=/a,target=/b"),
    ("mount", "type=tmpfs,target=/b,tmpfs-size=big"),
    ("mount", "type=tmpfs,target=/b,tmpfs-mode=9"),
    ("mount", "type=tmpfs,target=/b,volume-nocopy"),
    ("mount", "target=/b,volume-name=x"),
    ("volumes-from", ":ro"),
    ("volumes-from", "web:rx"),
    ("tmpfs", "run"),
    ("tmpfs", "/run:bigger"),
    ("shm-size", "-1"),
    ("device", "null"),
    ("device", "/dev/null:rx"),
    ("device", "/dev/null:/dev/x:rr"),
    ("device", "/a:/b:r:w"),
    ("cap-add", "NET_ADMI"),
    ("cap-drop", "everything"),
    ("security-opt", "seccomp="),
    ("security-opt", "apparmor=mine"),
    ("security-opt", "label=type:x"),
    ("security-opt", "no-new-privileges:maybe"),
    ("sysctl", "net.core.somaxconn"),
    ("sysctl", "net..x=1"),
    ("pid", "mine"),
    ("pid", "pid:0"),
    ("pid", "container:"),
    ("ipc", "none"),
    ("uts", "path:run"),
    ("uidmap", "0:1"),
    ("gidmap", "0:0:0"),
    ("uidmap", "1:0:4294967295"),
    ("time-offset", "realtime=1"),
    ("time-offset", "monotonic=soon"),
    ("cgroup-parent", "/a/../b"),
    ("cgroup-manager", "me"),
];

#[test]
fn what_is_said_of_a_log_holds_on_either_side_of_its_driver() {
    let log = |words: &[&str]| options(&[words, &["host", "true"]].concat()).unwrap().log;
    let wished = LogWish::JsonFile(Rotation { max_bytes: 2 << 20, max_files: 3, compress: false });
    assert_eq!(log(&["--log-opt", "max-size=2m", "--log-driver", "json-file"]), wished);
    assert_eq!(log(&["--log-driver", "json-file", "--log-opt", "max-size=2m"]), wished);
    assert_eq!(log(&["--log-driver", "none", "--log-driver", "json-file"]), LogWish::USUAL);
}

#[test]
fn what_is_said_of_a_log_is_for_its_driver() {
    let asked = |driver: &str, option: &str| refusal(&["--log-driver", driver, "--log-opt", option, "host", "true"]);
    let all = [
        ("json-file", "max-sise=1m"),
        ("json-file", "mode=non-blocking"),
        ("json-file", "compress=yes"),
        ("none", "max-size=1m"),
        ("local", "tag=x"),
        ("journald", "mode=blocking"),
        ("syslog", "tag={{.Date}}"),
        ("syslog", "syslog-facility=local8"),
        ("syslog", "syslog-format=json"),
        ("syslog", "syslog-address=udp://log.example:514"),
        ("syslog", "syslog-address=tcp+tls://127.0.0.1"),
    ];
    let said = all.map(|(driver, option)| asked(driver, option)).join("\n");
    insta::assert_snapshot!(said, @r"
    cannot use --log-opt max-sise=1m: is nothing for the log driver json-file
      did you mean max-size?
    cannot use --log-opt mode=non-blocking: is nothing for the log driver json-file
      it has max-size, max-file, compress, labels, env, tag
    cannot use --log-opt compress=yes: is neither true nor false
      -
    cannot use --log-opt max-size=1m: is nothing for the log driver none
      leave it out
    cannot use --log-opt tag=x: is nothing for the log driver local
      it has max-size, max-file, compress
    cannot use --log-opt mode=blocking: would let a log that is slow hold the container up, which none does here
      use mode=non-blocking, and max-buffer-size for how much may wait
    cannot use --log-opt tag={{.Date}}: has something in it that a tag cannot have
      it can have {{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageName}}, {{.ImageID}}, {{.DaemonName}}
    cannot use --log-opt syslog-facility=local8: is no facility
      for example: daemon, user, local0
    cannot use --log-opt syslog-format=json: is no format
      use rfc3164, rfc5424 or rfc5424micro
    cannot use --log-opt syslog-address=udp://log.example:514: is no address of a syslog daemon here
      use unixgram:///dev/log, unix:///PATH, or udp:// or tcp:// with an address in numbers and a port
    cannot use --log-opt syslog-address=tcp+tls://127.0.0.1: is no address of a syslog daemon here
      use unixgram:///dev/log, unix:///PATH, or udp:// or tcp:// with an address in numbers and a port
    ");
    let taken = |option: &str| asked("syslog", option);
    for (option, expected) in [
        ("syslog-address=udp://127.0.0.1", "Udp(127.0.0.1:514)"),
        ("syslog-address=tcp://[::1]:601", "Tcp([::1]:601)"),
        ("syslog-address=unix:///run/log", "Stream(\"/run/log\")"),
        ("syslog-facility=local7", "facility: 23"),
        ("syslog-facility=4", "facility: 4"),
        ("max-buffer-size=4m", "max_bytes: 4194304"),
        ("mode=non-blocking", "TAKEN"),
    ] {
        assert!(taken(option).contains(expected), "{option}: {}", taken(option));
    }
    let refused = refusal(&["--log-opt", "compress=true", "--log-opt", "max-file=1", "host", "true"]);
    assert!(refused.starts_with("cannot use --log-opt compress=true"), "{refused}");
}

#[test]
fn who_does_not_want_its_health_checked_does_not_say_how() {
    let health = |words: &[&str]| options(&[words, &["host", "true"]].concat()).map(|options| options.health);
    assert_eq!(health(&["--no-healthcheck"]).unwrap(), HealthWish::Unchecked);
    assert_eq!(health(&["--health-interval=0", "--health-retries=0"]).unwrap(), HealthWish::Unsaid);
    let refused = health(&["--no-healthcheck", "--health-cmd", "true"]).unwrap_err().to_string();
    assert!(refused.contains("--no-healthcheck") && refused.contains("contradicts"), "{refused}");
}

#[test]
fn every_flag_takes_its_values() {
    for (flag, value, expected) in GOOD {
        // A signature is one of an image.
        let root = if *flag == "verify" { "debian" } else { "host" };
        let shown = options(&[&format!("--{flag}={value}"), root, "true"]).map(|options| format!("{options:?}"));
        match shown {
            Ok(shown) => assert!(shown.contains(expected), "--{flag} {value}: {shown}"),
            Err(error) => panic!("--{flag} {value}: {error}"),
        }
    }
    for flag in FLAGS.iter().chain(STARTED).chain(health::FLAGS) {
        assert!(GOOD.iter().any(|(tested, ..)| *tested == flag.name), "--{} is not tested", flag.name);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "the snapshot stands beside what gives it")]
fn a_refusal_names_flag_and_value_and_says_what_to_do() {
    let lines: Vec<String> =
        BAD.iter().map(|(flag, value)| refusal(&[&format!("--{flag}={value}"), "host", "true"])).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    cannot use --tty yes: is neither true nor false
      --tty or --tty=false
    cannot use --env =x: has no name
      use NAME=VALUE or NAME
    cannot use --label =x: has no key
      use KEY=VALUE or KEY
    cannot use --env "": has no name
      use NAME=VALUE or NAME
    cannot use --workdir srv: is no absolute path in the container
      begin it with /
    cannot use --detach-keys ctrl-1: are no keys
      use single characters or ctrl- with a letter or one of @ [ \ ] ^ _, such as ctrl-p,ctrl-q
    cannot use --detach-keys ab: are no keys
      use single characters or ctrl- with a letter or one of @ [ \ ] ^ _, such as ctrl-p,ctrl-q
    cannot use --stop-signal SIGFOO: is no signal
      use a name such as TERM or a number from 1 to 64
    cannot use --stop-signal 0: is no signal
      use a name such as TERM or a number from 1 to 64
    cannot use --stop-signal 65: is no signal
      use a name such as TERM or a number from 1 to 64
    cannot use --stop-signal RTMAX+1: is no signal
      use a name such as TERM or a number from 1 to 64
    cannot use --oom-score-adj 1001: is not a whole number from -1000 to 1000
      -
    cannot use --ulimit nofile: has no limit
      use a name and one or two numbers, such as nofile=1024:2048, and -1 for no limit
    cannot use --ulimit files=1: names no resource
      nofile, nproc, core, stack, memlock and others of ulimit(1)
    cannot use --ulimit nofile=2048:1024: has a soft limit above the hard one
      give the smaller number first
    cannot use --ulimit nofile=-1:1024: has a soft limit above the hard one
      give the smaller number first
    cannot use --ulimit nofile=-2: has a limit below -1
      use a name and one or two numbers, such as nofile=1024:2048, and -1 for no limit
    cannot use --ulimit nofile=many: has a limit that is no whole number
      use a name and one or two numbers, such as nofile=1024:2048, and -1 for no limit
    cannot use --name a: is no name for a container
      use two or more of a-z A-Z 0-9 _ . - with a letter or digit first
    cannot use --name -ab: is no name for a container
      use two or more of a-z A-Z 0-9 _ . - with a letter or digit first
    cannot use --name a/b: is no name for a container
      use two or more of a-z A-Z 0-9 _ . - with a letter or digit first
    cannot use --hostname a b: is no host name
      use letters, digits, dots and dashes
    cannot use --domainname "": is no host name
      use letters, digits, dots and dashes
    cannot use --annotation a: is not KEY=VALUE
      -
    cannot use --cidfile "": needs the name of a file
      -
    cannot use --pidfile "": needs the name of a file
      -
    cannot use --restart allways: is no restart policy
      did you mean always?
    cannot use --restart always:3: only on-failure takes a number of starts
      -
    cannot use --restart on-failure:x: the number of starts behind on-failure: is no whole number
      for example: --restart on-failure:3
    cannot use --health-interval 30: is no duration
      use numbers with ns, us, ms, s, m or h, such as 1m30s
    cannot use --health-timeout -1s: is negative
      use numbers with ns, us, ms, s, m or h, such as 1m30s
    cannot use --health-start-period 1us: is less than 1ms
      use numbers with ns, us, ms, s, m or h, such as 1m30s
    cannot use --health-retries -1: is not a whole number from 0 up
      -
    cannot use --volume a: the destination "a" is no absolute path
      begin it with /
    cannot use --volume d:/a: "d" is no name for a volume
      use two or more of a-z A-Z 0-9 _ . - with a letter or digit first, or a path that begins with / or ./
    cannot use --volume da/ta:/a: "da/ta" is no name for a volume
      use two or more of a-z A-Z 0-9 _ . - with a letter or digit first, or a path that begins with / or ./
    cannot use --volume data:/a:shared: "shared" is no mode of a mount
      use ro or rw; for a path of the host private, shared or slave with or without r before it; for a volume nocopy
    cannot use --volume /a:/b:nocopy: "nocopy" is no mode of a mount
      use ro or rw; for a path of the host private, shared or slave with or without r before it; for a volume nocopy
    cannot use --volume /a:b: the destination "b" is no absolute path
      begin it with /
    cannot use --volume :/a: is no source and destination
      use /SOURCE:/DESTINATION, VOLUME:/DESTINATION, /DESTINATION, each with :ro behind it if you like
    cannot use --volume /a:/b:rx: "rx" is no mode of a mount
      use ro or rw; for a path of the host private, shared or slave with or without r before it; for a volume nocopy
    cannot use --volume /a:/b:ro,rw: "rw" is a second mode of one kind
      give one
    cannot use --volume /a:/b:ro:z: is no source and destination
      use /SOURCE:/DESTINATION, VOLUME:/DESTINATION, /DESTINATION, each with :ro behind it if you like
    cannot use --mount type=bind,source=/a: has no target
      add target=/DESTINATION
    cannot use --mount type=bind,target=/a: has no path as its source
      add source=/SOURCE
    cannot use --mount source=/data,target=/a: "/data" is no name for a volume
      use two or more of a-z A-Z 0-9 _ . - with a letter or digit first, or a path that begins with / or ./
    cannot use --mount source=data,target=/a,volume-subpath=../b: the volume-subpath "../b" is no path below the volume
      use a path without / before it and without ..
    cannot use --mount source=data,target=/a,volume-driver=nfs: there is no volume driver "nfs"
      use local
    cannot use --mount source=data,target=/a,bind-propagation=shared: has options of a bind mount or a tmpfs, and is a volume's
      -
    cannot use --mount type=bind,source=/data,target=/a,volume-nocopy: has options of a tmpfs or a volume, and is a bind mount
      -
    cannot use --mount type=npipe,target=/a: "npipe" is no type of mount
      use type=bind, type=volume or type=tmpfs
    cannot use --mount type=bind,source=/a,target=/b,bind-propagation=up: "up" is no propagation
      use private, rprivate, shared, rshared, slave or rslave
    cannot use --mount type=bind,source=/a,target=/b,bind-recursive=yes: "yes" is no bind-recursive
      use enabled, disabled, writable or readonly
    cannot use --mount type=bind,source=/a,target=/b,bind-recursive=readonly: bind-recursive=readonly needs readonly
      add readonly
    cannot use --mount type=bind,source=/a,target=/b,tmpfs-size=1m: has options of a tmpfs or a volume, and is a bind mount
      -
    cannot use --mount type=bind,source=,target=/b: source has an empty value
      -
    cannot use --mount type=tmpfs,source=/a,target=/b: has options of a bind mount or a volume, and is a tmpfs
      leave source out
    cannot use --mount big: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --mount type=tmpfs,target=/b,tmpfs-mode=9: "9" is no mode
      use octal, such as 1777
    cannot use --mount type=tmpfs,target=/b,volume-nocopy: has options of a bind mount or a volume, and is a tmpfs
      leave source out
    cannot use --mount target=/b,volume-name=x: "volume-name=x" is no field of a mount
      use volume-nocopy, volume-subpath, volume-label, volume-opt or volume-driver=local
    cannot use --volumes-from :ro: names no container
      use CONTAINER or CONTAINER:ro
    cannot use --volumes-from web:rx: "rx" is no mode of volumes
      use ro or rw
    cannot use --tmpfs run: the destination "run" is no absolute path
      begin it with /
    cannot use --tmpfs /run:bigger: "bigger" is no option of a tmpfs
      use ro, exec, suid, dev, noatime, size=, mode=, uid=, gid=, nr_inodes=, nr_blocks= or mpol=
    cannot use --shm-size -1: is not a size
      use a number with b, k, m or g, such as 64m
    cannot use --device null: "null" is no absolute path
      use /dev/NODE, /dev/NODE:/dev/INSIDE or /dev/NODE:/dev/INSIDE:rw
    cannot use --device /dev/null:rx: "rx" is no absolute path
      use /dev/NODE, /dev/NODE:/dev/INSIDE or /dev/NODE:/dev/INSIDE:rw
    cannot use --device /dev/null:/dev/x:rr: "rr" is not some of r, w and m
      use /dev/NODE, /dev/NODE:/dev/INSIDE or /dev/NODE:/dev/INSIDE:rw
    cannot use --device /a:/b:r:w: has too many colons
      use /dev/NODE, /dev/NODE:/dev/INSIDE or /dev/NODE:/dev/INSIDE:rw
    cannot use --cap-add NET_ADMI: is no capability
      did you mean NET_ADMIN?
    cannot use --cap-drop everything: is no capability
      capabilities(7) lists them; ALL is every one
    cannot use --security-opt seccomp=: is no security option
      use seccomp=FILE, seccomp=unconfined, seccomp=builtin or no-new-privileges
    cannot use --security-opt apparmor=mine: carboy does not load AppArmor profiles yet
      leave it out, or use apparmor=unconfined
    cannot use --security-opt label=type:x: carboy does not set SELinux labels yet
      leave it out, or use label=disable
    cannot use --security-opt no-new-privileges:maybe: is no security option
      use seccomp=FILE, seccomp=unconfined, seccomp=builtin or no-new-privileges
    cannot use --sysctl net.core.somaxconn: is not KEY=VALUE
      -
    cannot use --sysctl net..x=1: has no name of a kernel setting
      use a dotted name, such as net.core.somaxconn=1024
    cannot use --pid mine: names no namespace
      use private, host, container:NAME, pid:N or path:/FILE
    cannot use --pid pid:0: names no process
      use pid: and a number from 1 up
    cannot use --pid container:: names no namespace
      use private, host, container:NAME, pid:N or path:/FILE
    cannot use --ipc none: names no namespace
      use private, host, container:NAME, pid:N or path:/FILE
    cannot use --uts path:run: is no absolute path
      use path:/FILE
    cannot use --uidmap 0:1: is no range of ids
      use the first id inside, the first on the host and how many: 0:100000:65536
    cannot use --gidmap 0:0:0: is no range of ids
      use the first id inside, the first on the host and how many: 0:100000:65536
    cannot use --uidmap 1:0:4294967295: is no range of ids
      use the first id inside, the first on the host and how many: 0:100000:65536
    cannot use --time-offset realtime=1: "realtime=1" is no offset of a clock
      use monotonic=SECONDS,boottime=SECONDS; seconds may be -1.5
    cannot use --time-offset monotonic=soon: "monotonic=soon" is no offset of a clock
      use monotonic=SECONDS,boottime=SECONDS; seconds may be -1.5
    cannot use --cgroup-parent /a/../b: leads upwards
      name a group from the root of the hierarchies
    cannot use --cgroup-manager me: is no manager of cgroups
      use cgroupfs or systemd
    "#);
}

#[test]
fn a_value_stands_behind_its_flag_in_every_way_that_docker_takes() {
    let expected = options(&["--memory=64m", "--tty", "--interactive", "host", "true"]).unwrap();
    for words in [
        &["-it", "-m64m", "host", "true"][..],
        &["-itm64m", "host", "true"],
        &["-it", "-m", "64m", "host", "true"],
        &["-ti", "-m=64m", "host", "true"],
        &["-t", "--interactive=true", "--memory", "64m", "host", "true"],
        &["-it", "--memory", "1g", "-m", "64m", "--", "host", "true"],
        &["--rm", "--rm=false", "-t=true", "-i", "-m", "64m", "host", "true"],
    ] {
        assert_eq!(options(words).unwrap(), expected, "{words:?}");
    }
}

#[test]
fn words_after_the_root_belong_to_the_command() {
    let options = options(&["--rm", "host", "ls", "--rm=false", "-m", "--", "--unknown"]).unwrap();
    assert_eq!(options.command, ["ls", "--rm=false", "-m", "--", "--unknown"]);
    assert!(options.remove);
}

#[test]
fn variables_of_files_come_before_those_of_the_command_line() {
    let file = std::env::temp_dir().join(format!("carboy-env-{}", std::process::id()));
    std::fs::write(&file, "A=file\nMINE\n# A=no\nNOT\n").unwrap();
    let read = options(&["-e", "A=word", "--env-file", file.to_str().unwrap(), "host", "true"]);
    std::fs::remove_file(&file).unwrap();
    let shown: Vec<String> =
        read.unwrap().env.into_iter().map(|it| format!("{}={}", it.name, it.value.unwrap_or_default())).collect();
    assert_eq!(shown, ["A=file", "MINE=my own", "A=word"]);
}

#[test]
fn a_root_is_host_or_a_path_that_exists_or_an_image() {
    let root = |word: &str| options(&[word, "true"]).map(|options| options.root);
    assert_eq!(root("host").unwrap(), Root::Host);
    assert_eq!(root("/etc").unwrap(), Root::Folder("/etc".into()));
    assert_eq!(root("/etc/passwd").unwrap(), Root::Archive("/etc/passwd".into()));
    assert_eq!(root("./src").unwrap(), Root::Folder(std::env::current_dir().unwrap().join("./src")));
    for word in ["src", "debian:12", "localhost:5000/a/b", "3f2a"] {
        let named = Root::Image(Box::new(ImageRoot::named(word)));
        assert_eq!(root(word).unwrap(), named, "{word}");
    }
}

#[test]
fn what_is_wrong_with_the_words_is_one_clear_line() {
    let lines = [
        &["--memroy", "64m", "host"][..],
        &["--mem=64m", "host"],
        &["--isolation", "host"],
        &["-x", "host"],
        &["--memory"],
        &["--rm=perhaps", "host"],
        &[],
        &["./nowhere", "true"],
        &["Debian", "true"],
        &["--pull", "soon", "debian"],
        &["", "true"],
        &["--env-file", "/nowhere/vars", "host", "true"],
        &["--verify", "/nowhere/key.pub", "debian"],
        &["--verify", "/dev/null", "debian"],
        &["--verify", "src/run_flags/tests/key.pub", "host", "true"],
    ];
    insta::assert_snapshot!(lines.map(refusal).join("\n"), @r"
    cannot use --memroy: carboy run has no such flag
      did you mean --memory?
    cannot use --mem: carboy run has no such flag
      did you mean --memory?
    cannot use --isolation: carboy run has no such flag
      see carboy run --help
    cannot use -x: carboy run has no such flag
      see carboy run --help
    cannot use --memory: needs a value
      --memory BYTES
    cannot use --rm perhaps: is neither true nor false
      --rm or --rm=false
    cannot use the root: there is none
      name one, for example: carboy run -it host bash
    cannot use the root ./nowhere: does not exist
      use a folder such as ./rootfs, or a tar file such as ./rootfs.tar
    cannot use the image's name Debian: has a repository with upper-case letters, and registries take none
      say debian
    cannot use --pull soon: is no time at which an image is brought
      use always, missing or never
    cannot use the root: its name is empty
      use host, an image such as debian:12, a folder such as ./rootfs, or a tar file such as ./rootfs.tar
    cannot read --env-file /nowhere/vars
      -
    cannot read the public key /nowhere/key.pub
      -
    cannot use the public key /dev/null: holds no PUBLIC KEY in PEM
      cosign writes it to cosign.pub, openssl pkey -pubout prints it
    cannot use --verify sha256:f50431816cbd49e51b84fa828be48095861d87fd47ffe3f3ff307de3f99c91d4: cannot be asked to vouch for host, which is no image
      leave it out
    ");
}

#[test]
#[expect(clippy::too_many_lines, reason = "the snapshot stands beside what gives it")]
fn help_comes_from_the_table() {
    insta::assert_snapshot!(crate::help::of_command(&RUN), @r#"
    Usage: carboy run [FLAGS] ROOT [COMMAND] [ARG...]

    Run a command in a new container

    ROOT is an image (debian:12), host (a private view of this machine's own root), a folder (./rootfs) or a
    tar file (./rootfs.tar, .gz, .zst). What is written in it reaches none of them.

    Flags:
      -d, --detach                           print its id and leave it to run by itself
          --pidfile FILE                     write its first process's PID on the host to a new file
      -t, --tty                              give it a terminal
      -i, --interactive                      pass standard input on
          --entrypoint COMMAND               put this before the words after ROOT
      -e, --env NAME[=VALUE]                 set a variable, or pass yours on (repeatable)
          --env-file FILE                    set the variables of a file, one a line (repeatable)
      -w, --workdir DIR                      start in this folder
      -u, --user USER[:GROUP]                run as this user: a name of the container's passwd, or a number
          --group-add GROUP                  be in this group too (repeatable)
          --init                             run an init as PID 1 that forwards signals and reaps
          --detach-keys KEYS                 leave the terminal with these keys (ctrl-p,ctrl-q)
          --stop-signal SIGNAL               the signal that asks it to end (TERM)
          --stop-timeout SECONDS             how long it has to end before it is killed (10), -1 for ever
          --oom-score-adj SCORE              how readily it is killed without memory, -1000 to 1000
          --ulimit NAME=SOFT[:HARD]          limit a resource of each process; -1 is no limit (repeatable)
          --name NAME                        call it this
      -h, --hostname NAME                    its host name (its short id)
          --domainname NAME                  its NIS domain name
          --log-driver DRIVER                where its output is kept: json-file, local, journald, syslog or none (json-file)
          --log-opt NAME=VALUE               say how: max-size=10m, max-file=3, compress=true, tag, labels, env, … (repeatable)
          --restart POLICY                   when it is started again: no, on-failure[:MOST], always, unless-stopped (no)
          --rm                               remove it when it ends
      -l, --label KEY[=VALUE]                write this on it; ps --filter finds it by that (repeatable)
          --label-file FILE                  write the lines of a file on it (repeatable)
          --pull WHEN                        when its image is brought: always, missing or never (missing)
          --platform OS/ARCH[/VARIANT]       bring the image for this kind of machine (this one)
          --verify KEY                       take its image only with a signature by this public key, a PEM file
          --annotation KEY=VALUE             add to the configuration's annotations (repeatable)
          --cidfile FILE                     write its id to a new file
      -v, --volume [SOURCE:]DEST[:ro]        mount a path of the host, or a volume by its name or a new one (repeatable)
          --mount FIELDS                     mount, in long form: type=volume,source=NAME,target=/D,readonly (repeatable)
          --volumes-from CONTAINER[:ro]      mount what another container has mounted (repeatable)
          --tmpfs DEST[:OPTIONS]             mount an empty file system in memory (repeatable)
          --read-only                        let nothing be written to its root
          --shm-size BYTES                   the size of /dev/shm (64m)
          --device NODE[:INSIDE][:rwm]       give it a device node of the host (repeatable)
          --privileged                       keep almost nothing from it
          --cap-add CAPABILITY               give it a capability, or ALL (repeatable)
          --cap-drop CAPABILITY              take a capability away, or ALL (repeatable)
          --security-opt OPTION              seccomp=FILE|unconfined|builtin, no-new-privileges (repeatable)
          --sysctl NAME=VALUE                set a kernel setting of its namespaces (repeatable)
          --pid NAMESPACE                    be in this pid namespace: private, host, container:NAME, pid:N or path:/FILE
          --ipc NAMESPACE                    as --pid, for ipc
          --uts NAMESPACE                    as --pid, for uts
          --userns NAMESPACE                 as --pid, for user (host)
          --cgroupns NAMESPACE               as --pid, for cgroup
          --timens NAMESPACE                 as --pid, for time (host)
          --uidmap INSIDE:HOST:SIZE          map users in a user namespace of its own (repeatable)
          --gidmap INSIDE:HOST:SIZE          map groups in a user namespace of its own (repeatable)
          --time-offset OFFSETS              shift its clocks: monotonic=SECONDS,boottime=SECONDS
          --cgroup-parent GROUP              put its cgroup below this one
          --cgroup-manager MANAGER           who makes its cgroup: cgroupfs or systemd (as the host)
          --net, --network NETWORK           be on a network: NAME or name=NAME,ip=…,alias=…; or none, host, container:NAME, path:/FILE (bridge) (repeatable)
          --ip ADDRESS                       its address on the first network
          --ip6 ADDRESS                      its IPv6 address on the first network
          --mac-address ADDRESS              its hardware address on the first network
          --net-alias, --network-alias NAME  be known on the first network by this name, too (repeatable)
          --link CONTAINER[:NAME]            know a container by this name (repeatable)
      -p, --publish [HOST:]PORT[/udp]        let a port of the host, or of one of its addresses, lead to one of its own (repeatable)
      -P, --publish-all                      let free ports of the host lead to all that it says it listens at
          --expose PORT[-PORT][/udp]         say that it listens at a port (repeatable)
          --dns ADDRESS                      ask this name server (as the host) (repeatable)
          --dns-search DOMAIN                try this domain behind short names; . for none (as the host) (repeatable)
          --dns-opt, --dns-option OPTION     an option of resolv.conf(5) (as the host) (repeatable)
          --add-host NAME:ADDRESS            add a name to its /etc/hosts; host-gateway is the host (repeatable)
          --network-rate RATES               limit what it receives and sends: in=10mbit,out=1mbit
          --health-cmd COMMAND               check its health by this line for its /bin/sh, which then ends with 0
          --health-interval DURATION         how long to wait before each check (30s)
          --health-retries COUNT             so many checks in a row must fail for it to be unhealthy (3)
          --health-start-interval DURATION   the interval in the start period (5s)
          --health-start-period DURATION     how long after its start failures are not counted (0s)
          --health-timeout DURATION          how long a check may take (30s)
          --no-healthcheck                   do not check its health
      -m, --memory BYTES                     limit memory; 0 is no limit
          --memory-swap BYTES                limit memory and swap together (twice --memory); -1 is no limit
          --memory-reservation BYTES         memory it keeps when the host runs short
          --memory-swappiness NUMBER         how readily its memory is swapped out, 0 to 100; -1 leaves it to the kernel
          --kernel-memory BYTES              limit the kernel's memory for it; the kernel counts it as --memory since Linux 5.16
          --kernel-memory-tcp BYTES          limit its buffers of TCP; -1 is no limit
          --oom-kill-disable                 let it wait for memory instead of killing it
          --cpus NUMBER                      limit CPU time, in CPUs: 1.5
          --cpu-period USEC                  the period in which --cpu-quota counts (100000)
          --cpu-quota USEC                   limit CPU time in each period; -1 is no limit
          --cpu-burst USEC                   quota that it may save for later periods, at most --cpu-quota
      -c, --cpu-shares WEIGHT                weigh its CPU time against its neighbours' (1024)
          --cpu-idle                         let it run only when nobody else wants to
          --cpu-rt-period USEC               the period in which --cpu-rt-runtime counts
          --cpu-rt-runtime USEC              CPU time of its realtime tasks in each period; -1 is no limit
          --cpuset-cpus LIST                 run on these CPUs alone: 0-3,5
          --cpuset-mems LIST                 use these memory nodes alone
          --pids-limit NUMBER                limit processes and threads; -1 is no limit
          --blkio-weight WEIGHT              weigh its use of disks against its neighbours', 10 to 1000
          --blkio-weight-device DISK:WEIGHT  the same at one disk: /dev/sda:500 (repeatable)
          --device-read-bps DISK:BYTES       limit the bytes read from a disk each second: /dev/sda:1m (repeatable)
          --device-write-bps DISK:BYTES      limit the bytes written to a disk each second (repeatable)
          --device-read-iops DISK:NUMBER     limit the reads from a disk each second; 0 is no limit (repeatable)
          --device-write-iops DISK:NUMBER    limit the writes to a disk each second; 0 is no limit (repeatable)
          --device-cgroup-rule RULE          let it use device nodes: "c 1:3 rwm" (repeatable)
          --net-cls-classid CLASS            the class of its packets for tc and the firewall: 0x100001 or 10:1
          --net-prio INTERFACE=NUMBER        the priority of its packets on an interface of the host (repeatable)
          --hugetlb-limit SIZE=BYTES         limit huge pages of a size: 2MB=64m (repeatable)
          --rdma-limit DEVICE:LIMITS         limit an RDMA device: mlx5_0:hca_handle=2,hca_object=2000 (repeatable)
          --cgroup-conf FILE=VALUE           write a value to a file of cgroup v2: memory.high=64m (repeatable)
    "#);
}
