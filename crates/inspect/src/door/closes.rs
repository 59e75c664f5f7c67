//! What closes a door, in the words of whoever runs the container: the flag, the field or the key to change. Pure.

use procfs::Kind;

use crate::snapshot::{Container, Engine};

/// What is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// A socket or folder of the host that is mounted.
    Mount,
    /// A folder of the host below its root.
    Layer,
    /// A mount that hands on what is mounted below it.
    Propagation,
    /// Files of /proc and /sys that change the kernel.
    KernelFiles,
    /// Files of /proc and /sys that engines cover.
    Uncovered,
    /// The cgroup file systems.
    Groups,
    /// Device nodes.
    Devices,
    /// A capability, without `CAP_`.
    Capability(&'static str),
    /// A namespace of the host's.
    Host(Kind),
    /// A capability in a namespace of the host's.
    CapabilityIn(&'static str, Kind),
    /// No seccomp filter.
    Seccomp,
    /// No profile of a security module.
    Profile,
    /// The host's user ids.
    Users,
    /// Rights that a program's file gives.
    SetUid,
    /// An open folder of the host.
    Descriptor,
}

/// In whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Flags of docker, podman, nerdctl and carboy.
    Flags,
    /// Flags of containerd's own client.
    Ctr,
    /// Fields of a Kubernetes pod.
    Pod,
    /// Keys of LXC's configuration.
    Lxc,
    /// Options of systemd-nspawn.
    Nspawn,
    /// Settings of a systemd service.
    Service,
    /// Fields of an OCI runtime's config.json.
    Config,
}

impl Words {
    pub(super) const fn of(container: &Container) -> Self {
        match container.engine {
            Engine::Carboy | Engine::Docker | Engine::Podman => Self::Flags,
            Engine::Containerd | Engine::Crio if container.pod.is_some() => Self::Pod,
            Engine::Containerd => Self::Ctr,
            Engine::Crio => Self::Pod,
            Engine::Lxc => Self::Lxc,
            Engine::Nspawn => Self::Nspawn,
            Engine::Sandbox => Self::Service,
            Engine::Unknown => Self::Config,
        }
    }

    pub(super) fn closing(self, opening: Opening) -> String {
        match opening {
            Opening::CapabilityIn(name, kind) => {
                return format!(
                    "{}, or {}",
                    self.closing(Opening::Host(kind)),
                    self.closing(Opening::Capability(name))
                );
            }
            Opening::Layer => return "a root that is not the host's".to_owned(),
            _ => {}
        }
        match self {
            Self::Flags => flags(opening),
            Self::Ctr => ctr(opening),
            Self::Pod => pod(opening),
            Self::Lxc => lxc(opening),
            Self::Nspawn => nspawn(opening),
            Self::Service => service(opening),
            Self::Config => config(opening),
        }
    }
}

/// What engines give without being asked to. moby `oci/caps/defaults.go`.
const USUAL: [&str; 2] = ["MKNOD", "NET_RAW"];

fn flags(opening: Opening) -> String {
    let text = match opening {
        Opening::Mount | Opening::Layer => "mount less of it with -v, or with :ro",
        Opening::Propagation => "leave out :shared of its -v",
        Opening::KernelFiles => "leave out --privileged",
        Opening::Uncovered => "leave out --privileged and --security-opt systempaths=unconfined",
        Opening::Groups => "leave out --privileged and --cgroupns host",
        Opening::Devices => "leave out --privileged and --device",
        Opening::Capability(name) if USUAL.contains(&name) => return format!("--cap-drop {name}"),
        Opening::Capability(name) | Opening::CapabilityIn(name, _) => {
            return format!("leave out --privileged and --cap-add {name}");
        }
        Opening::Host(Kind::Mnt) => "run it in a mount namespace of its own",
        Opening::Host(Kind::Cgroup) => "--cgroupns private",
        Opening::Host(kind) => return format!("leave out --{} host", kind.name()),
        Opening::Seccomp => "leave out --privileged and --security-opt seccomp=unconfined",
        Opening::Profile => "leave out --privileged, --security-opt apparmor=unconfined and label=disable",
        Opening::Users => "--user, or an engine of a user who is not root",
        Opening::SetUid => "--security-opt no-new-privileges",
        Opening::Descriptor => "a runtime that closes what it has open before it starts a container",
    };
    text.to_owned()
}

fn ctr(opening: Opening) -> String {
    let text = match opening {
        Opening::Mount | Opening::Layer => "leave out that --mount, or with options=ro",
        Opening::Propagation => "leave rshared out of its --mount",
        Opening::KernelFiles | Opening::Uncovered | Opening::Groups => "leave out --privileged",
        Opening::Devices => "leave out --privileged and --device",
        Opening::Capability(name) if USUAL.contains(&name) => return format!("--cap-drop CAP_{name}"),
        Opening::Capability(name) | Opening::CapabilityIn(name, _) => {
            return format!("leave out --privileged and --cap-add CAP_{name}");
        }
        Opening::Host(Kind::Net) => "leave out --net-host",
        Opening::Host(Kind::Cgroup) => "--with-ns cgroup:PATH",
        Opening::Host(kind) => return format!("leave out --with-ns {}:PATH", kind.name()),
        Opening::Seccomp => "--seccomp",
        Opening::Profile => "--apparmor-default-profile NAME",
        Opening::Users => "--user, or --uidmap and --gidmap",
        Opening::SetUid => "leave out --allow-new-privs",
        Opening::Descriptor => "a runtime that closes what it has open before it starts a container",
    };
    text.to_owned()
}

fn pod(opening: Opening) -> String {
    let text = match opening {
        Opening::Mount | Opening::Layer => "remove that hostPath volume, or readOnly: true",
        Opening::Propagation => "mountPropagation: None",
        Opening::KernelFiles | Opening::Groups | Opening::Devices => "securityContext.privileged: false",
        Opening::Uncovered => "securityContext.procMount: Default and privileged: false",
        Opening::Capability(name) | Opening::CapabilityIn(name, _) => {
            return format!("securityContext.capabilities.drop: [{name}]");
        }
        Opening::Host(Kind::Net | Kind::Uts) => "hostNetwork: false",
        Opening::Host(Kind::Pid) => "hostPID: false",
        Opening::Host(Kind::Ipc) => "hostIPC: false",
        Opening::Host(Kind::Cgroup) => "securityContext.privileged: false, on a host with cgroup v2",
        Opening::Host(_) => "hostUsers: false",
        Opening::Seccomp => "securityContext.seccompProfile.type: RuntimeDefault",
        Opening::Profile => "securityContext.appArmorProfile.type: RuntimeDefault, or seLinuxOptions",
        Opening::Users => "securityContext.runAsNonRoot: true, or hostUsers: false",
        Opening::SetUid => "securityContext.allowPrivilegeEscalation: false",
        Opening::Descriptor => "a runtime that closes what it has open before it starts a container",
    };
    text.to_owned()
}

fn lxc(opening: Opening) -> String {
    let text = match opening {
        Opening::Mount | Opening::Layer => "remove that lxc.mount.entry, or with ro",
        Opening::Propagation => "leave rshared out of its lxc.mount.entry",
        Opening::KernelFiles => "lxc.mount.auto = proc:mixed sys:ro",
        Opening::Uncovered | Opening::Users => "lxc.idmap = u 0 100000 65536",
        Opening::Groups => "lxc.mount.auto = cgroup:ro",
        Opening::Devices => "lxc.cgroup.devices.deny = a, lxc.cgroup2.devices.deny = a",
        Opening::Capability(name) | Opening::CapabilityIn(name, _) => {
            return format!("lxc.cap.drop = {}", name.to_lowercase());
        }
        Opening::Host(kind) => return format!("leave {} out of lxc.namespace.keep", kind.name()),
        Opening::Seccomp => "lxc.seccomp.profile = FILE",
        Opening::Profile => "lxc.apparmor.profile = generated, or lxc.selinux.context",
        Opening::SetUid => "lxc.no_new_privs = 1",
        Opening::Descriptor => "lxc.no_new_privs = 1, and lxc-start --close-all-fds",
    };
    text.to_owned()
}

fn nspawn(opening: Opening) -> String {
    let text = match opening {
        Opening::Mount | Opening::Layer => "leave out that --bind=, or --bind-ro=",
        Opening::Propagation => "leave rshared out of its --bind=",
        Opening::KernelFiles => "leave out SYSTEMD_NSPAWN_API_VFS_WRITABLE",
        Opening::Uncovered | Opening::Users => "--private-users=pick",
        Opening::Groups => "leave out SYSTEMD_NSPAWN_USE_CGNS=0",
        Opening::Devices => "leave out that --bind= and --property=DeviceAllow=",
        Opening::Capability(name) | Opening::CapabilityIn(name, _) => {
            return format!("--drop-capability=CAP_{name}");
        }
        Opening::Host(Kind::Net) => "--private-network, or --network-veth",
        Opening::Host(Kind::Cgroup) => "leave out SYSTEMD_NSPAWN_USE_CGNS=0",
        Opening::Host(_) => "leave out SYSTEMD_NSPAWN_SHARE_NS_PID, _IPC and _UTS",
        Opening::Seccomp => "leave out SYSTEMD_SECCOMP=0",
        Opening::Profile => "--selinux-context=",
        Opening::SetUid => "--no-new-privileges=yes",
        Opening::Descriptor => "leave that descriptor out of its service's FileDescriptorStore and Sockets=",
    };
    text.to_owned()
}

/// systemd.exec(5).
fn service(opening: Opening) -> String {
    let text = match opening {
        Opening::Mount | Opening::Layer => "ProtectSystem=strict, or InaccessiblePaths=",
        Opening::Propagation => "PrivateMounts=yes",
        Opening::KernelFiles => "ProtectKernelTunables=yes",
        Opening::Uncovered => "ProtectKernelTunables=yes and ProcSubset=pid",
        Opening::Groups => "ProtectControlGroups=yes",
        Opening::Devices => "PrivateDevices=yes",
        Opening::Capability("SYS_MODULE") => "ProtectKernelModules=yes",
        Opening::Capability("SYSLOG") => "ProtectKernelLogs=yes",
        Opening::Capability("SYS_TIME") => "ProtectClock=yes",
        Opening::Capability(name) | Opening::CapabilityIn(name, _) => {
            return format!("CapabilityBoundingSet=~CAP_{name}");
        }
        Opening::Host(Kind::Net) => "PrivateNetwork=yes",
        Opening::Host(Kind::Ipc) => "PrivateIPC=yes",
        Opening::Host(Kind::Uts) => "ProtectHostname=yes",
        Opening::Host(Kind::Pid) => "PrivatePIDs=yes, or ProtectProc=invisible",
        Opening::Host(Kind::Mnt) => "PrivateTmp=yes, ProtectSystem=strict",
        Opening::Host(Kind::Cgroup) => "ProtectControlGroups=private",
        Opening::Host(_) => "PrivateUsers=yes",
        Opening::Seccomp => "SystemCallFilter=@system-service",
        Opening::Profile => "AppArmorProfile=, or SELinuxContext=",
        Opening::Users => "User=, or DynamicUser=yes",
        Opening::SetUid => "NoNewPrivileges=yes",
        Opening::Descriptor => "leave it out of OpenFile= and WorkingDirectory=",
    };
    text.to_owned()
}

/// Runtime specification, config.md and config-linux.md.
fn config(opening: Opening) -> String {
    let text = match opening {
        Opening::Mount | Opening::Layer => "take it out of mounts, or with ro",
        Opening::Propagation => "take rshared out of its mount's options",
        Opening::KernelFiles => "linux.readonlyPaths: /proc/sys, and ro for the mount of sysfs",
        Opening::Uncovered => "linux.maskedPaths",
        Opening::Groups => "ro for the mount of cgroup, and a cgroup namespace",
        Opening::Devices => "take it out of linux.devices and linux.resources.devices",
        Opening::Capability(name) | Opening::CapabilityIn(name, _) => {
            return format!("take CAP_{name} out of process.capabilities");
        }
        Opening::Host(Kind::Mnt) => "linux.namespaces: mount",
        Opening::Host(Kind::Net) => "linux.namespaces: network",
        Opening::Host(kind) => return format!("linux.namespaces: {}", kind.name()),
        Opening::Seccomp => "linux.seccomp",
        Opening::Profile => "process.apparmorProfile, or process.selinuxLabel",
        Opening::Users => "process.user, or linux.namespaces: user",
        Opening::SetUid => "process.noNewPrivileges: true",
        Opening::Descriptor => "a runtime that closes what it has open before it starts a container",
    };
    text.to_owned()
}
