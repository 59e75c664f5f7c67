//! Every parser of the project as a function of bytes that nobody foresaw: none of them may panic, and what one of them
//! writes it must read the same.
//!
//! [`TARGETS`] is what both cargo-fuzz (`fuzz_targets/`) and the short run (`tests/short_run.rs`) go through.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::Path;

use bumpalo::Bump;
use cgroup::systemd::{Instance, Unit};
use cgroup::{GroupPath, Hierarchies};
use engine::options::{Root, RunOptions};
use engine::record::{Live, Record};
use image::registries::Settings;
use image::signature::{Claim, PublicKey, Signable, Signature};
use image::transport::Transport;
use image::trust::Policy;
use namespace::steps::Steps;
use network::resolver::{Answer, Servers, Standing, Transport as Carrier, Zone, answer};
use oci::image::{Document, ImageConfig, Platform};
use oci::{Config, Process, Resources, State};
use seccomp::Arch;

mod dbus_messages;
mod layers;
#[path = "../../crates/cgroup/src/nftables.rs"]
#[expect(dead_code, reason = "answers are only read here, and nothing is asked")]
mod nftables_messages;

/// A parser, the name of its target, and texts that it knows.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name, as in `fuzz_targets/`.
    pub name: &'static str,
    /// What it does with some bytes.
    pub run: fn(&[u8]),
    /// Texts to begin with.
    pub seeds: &'static [&'static str],
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: &'static [&'static str]) -> Target {
    Target { name, run, seeds }
}

const CONFIG: &str = r#"{"ociVersion":"1.3.0","process":{"terminal":false,"user":{"uid":0,"gid":0,"additionalGids":[1]},
"args":["sh"],"env":["PATH=/bin","A=b"],"cwd":"/","capabilities":{"bounding":["CAP_KILL"],"ambient":[]},
"rlimits":[{"type":"RLIMIT_NOFILE","hard":1,"soft":1}],"noNewPrivileges":true,"oomScoreAdj":5},
"root":{"path":"rootfs","readonly":true},"hostname":"h","mounts":[{"destination":"/proc","type":"proc","source":"proc",
"options":["nosuid","rro","rslave"]}],"hooks":{"poststop":[{"path":"/bin/x","timeout":1}]},"annotations":{"a":"b"},
"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/proc/1/ns/net"}],"uidMappings":[{"containerID":0,
"hostID":1000,"size":1}],"sysctl":{"net.a":"1"},"cgroupsPath":"/a","resources":{"memory":{"limit":1},"unified":{"a.b":"1"}},
"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],
"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}}}"#;
/// Every field of the specification.
const FULL: &str = include_str!("../../crates/oci/src/tests/full.json");
const RESOURCES: &str = r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}],"memory":{"limit":1,
"swap":2,"swappiness":3},"cpu":{"shares":2,"quota":-1,"period":100000,"cpus":"0-1"},"pids":{"limit":3},"blockIO":{"weight":10,
"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5}]},"hugepageLimits":[{"pageSize":"2MB","limit":1}],
"network":{"classID":1,"priorities":[{"name":"lo","priority":1}]},"rdma":{"mlx":{"hcaHandles":1}},"unified":{"memory.high":"1"}}"#;
const PROFILE: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[{"architecture":"SCMP_ARCH_X86_64",
"subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"names":["read","clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,
"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}],"includes":{"minKernel":"4.8","caps":["CAP_SYS_ADMIN"]}}]}"#;
/// A query for the addresses of `web` with EDNS, and one for a name of 192.0.2.2.
const QUERY: &str = "\0\u{7}\u{1}\0\0\u{1}\0\0\0\0\0\u{1}\u{3}web\0\0\u{1}\0\u{1}\0\0\u{29}\u{4}\0\0\0\0\0\0\0";
const REVERSE: &str =
    "\0\u{7}\u{1}\0\0\u{1}\0\0\0\0\0\0\u{1}2\u{1}2\u{1}0\u{3}192\u{7}in-addr\u{4}arpa\0\0\u{c}\0\u{1}";
/// A container with one process.
const SNAPSHOT: &str = include_str!("snapshot.json");
const MOUNTINFO: &str = "26 25 0:22 / /sys/fs/cgroup/unified rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n\
27 25 0:23 /a\\040b /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const IMAGE_CONFIG: &str = r#"{"created":"2026-01-01T00:00:00Z","architecture":"arm","variant":"v7","os":"linux","config":{"User":"a:b",
"ExposedPorts":{"80/tcp":{}},"Env":["A=1"],"Entrypoint":["/e"],"Cmd":"sh","Volumes":{"/data":{}},"WorkingDir":"/w",
"Labels":{"a":"b"},"StopSignal":"SIGINT","StopTimeout":-1,"Healthcheck":{"Test":["CMD-SHELL","x"],"Interval":1000000000,
"Retries":3},"Shell":["/bin/sh","-c"],"OnBuild":null},"rootfs":{"type":"layers","diff_ids":[
"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"x","empty_layer":true}]}"#;
const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":
"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
"size":7},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":
"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":8,"urls":["a"],"annotations":{"a":"b"}}]}"#;
const INDEX: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[
{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":7,"platform":{"os":"linux","architecture":"arm64",
"variant":"v8","os.features":["x"]},"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}"#;
const REGISTRIES: &str = "unqualified-search-registries = [\"docker.io\", \"quay.io\"]\nshort-name-mode = \"permissive\"\n\
[[registry]]\nprefix = \"*.x.y\"\nlocation = \"z:5000/a\"\ninsecure = true\n[[registry.mirror]]\nlocation = \"m/b\"\n\
pull-from-mirror = \"digest-only\"\n[aliases]\nsh = \"x.y/busybox\"\n";

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgNG/2avRsgZtlRrPaiw/8FpVlgPC\n\
oln+pg4vUWE6lF0TcIX18AXXWlxx6/ooNjR5u5HhZWXvS2Z6FrbhXi1tVw==\n-----END PUBLIC KEY-----\n";
/// Of a statement, and of a manifest itself; both by no key that anybody has.
const BUNDLE: &str = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":
{"hint":"x"},"tlogEntries":[]},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[
{"sig":"MEQCIBnW6+hQ4xLhsiof7HLNJYaqKfvHVI8ofkDcAt5BrHcLAiAlh/ANWjlWlWTfSbXMrqYcO2xLyG3AAUQtmCHDrn5asg==","keyid":""}]}}"#;
const SIGNED_MANIFEST: &str = r#"{"verificationMaterial":{"certificate":{"rawBytes":""}},"messageSignature":{"messageDigest":{
"algorithm":"SHA2_256","digest":""},"signature":
"MEUCIQCC+c8bbOzlL4RPmlYG74DdFze20Uh9sJQfGuVdbefcJAIgcqx1T6/XrwITdkETnLjk46Sy2pvU72c/fnkUGVswOeQ="}}"#;
const PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"r.example/team/app:1"},"image":{"docker-manifest-digest":
"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"type":"cosign container image signature"},
"optional":{"by":"anna"}}"#;
const STATEMENT: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":
"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"annotations":{}}],
"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#;
const POLICY: &str = r#"{"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{"r.example/team":[{"type":
"sigstoreSigned","keyData":"YQ==","signedIdentity":{"type":"remapIdentity","prefix":"a/b","signedPrefix":"c/d"}}],"*.x.y":[
{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]},"dir":{"":[{"type":"reject"}],"/a":[{"type":"sigstoreSigned",
"keyDatas":["YQ=="],"signedIdentity":{"type":"exactReference","dockerReference":"a/b:1"}}]},"docker-daemon":{"a/b":[
{"type":"sigstoreSigned","fulcio":{}}]}}}"#;

/// Every target.
pub const TARGETS: &[Target] = &[
    target("archive", archive, &["a\0\0\0ustar\x0000", "\x1f\u{8b}\x08", "(\u{b5}/\u{fd}"]),
    target(
        "block_io_stats",
        block_io_stats,
        &["8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n", "8:0 Read 1\nTotal 2\n"],
    ),
    target("bundle", bundle, &[BUNDLE, SIGNED_MANIFEST]),
    target(
        "challenge",
        |bytes| drop(text(bytes).map(|text| image::registry::Challenge::parse(&text))),
        &[
            "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\"",
            "Negotiate YQ==, Basic realm=\"a\\\"b\"",
        ],
    ),
    target("config", config, &[CONFIG, FULL]),
    target(
        "cpu_stats",
        cpu_stats,
        &["usage_usec 1\nuser_usec 2\nnr_periods 3\nthrottled_time 4\n", "user 1\nsystem 2\n", "17\n"],
    ),
    target("cpuset_list", cpuset_list, &["0-3,5,7-9\n", "4294967295", "3-1"]),
    target("dbus", dbus_messages::read, &["l\u{2}\u{1}\u{1}\u{4}\0\0\0\u{1}\0\0\0\0\0\0\0"]),
    target("device_rules", device_rules, &[RESOURCES]),
    target("docker_profile", docker_profile, &[PROFILE]),
    target("filesystems", |bytes| drop(procfs::filesystems::parse(bytes)), &["nodev\tsysfs\n\text4\n"]),
    target("group_path", group_path, &["/a/b.slice/c", "/../x", "//a/./b/"]),
    target("hierarchies", hierarchies, &[MOUNTINFO, "9:cpu,cpuacct:/a\n0::/b (deleted)\n"]),
    target(
        "id_map",
        |bytes| drop(procfs::IdMap::parse(bytes)),
        &["         0       1000          1\n1 100000 65536\n"],
    ),
    target("image_config", image_config, &[IMAGE_CONFIG]),
    target("index", document, &[INDEX]),
    target(
        "layer",
        layers::unpack,
        &["5 a\n0 a/b\n2 l a\n=\n0 l/c\n0 a/.wh.b\n1 d a/b\n", "0 a/.wh..wh..opq\n=\n5 a\n", "1 x ../y\n3 z\n"],
    ),
    target("manifest", document, &[MANIFEST]),
    target(
        "memory_stats",
        memory_stats,
        &["anon 1\nfile 2\ninactive_file 3\noom_kill 4\nmax 5\n", "max\n", "9223372036854771712\n"],
    ),
    target("mount_options", mount_options, &["ro,nosuid,rbind,rslave,size=64m,x=", "rrro,ratime,idmap=uids=0-1-2"]),
    target("mountinfo", |bytes| drop(procfs::mountinfo::parse(bytes)), &[MOUNTINFO]),
    target(
        "net_dev",
        |bytes| _ = procfs::Traffic::parse(bytes),
        &["Inter-| Receive\n face |bytes\n  lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n"],
    ),
    target(
        "nftables",
        |bytes| netlink::messages(bytes).for_each(|(kind, said)| _ = nftables_messages::counted(kind, said)),
        &["\u{14}\0\0\0\u{2}\0\0\0\u{1}\0\0\0\0\0\0\0\0\0\0\0"],
    ),
    target("policy", policy, &[POLICY]),
    target(
        "pressure",
        pressure,
        &["some avg10=1.23 avg60=0.00 avg300=0.00 total=456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"],
    ),
    target(
        "proc_cgroup",
        proc_cgroup,
        &["9:cpu,cpuacct:/a\n0::/b (deleted)\n", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t2\t1\n"],
    ),
    target(
        "proc_stat",
        |bytes| drop(procfs::Stat::parse(bytes)),
        &["1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9 10 11\n"],
    ),
    target(
        "proc_status",
        |bytes| drop(procfs::Status::parse(bytes)),
        &["Name:\ta\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\nNSpid:\t7\t1\n"],
    ),
    target("public_key", public_key, &[PUBLIC_KEY]),
    target("record", record, &[r#"{"name":"a","group":"/b","parents":[["cpu","/c"]],"remove":true,"process":null}"#]),
    target(
        "reference",
        reference,
        &[
            "debian",
            "a/b__c--d.e:1.0_x",
            "localhost:5000/a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "[::1]:5/a",
        ],
    ),
    target("registries", registries, &[REGISTRIES]),
    target("resolver", resolver, &[QUERY, REVERSE, "nameserver fe80::1%eth0\noptions timeout:1 attempts:3\n"]),
    target("resources", resources, &[RESOURCES]),
    target("seccomp", seccomp_filter, &[CONFIG]),
    target("signature", signature, &[PAYLOAD, STATEMENT]),
    target(
        "small_stats",
        small_stats,
        &["max 3\nmlx4_0 hca_handle=2 hca_object=max\n", "current 1\npopulated 1\nfrozen 0\n", "FROZEN\n"],
    ),
    target("snapshot", snapshot, &[SNAPSHOT]),
    target("state", state, &[r#"{"ociVersion":"1.3.0","id":"a","status":"running","pid":1,"bundle":"/b"}"#]),
    target("systemd_unit", systemd_unit, &["system.slice:carboy:a", "a-b.slice::c", "::"]),
    target("unified", unified, &["memory.high\n1", "../memory.high\n1", "cgroup.max.depth\n1"]),
    target("user", user, &["root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/:\n"]),
];

/// What is read is written and read the same, and is chosen from for any platform.
fn document(bytes: &[u8]) {
    let Ok(read) = Document::parse(None, bytes) else { return };
    let written = match &read {
        Document::Manifest(manifest) => serde_json::to_vec(manifest),
        Document::Index(index) => serde_json::to_vec(index),
    };
    assert_eq!(
        Document::parse(None, &written.unwrap_or_default()).as_ref(),
        Ok(&read),
        "what is written reads differently"
    );
    let Document::Index(index) = read else { return };
    let wishes = ["linux/amd64/v4", "linux/arm/v7", "linux/arm64"].map(str::parse::<Platform>);
    for wanted in wishes.into_iter().flatten() {
        let chosen = index.choose(&wanted).and_then(|item| item.platform.as_ref());
        assert!(chosen.is_none_or(|platform| wanted.matches(platform)), "what was chosen does not match");
    }
}

/// What is read is written and read the same, and a container can be asked for by it.
fn image_config(bytes: &[u8]) {
    let Ok(read) = ImageConfig::parse(bytes) else { return };
    let written = serde_json::to_vec(&read).unwrap_or_default();
    assert_eq!(ImageConfig::parse(&written).as_ref(), Ok(&read), "what is written reads differently");
    assert_eq!(image::chain_ids(&read.rootfs.diff_ids).len(), read.rootfs.diff_ids.len());
    let options = RunOptions::new(Root::Host, Vec::new());
    let Ok(once) = options.with_image_config(&read.config) else { return };
    assert_eq!(once.clone().with_image_config(&read.config).as_ref(), Ok(&once), "a second time adds something");
}

/// What is shown reads the same, and leads nowhere else as part of a path.
fn reference(bytes: &[u8]) {
    let Some(read) = text(bytes).and_then(|text| image::Reference::parse(&text).ok()) else { return };
    for shown in [read.to_string(), read.familiar()] {
        assert_eq!(image::Reference::parse(&shown).as_ref(), Ok(&read), "{shown} reads differently");
    }
    let mut parts = read.repository.split('/').chain([read.version()]);
    assert!(parts.all(|part| !matches!(part, "" | "." | "..") && !part.contains('/')), "{read} leads elsewhere");
}

/// Every name leads somewhere, or is refused.
fn registries(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let settings = Settings { path: "/r.conf".into(), text };
    let Ok(registries) = image::Registries::parse(&[settings]) else { return };
    for name in ["debian", "sh:1", "x.y/a", "b.x.y:5000/a/b", &format!("quay.io/a@{DIGEST}")] {
        let Ok(meanings) = registries.meanings(name) else { continue };
        assert!(!meanings.is_empty(), "{name} means nothing");
        for meaning in meanings {
            assert!(registries.locations(&meaning).map_or(true, |list| !list.is_empty()), "{meaning} leads nowhere");
        }
    }
}

/// Nobody has signed any of it.
fn bundle(bytes: &[u8]) {
    let Ok(signature) = Signature::of_bundle(bytes) else { return };
    let Ok(key) = PublicKey::parse("key.pub", PUBLIC_KEY.as_bytes()) else { return };
    let digest = image::sha256(bytes);
    let claim = signature.claim(&key, &[Signable { digest: &digest, bytes }]);
    assert!(claim.is_err(), "nobody has signed this");
}

/// What is read of a signature is of something.
fn signature(bytes: &[u8]) {
    let kind = "application/vnd.in-toto+json";
    for claim in [Claim::of_payload(bytes), Claim::of_statement(kind, bytes)].into_iter().flatten() {
        assert!(!claim.digests.is_empty(), "it is of nothing");
    }
}

/// A key is written and read the same.
fn public_key(bytes: &[u8]) {
    let Ok(key) = PublicKey::parse("key.pub", bytes) else { return };
    let written = serde_json::to_vec(&key).unwrap_or_default();
    let read = serde_json::from_slice::<PublicKey>(&written);
    assert!(read.is_ok_and(|read| read == key && read.fingerprint() == key.fingerprint()), "it reads differently");
}

/// Nothing is taken where nothing may be.
fn policy(bytes: &[u8]) {
    let Ok(policy) = Policy::parse(Path::new("/p.json"), bytes) else { return };
    for place in ["dir:/a/b", "oci:/a:b", "oci-archive:/a", "docker-archive:/a", "docker-daemon:a/b:1"] {
        if let Ok(Some(place)) = Transport::of(place) {
            let refused = policy.accepts(&place).err();
            assert!(refused.is_none_or(|refused| refused.to_string().contains("/p.json")), "it does not say who");
        }
    }
    let _ = policy.accepts_root("-");
}

/// A tar archive, compressed or not, into a folder that is removed after it.
fn archive(bytes: &[u8]) {
    let folder = std::env::temp_dir().join(format!("carboy-fuzz-{}", std::process::id()));
    if std::fs::create_dir_all(&folder).is_ok()
        && let Ok(opened) = File::open(&folder)
    {
        let _ = image::unpack(bytes, opened.as_fd());
    }
    let _ = std::fs::remove_dir_all(&folder);
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn block_io_stats(bytes: &[u8]) {
    let _ = (cgroup::io::stats_v1(|_| text(bytes)), cgroup::io::stats_v2(|_| text(bytes)));
}

/// What is read is written and read the same; a plan of it may be refused, and nothing else.
fn config(bytes: &[u8]) {
    let Ok(read) = Config::parse(bytes) else { return };
    let written = serde_json::to_vec(&read).unwrap_or_default();
    assert_eq!(Config::parse(&written).as_ref(), Ok(&read), "what is written reads differently");
    if read.check().is_err() {
        return;
    }
    let arena = Bump::new();
    let mut steps = Steps::new(&arena);
    let _ = namespace::entrance::plan(&read, &mut steps);
    let _ = namespace::mnt::plan(&read, &namespace::mnt::Facts::default(), &mut steps);
    let _ = (namespace::user::host(&read), namespace::time::host(&read));
    if let Some(process) = &read.process {
        let _ = runtime::process::plan_program(process, &steps);
    }
    let _ = oci::document::parse::<Process>("process", bytes);
}

fn cpu_stats(bytes: &[u8]) {
    let read = |_: &str| text(bytes);
    let _ = (cgroup::cpu::stats_v1(read), cgroup::cpu::stats_v2(read));
    let _ = (cgroup::cpuacct::stats_v1(read), cgroup::cpuacct::stats_v2(read));
}

fn cpuset_list(bytes: &[u8]) {
    let Some(set) = text(bytes).and_then(|text| cgroup::cpuset::Set::parse(&text)) else { return };
    assert_eq!(cgroup::cpuset::Set::parse(&set.to_string()), Some(set), "what is shown reads differently");
}

fn parsed(bytes: &[u8]) -> Option<Resources> {
    oci::document::parse("resources", bytes).ok()
}

fn device_rules(bytes: &[u8]) {
    let Some(resources) = parsed(bytes) else { return };
    let _ = cgroup::devices::plan_v1(&resources.devices);
    let _ = cgroup::devices::plan_v2(&resources.devices);
}

fn docker_profile(bytes: &[u8]) {
    let Ok(profile) = seccomp::parse_profile(bytes, "fuzz") else { return };
    let resolved = profile.resolve(&["CAP_SYS_ADMIN".to_owned()], Arch::NATIVE, (6, 1).into());
    let _ = seccomp::compile(&resolved, Arch::NATIVE);
}

fn group_path(bytes: &[u8]) {
    let Some(path) = text(bytes).and_then(|text| GroupPath::parse("fuzz", &text).ok()) else { return };
    assert_eq!(GroupPath::parse("fuzz", &path.to_string()).as_ref(), Ok(&path), "what is shown reads differently");
    assert!(!path.relative().split('/').any(|name| name == ".."), "{path} leads out of the hierarchy");
}

fn hierarchies(bytes: &[u8]) {
    let (mounts, own) = bytes.split_at(bytes.len() / 2);
    let _ = (Hierarchies::parse(mounts, own), Hierarchies::parse(bytes, bytes));
}

fn memory_stats(bytes: &[u8]) {
    let (v1, v2) = (cgroup::memory::stats_v1(|_| text(bytes)), cgroup::memory::stats_v2(|_| text(bytes)));
    let _ = (v1.used_bytes(), v2.used_bytes());
}

fn mount_options(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let words: Vec<&str> = text.split(',').collect();
    let _ = namespace::mnt::options::parse(&words);
}

fn pressure(bytes: &[u8]) {
    let _ = text(bytes).and_then(|text| cgroup::pressure::parse(&text));
}

fn proc_cgroup(bytes: &[u8]) {
    let _ = (procfs::cgroup::parse(bytes), procfs::cgroup::parse_subsystems(bytes));
}

fn record(bytes: &[u8]) {
    let _ = (serde_json::from_slice::<Live>(bytes), serde_json::from_slice::<Record>(bytes));
}

/// What is merged twice is as if merged once.
fn resources(bytes: &[u8]) {
    let Some(read) = parsed(bytes) else { return };
    let _ = read.memory.as_ref().map(|memory| (cgroup::memory::plan_v1(memory), cgroup::memory::plan_v2(memory)));
    let _ = read.cpu.as_ref().map(|cpu| (cgroup::cpu::plan_v1(cpu, None), cgroup::cpu::plan_v2(cpu)));
    let _ = read.pids.as_ref().map(|pids| (cgroup::pids::plan_v1(pids), cgroup::pids::plan_v2(pids)));
    let without_rules = Resources { devices: Vec::new(), ..read };
    let once = Resources::default().merged(&without_rules);
    assert_eq!(once.merged(&without_rules), once, "merging twice differs");
}

fn seccomp_filter(bytes: &[u8]) {
    let Ok(config) = Config::parse(bytes) else { return };
    if let Some(profile) = config.linux.and_then(|linux| linux.seccomp) {
        let _ = (seccomp::compile(&profile, Arch::NATIVE), seccomp::allowed_count(&profile, Arch::NATIVE));
    }
}

fn small_stats(bytes: &[u8]) {
    let read = |_: &str| text(bytes);
    let sizes = ["2MB".to_owned()];
    let _ = (cgroup::pids::stats_v1(read), cgroup::pids::stats_v2(read));
    let _ = (cgroup::freezer::stats_v1(read), cgroup::freezer::stats_v2(read));
    let _ = (cgroup::hugetlb::stats_v1(&sizes, read), cgroup::hugetlb::stats_v2(&sizes, read));
    let _ = (cgroup::rdma::stats_v1(read), cgroup::rdma::stats_v2(read));
    let _ = (cgroup::misc::stats_v1(read), cgroup::misc::stats_v2(read));
}

/// Whatever the places in it point to, every question has an answer.
fn snapshot(bytes: &[u8]) {
    use inspect::compare::{Side, Whom, compare};
    use inspect::{Snapshot, door, find, ladder, relation, watch, why};
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) else { return };
    let relations = relation::Relations::new(&snapshot);
    let side = |whom| Side { snapshot: &snapshot, whom };
    let alone = (0..snapshot.processes.len()).filter_map(|index| snapshot.alone(index));
    for container in alone.chain(snapshot.containers.iter().cloned()) {
        for kind in procfs::Kind::ALL {
            assert_eq!(
                relations.of(&container, kind) == relation::Relation::Host,
                relation::of(&snapshot, &container, kind) == relation::Relation::Host
            );
        }
        for resource in ladder::Resource::ALL {
            let ladder = ladder::of(&snapshot, &container.groups, resource);
            let _ = (ladder.effective(), ladder.headroom(), ladder.usage());
        }
        let _ = (door::of(&snapshot, &container), snapshot.processes_of(&container).count());
    }
    for number in 0..=snapshot.containers.len() {
        let _ = snapshot.strays(number);
        let _ = compare(side(Whom::Container(number)), side(Whom::Host));
        let _ = compare(side(Whom::Process(number)), side(Whom::Container(0)));
    }
    for word in ["web", "web:1", "100", "net:web", "net:[4026532000]", "/a", ":80", "veth0", "/srv", "uid:100000"] {
        for found in find::find(&snapshot, word).into_iter().flatten() {
            let Some(subject) = watch::Subject::of(&snapshot, found) else { continue };
            let part = watch::part(&snapshot, &subject);
            let _ = why::why(&part, &part, &subject);
        }
    }
    let written = serde_json::to_vec(&snapshot).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<Snapshot>(&written).ok(), Some(snapshot), "what is written reads differently");
}

fn state(bytes: &[u8]) {
    let Ok(state) = serde_json::from_slice::<State>(bytes) else { return };
    let written = serde_json::to_vec(&state).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<State>(&written).ok(), Some(state), "what is written reads differently");
}

fn systemd_unit(bytes: &[u8]) {
    let Some(unit) = text(bytes).and_then(|text| Unit::parse(&text, Instance::System).ok()) else { return };
    assert!(!unit.path().is_root(), "{unit} is the root");
}

fn unified(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (file, value) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(write) = cgroup::unified::plan_v2(file, value) {
        assert!(!write.file.contains('/') && !write.file.contains(".."), "{write} leads out of the group");
    }
}

fn user(bytes: &[u8]) {
    for word in ["", "root", "www:root", "1000:1000", "4294967296"] {
        let _ = engine::user::resolve(word, &["33".to_owned()], bytes, bytes);
    }
}

/// Runs one target by its name, for `fuzz_targets/`.
///
/// # Panics
/// Where the parser does, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|target| target.name == name);
    match found {
        Some(target) => (target.run)(bytes),
        None => unreachable!("no target {name}"),
    }
}

/// A zone in which every name has addresses, and every address a name, if it is short.
struct Short;

impl Zone for Short {
    fn standing(&self, asker: IpAddr) -> Standing {
        if asker.is_ipv4() { Standing::Everywhere } else { Standing::Inside }
    }

    fn addresses(&self, asker: IpAddr, name: &str) -> Option<Vec<IpAddr>> {
        (name.len() < 5).then(|| vec![asker; 1 << name.len()])
    }

    fn names(&self, _asker: IpAddr, of: IpAddr) -> Option<Vec<String>> {
        Some(vec![of.to_string()])
    }
}

/// What is answered is an answer to that query, of a length that its way allows; and a resolv.conf.
fn resolver(bytes: &[u8]) {
    for asker in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        for (transport, most) in [(Carrier::Udp, 1232), (Carrier::Tcp, 65535)] {
            let Answer::Reply(reply) = answer(bytes, asker, &Short, transport) else { continue };
            assert!(reply.len() <= most && reply.get(..2) == bytes.get(..2));
            assert_eq!(answer(&reply, asker, &Short, transport), Answer::Drop);
        }
    }
    let servers = text(bytes).map(|text| Servers::parse(&text).servers.len());
    assert!(servers.is_none_or(|count| (1..=3).contains(&count)));
}
