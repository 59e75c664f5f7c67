//! The configuration that options give, and what is refused.

use super::*;
use crate::options::*;
use crate::user::{ContainerGid, ContainerUid};

fn options() -> RunOptions {
    RunOptions::new(Root::Host, vec!["true".to_owned()])
}

fn host() -> HostFacts {
    HostFacts { cpus: 2, hostname: "machine".to_owned(), last_capability: 40, ..HostFacts::default() }
}

fn user(uid: u32) -> ResolvedUser {
    ResolvedUser {
        uid: ContainerUid(uid),
        gid: ContainerGid(uid),
        additional_gids: vec![ContainerGid(uid)],
        home: "/root".to_owned(),
        name: None,
    }
}

fn identity() -> Identity {
    let id = "0123456789abcdef".repeat(4);
    Identity { group: format!("/carboy-{id}"), id, root: "/root-of-it".to_owned(), joined: Vec::new() }
}

fn spec_of(change: impl FnOnce(&mut RunOptions)) -> Result<Spec> {
    let mut options = options();
    change(&mut options);
    config(&options, &host(), &user(0), &identity())
}

fn linux_of(change: impl FnOnce(&mut RunOptions)) -> oci::Linux {
    spec_of(change).unwrap().config.linux.unwrap()
}

fn process_of(change: impl FnOnce(&mut RunOptions)) -> Process {
    spec_of(change).unwrap().config.process.unwrap()
}

/// `destination type [source] options`, for the mounts whose destination begins so.
fn mounts_of(destination: &str, change: impl FnOnce(&mut RunOptions)) -> Vec<String> {
    let mounts = spec_of(change).unwrap().config.mounts;
    let shown = mounts.iter().filter(|mount| mount.destination.starts_with(destination)).map(|mount| {
        let (kind, source) = (mount.kind.as_deref().unwrap(), mount.source.as_deref().unwrap());
        format!("{} {kind} {source} {}", mount.destination, mount.options.join(","))
    });
    shown.collect()
}

fn refusal(change: impl FnOnce(&mut RunOptions)) -> String {
    match spec_of(change) {
        Ok(_) => "TAKEN".to_owned(),
        Err(error) => format!("{error}\n  {}", error.hint().unwrap_or("-")),
    }
}

fn bind(destination: &str) -> Bind {
    Bind {
        source: "/data".into(),
        destination: ContainerPath::new(destination).unwrap(),
        access: Access::ReadWrite,
        recursion: Recursion::Recursive,
        propagation: Propagation::RPrivate,
        absent: Absent::default(),
        mode: String::new(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "the snapshot stands beside what gives it")]
fn nothing_asked_is_dockers_default_container() {
    let json = serde_json::to_string_pretty(&spec_of(|_| {}).unwrap().config).unwrap();
    insta::assert_snapshot!(json, @r#"
    {
      "ociVersion": "1.3.0",
      "process": {
        "user": {
          "uid": 0,
          "gid": 0,
          "additionalGids": [
            0
          ]
        },
        "args": [
          "true"
        ],
        "env": [
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "HOSTNAME=0123456789ab",
          "HOME=/root"
        ],
        "cwd": "/",
        "capabilities": {
          "bounding": [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FSETID",
            "CAP_FOWNER",
            "CAP_MKNOD",
            "CAP_NET_RAW",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETFCAP",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_KILL",
            "CAP_AUDIT_WRITE"
          ],
          "effective": [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FSETID",
            "CAP_FOWNER",
            "CAP_MKNOD",
            "CAP_NET_RAW",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETFCAP",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_KILL",
            "CAP_AUDIT_WRITE"
          ],
          "inheritable": [],
          "permitted": [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FSETID",
            "CAP_FOWNER",
            "CAP_MKNOD",
            "CAP_NET_RAW",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETFCAP",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_SYS_CHROOT",
            "CAP_KILL",
            "CAP_AUDIT_WRITE"
          ],
          "ambient": []
        }
      },
      "root": {
        "path": "/root-of-it"
      },
      "hostname": "0123456789ab",
      "mounts": [
        {
          "destination": "/proc",
          "type": "proc",
          "source": "proc",
          "options": [
            "nosuid",
            "noexec",
            "nodev"
          ]
        },
        {
          "destination": "/dev",
          "type": "tmpfs",
          "source": "tmpfs",
          "options": [
            "nosuid",
            "strictatime",
            "mode=755",
            "size=65536k"
          ]
        },
        {
          "destination": "/dev/pts",
          "type": "devpts",
          "source": "devpts",
          "options": [
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5"
          ]
        },
        {
          "destination": "/sys",
          "type": "sysfs",
          "source": "sysfs",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "ro"
          ]
        },
        {
          "destination": "/sys/fs/cgroup",
          "type": "cgroup",
          "source": "cgroup",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "ro"
          ]
        },
        {
          "destination": "/dev/mqueue",
          "type": "mqueue",
          "source": "mqueue",
          "options": [
            "nosuid",
            "noexec",
            "nodev"
          ]
        },
        {
          "destination": "/dev/shm",
          "type": "tmpfs",
          "source": "shm",
          "options": [
            "nosuid",
            "noexec",
            "nodev",
            "mode=1777",
            "size=67108864"
          ]
        }
      ],
      "linux": {
        "sysctl": {
          "net.ipv4.ip_unprivileged_port_start": "0",
          "net.ipv4.ping_group_range": "0 2147483647"
        },
        "resources": {
          "devices": [
            {
              "allow": false,
              "access": "rwm"
            }
          ]
        },
        "cgroupsPath": "/carboy-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "namespaces": [
          {
            "type": "mount"
          },
          {
            "type": "pid"
          },
          {
            "type": "network"
          },
          {
            "type": "ipc"
          },
          {
            "type": "uts"
          },
          {
            "type": "cgroup"
          }
        ],
        "maskedPaths": [
          "/proc/acpi",
          "/proc/asound",
          "/proc/interrupts",
          "/proc/kcore",
          "/proc/keys",
          "/proc/latency_stats",
          "/proc/sched_debug",
          "/proc/scsi",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/sys/devices/virtual/powercap",
          "/sys/firmware"
        ],
        "readonlyPaths": [
          "/proc/bus",
          "/proc/fs",
          "/proc/irq",
          "/proc/sys",
          "/proc/sysrq-trigger"
        ]
      }
    }
    "#);
}

#[test]
fn what_nobody_asked_for_is_told() {
    assert_eq!(spec_of(|_| {}).unwrap().defaulted, ["linux.resources.devices"]);
    let spec = spec_of(|options| options.resources.limits.memory = Some(Limit::At(64 << 20))).unwrap();
    assert_eq!(spec.defaulted, ["linux.resources.devices", "linux.resources.memory.swap"]);
    let memory = spec.config.linux.unwrap().resources.unwrap().memory.unwrap();
    assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(128 << 20)));
}

#[test]
fn unlimited_zero_and_absent_stay_apart() {
    let resources = linux_of(|options| {
        options.resources.limits.memory = Some(Limit::Unlimited);
        options.resources.limits.pids_limit = Some(Limit::Unlimited);
        options.resources.limits.cpu_quota_usec = Some(Limit::Unlimited);
    });
    let resources = resources.resources.unwrap();
    assert_eq!(resources.memory.unwrap(), oci::Memory { limit: Some(-1), ..oci::Memory::default() });
    assert_eq!(resources.pids.unwrap().limit, Some(-1));
    assert_eq!(resources.cpu.unwrap(), oci::Cpu { quota: Some(-1), ..oci::Cpu::default() });
    let absent = linux_of(|_| {}).resources.unwrap();
    assert_eq!((absent.memory, absent.pids, absent.cpu), (None, None, None));
    let mut limits = process_of(|options| {
        let (soft, hard) = (Limit::At(0), Limit::Unlimited);
        options.ulimits.push(Ulimit { resource: "RLIMIT_CORE", soft, hard });
    });
    let limit = limits.rlimits.pop().unwrap();
    assert_eq!((limit.soft, limit.hard), (0, u64::MAX));
}

#[test]
fn cpus_are_a_quota_of_the_usual_period() {
    for (nano, quota) in [(1_500_000_000, 150_000), (10_000_000, 1_000), (333_333_333, 33_333)] {
        let cpu = linux_of(|options| options.resources.limits.nano_cpus = Some(nano)).resources.unwrap().cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(quota), Some(100_000)));
    }
}

#[test]
fn capabilities_are_added_and_dropped_as_docker_does() {
    let bounding = |add: &[&str], drop: &[&str]| {
        let parse = |words: &[&str]| words.iter().map(|word| Capabilities::parse(word).unwrap()).collect();
        let process = process_of(|options| {
            options.security.cap_add = parse(add);
            options.security.cap_drop = parse(drop);
        });
        process.capabilities.unwrap().bounding.unwrap()
    };
    assert_eq!(bounding(&[], &[]).len(), 14);
    assert_eq!(bounding(&["sys_admin", "CHOWN"], &[]).len(), 15);
    assert_eq!(bounding(&["CAP_SYS_ADMIN"], &["all"]), ["CAP_SYS_ADMIN"]);
    assert!(bounding(&[], &["ALL"]).is_empty());
    assert_eq!(bounding(&["ALL"], &["MKNOD"]).len(), 40);
    assert_eq!(bounding(&["ALL"], &["ALL"]).len(), 41);
    assert_eq!(bounding(&["MKNOD"], &["mknod"]).len(), 14);
}

#[test]
fn a_user_who_is_not_root_holds_no_capability() {
    let spec = config(&options(), &host(), &user(1000), &identity()).unwrap();
    let capabilities = spec.config.process.unwrap().capabilities.unwrap();
    assert_eq!(capabilities.bounding.unwrap().len(), 14);
    let rest = [capabilities.effective, capabilities.permitted, capabilities.inheritable, capabilities.ambient];
    assert!(rest.into_iter().flatten().all(|set| set.is_empty()));
}

#[test]
fn a_capability_that_the_kernel_lacks_is_refused() {
    let mut options = options();
    options.security.cap_add = vec![Capabilities::One("CAP_BPF")];
    let old = HostFacts { last_capability: 37, ..host() };
    let error = config(&options, &old, &user(0), &identity()).unwrap_err();
    assert_eq!(error.to_string(), "cannot use --cap-add CAP_BPF: is not known to this host's kernel");
}

#[test]
fn a_privileged_container_has_nothing_hidden_from_it() {
    let privileged = |options: &mut RunOptions| options.security.privileged = true;
    let spec = spec_of(privileged).unwrap();
    assert_eq!(spec.seccomp, SeccompChoice::Unconfined);
    assert_eq!(spec.config.process.unwrap().capabilities.unwrap().effective.unwrap().len(), 41);
    let linux = spec.config.linux.unwrap();
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    let rules = linux.resources.unwrap().devices;
    assert_eq!(rules.iter().map(|rule| (rule.allow, rule.kind.clone())).collect::<Vec<_>>(), [(true, None)]);
    assert_eq!(
        mounts_of("/sys", privileged),
        ["/sys sysfs sysfs nosuid,noexec,nodev", "/sys/fs/cgroup cgroup cgroup nosuid,noexec,nodev"]
    );
    let asked = spec_of(|options| {
        privileged(options);
        options.security.seccomp = Some(SeccompChoice::File("p.json".into()));
    });
    assert_eq!(asked.unwrap().seccomp, SeccompChoice::File("p.json".into()));
}

#[test]
fn a_device_is_made_and_allowed() {
    let device = oci::Device {
        path: "/dev/x".to_owned(),
        kind: "b".to_owned(),
        major: Some(7),
        minor: Some(0),
        file_mode: None,
        uid: None,
        gid: None,
    };
    let host = HostFacts { devices: vec![HostDevice { device, access: "r".to_owned() }], ..host() };
    let spec = config(&options(), &host, &user(0), &identity()).unwrap();
    let linux = spec.config.linux.unwrap();
    assert_eq!(linux.devices[0].path, "/dev/x");
    let rules = linux.resources.unwrap().devices;
    let shown: Vec<_> = rules.iter().map(|rule| (rule.allow, rule.kind.as_deref(), rule.access.as_deref())).collect();
    assert_eq!(shown, [(false, None, Some("rwm")), (true, Some("b"), Some("r"))]);
}

#[test]
fn the_environment_is_dockers() {
    let env = |change: fn(&mut RunOptions)| process_of(change).env.join(" ");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(env(|_| {}), format!("{path} HOSTNAME=0123456789ab HOME=/root"));
    assert_eq!(env(|options| options.tty = true), format!("{path} HOSTNAME=0123456789ab TERM=xterm HOME=/root"));
    let shown = env(|options| {
        let variable =
            |name: &str, value: Option<&str>| Variable { name: name.into(), value: value.map(str::to_owned) };
        options.env = vec![
            variable("HOME", Some("/x")),
            variable("PATH", Some("/bin")),
            variable("HOSTNAME", None),
            variable("A", Some("1")),
            variable("A", Some("2")),
        ];
    });
    assert_eq!(shown, "PATH=/bin HOME=/x A=2");
}

#[test]
fn the_host_name_is_what_was_asked_or_the_short_id() {
    let name = |change: fn(&mut RunOptions)| spec_of(change).unwrap().config.hostname;
    assert_eq!(name(|_| {}).as_deref(), Some("0123456789ab"));
    assert_eq!(name(|options| options.hostname = Some("web".to_owned())).as_deref(), Some("web"));
    assert_eq!(name(|options| options.namespaces.net = Namespace::Host).as_deref(), Some("machine"));
    assert_eq!(name(|options| options.namespaces.uts = Namespace::Host), None);
}

#[test]
fn init_stands_before_the_command() {
    let host = HostFacts { init: Some("/usr/bin/carboy".into()), ..host() };
    let mut options = options();
    (options.init, options.entrypoint) = (true, Some(vec!["sh".to_owned()]));
    let spec = config(&options, &host, &user(0), &identity()).unwrap().config;
    assert_eq!(spec.process.unwrap().args, ["/sbin/carboy-init", "--", "sh", "true"]);
    let mount = spec.mounts.last().unwrap();
    assert_eq!((mount.destination.as_str(), mount.source.as_deref()), ("/sbin/carboy-init", Some("/usr/bin/carboy")));
    options.namespaces.pid = Namespace::Host;
    let spec = config(&options, &host, &user(0), &identity()).unwrap().config;
    assert_eq!(spec.process.unwrap().args, ["sh", "true"]);
}

#[test]
fn mounts_that_were_asked_for_replace_the_defaults_and_go_from_the_outside_in() {
    let asked = |options: &mut RunOptions| {
        let read_only = Bind { access: Access::ReadOnly, ..bind("/a/b") };
        let top = Bind { access: Access::ReadOnlyTop, propagation: Propagation::RSlave, ..bind("/a") };
        let one = Bind { access: Access::ReadOnly, recursion: Recursion::One, ..bind("/a/b/c") };
        options.mounts = [one, read_only, top].map(Mount::Bind).to_vec();
        let options_of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let tmpfs = |path: &str, words: &[&str]| {
            let (destination, options) = (ContainerPath::new(path).unwrap(), options_of(words));
            Mount::Tmpfs(Tmpfs { destination, options, asked: Asked::AsTmpfs })
        };
        options.mounts.push(tmpfs("/dev/shm", &["exec", "size=1m"]));
    };
    assert_eq!(
        mounts_of("/a", asked),
        ["/a bind /data rbind,ro,rslave", "/a/b bind /data rbind,rro,rprivate", "/a/b/c bind /data bind,ro,rprivate"]
    );
    assert_eq!(mounts_of("/dev/shm", asked), ["/dev/shm tmpfs tmpfs nosuid,nodev,exec,size=1m"]);
    assert_eq!(linux_of(asked).rootfs_propagation.as_deref(), Some("rslave"));
    let dev = mounts_of("/dev", |options| options.mounts.push(Mount::Bind(bind("/dev"))));
    assert_eq!(dev, ["/dev bind /data rbind,rprivate"]);
}

#[test]
fn namespaces_are_made_joined_or_left_out() {
    let mut options = options();
    options.namespaces.net = Namespace::Joined(Join::Container("web".to_owned()));
    options.namespaces.pid = Namespace::Host;
    options.namespaces.uts = Namespace::Host;
    options.namespaces.time = Namespace::Private;
    options.namespaces.boottime = Some(TimeOffset { secs: 5, nanosecs: 0 });
    let identity = Identity { joined: vec![(NamespaceKind::Net, "/run/net".to_owned())], ..identity() };
    let linux = config(&options, &host(), &user(0), &identity).unwrap().config.linux.unwrap();
    let shown: Vec<_> = linux.namespaces.iter().map(|one| (one.kind.name(), one.path.as_deref())).collect();
    let expected = [("mnt", None), ("net", Some("/run/net")), ("ipc", None), ("cgroup", None), ("time", None)];
    assert_eq!(shown, expected);
    assert!(linux.sysctl.is_empty());
    assert_eq!(linux.time_offsets.unwrap()["boottime"].secs, 5);
    let error = config(&options, &host(), &user(0), &Identity::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot use --net container:web: was not found");
}

#[test]
fn a_user_namespace_has_maps() {
    let private = |options: &mut RunOptions| options.namespaces.user = Namespace::Private;
    let default = IdMapping { container_id: 0, host_id: 0x7000_0000, size: 65_536 };
    let linux = linux_of(private);
    assert_eq!((linux.uid_mappings, linux.gid_mappings), (vec![default], vec![default]));
    assert!(!linux.sysctl.contains_key("net.ipv4.ping_group_range"));
    let own = IdMapping { container_id: 0, host_id: 7, size: 1 };
    let linux = linux_of(|options| {
        private(options);
        options.namespaces.gid_mappings = vec![own];
    });
    assert_eq!((linux.uid_mappings, linux.gid_mappings), (vec![own], vec![own]));
}

#[test]
fn a_users_container_has_what_the_users_ids_and_namespaces_allow() {
    let of = |map: &[u8], change: &dyn Fn(&mut RunOptions)| {
        let map = procfs::IdMap::parse(map).unwrap();
        let host = HostFacts { ids: Some(crate::rootless::Ids { users: map.clone(), groups: map }), ..host() };
        let mut options = options();
        change(&mut options);
        config(&options, &host, &user(0), &identity()).unwrap()
    };
    let mount = |spec: &Spec, at: &str| {
        let found = spec.config.mounts.iter().find(|mount| mount.destination == at).unwrap();
        (found.kind.clone().unwrap(), found.options.join(","))
    };
    let range = |spec: &Spec| spec.config.linux.clone().unwrap().sysctl["net.ipv4.ping_group_range"].clone();
    let (one, many) = (b"0 1000 1", b"0 1000 1\n1 100000 65536");
    let spec = of(one, &|_| {});
    assert_eq!((range(&spec).as_str(), range(&of(many, &|_| {})).as_str()), ("0 0", "0 65536"));
    assert!(!mount(&spec, "/dev/pts").1.contains("gid=5"));
    assert!(mount(&of(many, &|_| {}), "/dev/pts").1.contains("gid=5"));
    assert_eq!(mount(&spec, "/sys").0, "sysfs");
    let in_host_net = of(one, &|options| options.namespaces.net = Namespace::Host);
    assert_eq!(mount(&in_host_net, "/sys"), ("bind".to_owned(), "rbind,nosuid,noexec,nodev,rro".to_owned()));
    assert!(spec.defaulted.contains(&"linux.resources.devices"));
}

#[test]
fn terminals_belong_to_the_group_tty_where_it_is_mapped() {
    let terminals = |size| {
        let map = vec![IdMapping { container_id: 0, host_id: 1000, size }];
        let shown = mounts_of("/dev/pts", |options| {
            options.namespaces.user = Namespace::Private;
            options.namespaces.uid_mappings = map;
        });
        shown[0].ends_with(",gid=5")
    };
    assert_eq!((terminals(1), terminals(6)), (false, true));
}

#[test]
fn without_rights_over_a_namespace_its_file_system_is_the_hosts() {
    let shared = |options: &mut RunOptions| {
        options.namespaces.user = Namespace::Private;
        options.namespaces.net = Namespace::Host;
        options.namespaces.pid = Namespace::Host;
        options.namespaces.ipc = Namespace::Host;
    };
    assert_eq!(mounts_of("/sys", shared)[0], "/sys bind /sys rbind,nosuid,noexec,nodev,rro");
    assert_eq!(mounts_of("/proc", shared), ["/proc bind /proc rbind,nosuid,noexec,nodev"]);
    assert_eq!(mounts_of("/dev/mqueue", shared), ["/dev/mqueue bind /dev/mqueue rbind,nosuid,noexec,nodev"]);
    assert_eq!(mounts_of("/dev/shm", shared), ["/dev/shm bind /dev/shm rbind,nosuid,noexec,nodev,rprivate"]);
    let own = |options: &mut RunOptions| options.namespaces.user = Namespace::Private;
    assert_eq!(mounts_of("/proc", own), ["/proc proc proc nosuid,noexec,nodev"]);
}

/// What cannot be had, or not together.
const CONFLICTS: &[fn(&mut RunOptions)] = &[
    |options| options.command.clear(),
    |options| options.resources.limits.memory = Some(Limit::At((6 << 20) - 1)),
    |options| options.resources.limits.memory = Some(Limit::At(4 << 20)),
    |options| options.resources.limits.memory_reservation = Some(1 << 20),
    |options| options.resources.limits.memory_swap = Some(Limit::At(64 << 20)),
    |options| {
        options.resources.limits.memory = Some(Limit::At(64 << 20));
        options.resources.limits.memory_swap = Some(Limit::At(32 << 20));
    },
    |options| {
        options.resources.limits.memory = Some(Limit::At(64 << 20));
        options.resources.limits.memory_reservation = Some(1 << 30);
    },
    |options| options.resources.limits.nano_cpus = Some(2_500_000_000),
    |options| options.resources.limits.nano_cpus = Some(1),
    |options| {
        options.resources.limits.nano_cpus = Some(1_000_000_000);
        options.resources.limits.cpu_quota_usec = Some(Limit::At(5_000));
    },
    |options| {
        options.resources.limits.nano_cpus = Some(1_000_000_000);
        options.resources.limits.cpu_period_usec = Some(50_000);
    },
    |options| options.resources.limits.cpu_period_usec = Some(999),
    |options| options.resources.limits.cpu_quota_usec = Some(Limit::At(999)),
    |options| options.hostname = Some("x".repeat(65)),
    |options| {
        options.namespaces.uts = Namespace::Host;
        options.hostname = Some("web".to_owned());
    },
    |options| options.sysctls.extend([("vm.swappiness".to_owned(), "1".to_owned())]),
    |options| options.sysctls.extend([("kernel.hostname".to_owned(), "web".to_owned())]),
    |options| {
        options.namespaces.net = Namespace::Host;
        options.sysctls.extend([("net.core.somaxconn".to_owned(), "1".to_owned())]);
    },
    |options| {
        options.namespaces.ipc = Namespace::Host;
        options.sysctls.extend([("kernel.shmmax".to_owned(), "1".to_owned())]);
    },
    |options| options.namespaces.uid_mappings = vec![IdMapping { container_id: 0, host_id: 1, size: 2 }],
    |options| options.namespaces.monotonic = Some(TimeOffset { secs: 1, nanosecs: 0 }),
    |options| {
        options.security.privileged = true;
        options.namespaces.user = Namespace::Private;
    },
    |options| options.mounts = vec![Mount::Bind(bind("/a")), Mount::Bind(bind("/a"))],
    |options| options.mounts = vec![Mount::Bind(bind("/"))],
    |options| options.init = true,
];

#[test]
fn options_that_do_not_go_together_are_refused() {
    let lines: Vec<String> = CONFLICTS.iter().map(refusal).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    cannot use the command: there is none
      name one after the container, for example: bash
    cannot use --memory 6291455b: is below the minimum of 6 MiB that a container needs to start
      use 6m or more
    cannot use --memory 4m: is below the minimum of 6 MiB that a container needs to start
      use 6m or more
    cannot use --memory-reservation 1m: is below the minimum of 6 MiB that a container needs to start
      use 6m or more
    cannot use --memory-swap 64m: counts memory and swap, and memory has no limit
      give --memory too
    cannot use --memory-swap 32m: is below --memory 64m, and counts memory and swap together
      use 64m for no swap, or more
    cannot use --memory-reservation 1g: is above --memory 64m
      use 64m or less
    cannot use --cpus 2.5: is not within 0.01 and 2, the CPUs of this host
      leave --cpus out for no limit
    cannot use --cpus 0.000000001: is not within 0.01 and 2, the CPUs of this host
      leave --cpus out for no limit
    cannot use --cpus 1: already sets what --cpu-quota sets
      give either --cpus or --cpu-quota
    cannot use --cpus 1: already sets what --cpu-period sets
      give either --cpus or --cpu-period
    cannot use --cpu-period 999: is not within 1000 and 1000000 microseconds
      100000 is usual
    cannot use --cpu-quota 999: is below the minimum of 1000 microseconds
      use 1000 or more, or -1 for no limit
    cannot use --hostname xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: is 65 bytes long
      use at most 64 bytes
    cannot use --hostname web: needs a uts namespace of the container's own
      leave --uts out
    cannot use --sysctl vm.swappiness=1: belongs to no namespace: it would change the host
      use names below net. and fs.mqueue., kernel.msg*, kernel.sem and kernel.shm*
    cannot use --sysctl kernel.hostname=web: belongs to no namespace: it would change the host
      use --hostname
    cannot use --sysctl net.core.somaxconn=1: would change the host, whose net namespace the container shares
      leave --net host out
    cannot use --sysctl kernel.shmmax=1: would change the host, whose ipc namespace the container shares
      leave --ipc host out
    cannot use --uidmap 0:1:2: needs a user namespace of the container's own
      use it with --userns private
    cannot use --time-offset monotonic=1: needs a time namespace of the container's own
      use it with --timens private
    cannot use --privileged: a user namespace would take back what it gives
      leave --userns out, or use --cap-add
    cannot use --volume /a: is mounted twice
      give each destination once
    cannot use --volume /: is the container's root itself
      name a folder below it
    cannot use --init: the program for it was not found
      leave --init out
    ");
}

#[test]
fn exec_is_as_the_containers_process_but_for_what_was_asked() {
    let spec = spec_of(|options| options.workdir = ContainerPath::new("/srv")).unwrap().config;
    let mut exec = ExecOptions {
        container: "web".to_owned(),
        command: vec!["ls".to_owned()],
        tty: true,
        interactive: false,
        env: vec![Variable { name: "A".to_owned(), value: Some("1".to_owned()) }],
        workdir: None,
        user: None,
        privileged: false,
        detach: false,
        detach_keys: Vec::new(),
    };
    let process = exec_process(&spec, &exec, &user(1000)).unwrap();
    assert_eq!((process.cwd.as_str(), process.user.uid, process.terminal), ("/srv", 0, true));
    assert_eq!(process.env[1..], ["HOSTNAME=0123456789ab", "HOME=/root", "TERM=xterm", "A=1"]);
    assert_eq!(process.capabilities, spec.process.as_ref().unwrap().capabilities);
    (exec.user, exec.privileged) = (Some("ann".to_owned()), true);
    let ann = ResolvedUser { home: "/home/ann".to_owned(), ..user(1000) };
    let process = exec_process(&spec, &exec, &ann).unwrap();
    assert_eq!(process.user.uid, 1000);
    assert!(process.env.contains(&"HOME=/home/ann".to_owned()));
    let capabilities = process.capabilities.unwrap();
    assert_eq!((capabilities.bounding.unwrap().len(), capabilities.effective.unwrap().len()), (41, 0));
    exec.command.clear();
    assert!(exec_process(&spec, &exec, &ann).is_err());
}
