//! Network devices that carboy-runtime moves into a container, as ip(8) sees them on both sides. Runtime specification,
//! config-linux.md "Network Devices".
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::thread;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::fault::{Fault, Place, Role, Watch, watched};
use carboy_e2e::{Ended, ended, eventually};
use nix::errno::Errno;
use serde_json::{Value, json};
use sys::namespace::Kinds;

/// Runs a test in a net namespace of its own, which is the host's for the runtime, with these pairs of devices.
fn with_pairs(pairs: &'static [[&str; 2]], test: fn()) {
    let run = move || {
        sys::namespace::unshare(Kinds::NET).unwrap();
        for [device, peer] in pairs {
            ip(&["link", "add", device, "type", "veth", "peer", "name", peer]);
            ip(&["link", "set", peer, "up"]);
        }
        test();
    };
    if let Err(panicked) = thread::spawn(run).join() {
        resume_unwind(panicked);
    }
}

fn ip(words: &[&str]) -> String {
    let ended = ended(Command::new("ip").args(words).stdin(Stdio::null()));
    assert_eq!(ended.code, 0, "{words:?}: {} (install iproute2)", ended.stderr);
    ended.stdout
}

/// The names of the devices here.
fn devices() -> Vec<String> {
    let listed = ip(&["-o", "link"]);
    let names = listed.lines().filter_map(|line| line.split([':', '@']).nth(1));
    names.map(|name| name.trim().to_owned()).collect()
}

/// A bundle that gets these devices and runs this script.
fn bundle(devices: Value, script: &str) -> Bundle {
    let bundle = Bundle::new();
    bundle.args(&["sh", "-c", script]);
    bundle.change(|config| config["linux"]["netDevices"] = devices);
    bundle
}

fn run(bundle: &Bundle) -> Ended {
    bundle.run(&["run", "--bundle", bundle.path(), &bundle.id])
}

fn output(bundle: &Bundle) -> String {
    let ended = run(bundle);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    bundle.gone();
    ended.stdout
}

/// The complaint of a run that fails, after which nothing is left of the container.
fn refusal(bundle: &Bundle) -> String {
    let ended = run(bundle);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    bundle.gone();
    ended.stderr
}

#[test]
fn a_device_comes_with_what_it_had_and_is_up() {
    with_pairs(&[["dev0", "peer0"]], || {
        for address in ["192.0.2.7/24", "192.0.2.8/24", "198.51.100.1 peer 198.51.100.2/32", "2001:db8::7/64"] {
            let words: Vec<&str> = address.split(' ').collect();
            ip(&[&["address", "add", "dev", "dev0"], &words[..]].concat());
        }
        ip(&["address", "add", "dev", "dev0", "203.0.113.9/24", "valid_lft", "1000", "preferred_lft", "1000"]);
        ip(&["address", "add", "dev", "dev0", "169.254.7.7/16", "scope", "link"]);
        ip(&["link", "set", "dev0", "mtu", "1400", "address", "02:00:5e:00:53:01", "up"]);
        let bundle = bundle(json!({"dev0": {"name": "eth0"}}), "ip -o link show eth0; ip -o address show eth0");
        let seen = bundle.carboy.folder().join("seen");
        let look = format!("ip -o link show eth0 > {}", seen.display());
        bundle.change(|config| {
            config["hooks"]["createContainer"] = json!([{"path": "/bin/sh", "args": ["sh", "-c", look],
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}]);
        });
        let said = output(&bundle);
        for kept in [
            "UP",
            "mtu 1400",
            "02:00:5e:00:53:01",
            "inet 192.0.2.7/24 ",
            "inet 192.0.2.8/24 ",
            "inet 198.51.100.1 peer 198.51.100.2/32",
            "inet6 2001:db8::7/64",
        ] {
            assert!(said.contains(kept), "{kept}: {said}");
        }
        for left in ["203.0.113.9", "169.254.7.7"] {
            assert!(!said.contains(left), "{left}: {said}");
        }
        assert!(fs::read_to_string(seen).unwrap().contains("eth0"), "the hooks find it");
        // What is virtual goes with its namespace, and the pair with it.
        eventually("the pair is gone", || devices() == ["lo"]);
    });
}

#[test]
fn a_device_keeps_its_name_or_gets_the_first_free_of_a_template() {
    with_pairs(&[["dev0", "peer0"], ["dev1", "peer1"], ["dev2", "peer2"]], || {
        let devices = json!({"dev0": {}, "dev1": {"name": "net%d"}, "dev2": {"name": "net%d"}});
        let said = output(&bundle(devices, "ls /sys/class/net"));
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["dev0", "lo", "net0", "net1"]);
    });
}

#[test]
fn names_can_be_exchanged_and_a_name_that_the_device_leaves_may_be_taken() {
    with_pairs(&[["dev0", "peer0"], ["dev1", "peer1"]], || {
        ip(&["link", "set", "dev0", "address", "02:00:5e:00:53:02"]);
        let devices = json!({"dev0": {"name": "dev1"}, "dev1": {"name": "dev0"}});
        let said = output(&bundle(devices, "cat /sys/class/net/dev1/address"));
        assert_eq!(said, "02:00:5e:00:53:02\n");
    });
}

#[test]
fn a_container_with_a_user_namespace_gets_it_too() {
    with_pairs(&[["dev0", "peer0"]], || {
        let bundle = bundle(json!({"dev0": {}}), "ls /sys/class/net");
        bundle.change(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
            for map in ["uidMappings", "gidMappings"] {
                config["linux"][map] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
            }
        });
        assert_eq!(output(&bundle), "dev0\nlo\n");
    });
}

/// A net namespace with a process in it.
struct Holder(Child);

impl Holder {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", "echo up; exec sleep 1000"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
        Self(child)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    fn devices(&self) -> String {
        let mut command = Command::new("nsenter");
        ended(command.arg(format!("--net={}", self.path())).args(["ip", "-o", "link"])).stdout
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn join(bundle: &Bundle, path: &str) {
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.iter_mut().find(|namespace| namespace["type"] == "network").unwrap()["path"] = json!(path);
    });
}

/// The specification forbids to move it out again.
#[test]
fn a_device_goes_to_a_namespace_that_is_joined_and_stays_with_it() {
    with_pairs(&[["dev0", "peer0"]], || {
        let holder = Holder::new();
        let bundle = bundle(json!({"dev0": {"name": "eth7"}}), "ip -o link show eth7");
        join(&bundle, &holder.path());
        assert!(output(&bundle).contains("eth7"));
        assert!(holder.devices().contains("eth7"));
        let again = refusal(&bundle);
        assert!(again.contains("linux.netDevices.dev0: does not exist on this host"), "{again}");
    });
}

#[test]
fn what_cannot_be_moved_is_refused_by_its_name_and_nothing_else_moves() {
    with_pairs(&[["dev0", "peer0"], ["dev1", "peer1"]], || {
        for (devices, told) in [
            (json!({"dev0": {}, "nosuch0": {}}), "linux.netDevices.nosuch0: does not exist on this host"),
            (json!({"dev0": {}, "dev1": {"name": "lo"}}), "linux.netDevices.dev1.name lo: is taken"),
            (
                json!({"dev0": {"name": "a"}, "dev1": {"name": "a"}}),
                "linux.netDevices.dev1.name a: is the name of another",
            ),
            (json!({"dev0": {"name": "a:b"}}), "linux.netDevices.dev0.name a:b: is not the name of a network device"),
            (json!({"dev0": {"name": "%s"}}), "linux.netDevices.dev0.name %s: is not the name of a network device"),
        ] {
            let said = refusal(&bundle(devices, "true"));
            assert!(said.contains(told), "{said}");
            assert_eq!(devices_besides_peers(), ["dev0", "dev1", "lo"], "{told}");
        }
        let said = refusal(&bundle(json!({"lo": {"name": "lo1"}}), "true"));
        assert!(said.contains("cannot move the network device lo into the container"), "{said}");
        assert!(said.contains("Invalid argument") && said.contains("never moves lo"), "{said}");
        let hosted = bundle(json!({"dev0": {"name": "eth0"}}), "true");
        join(&hosted, &format!("/proc/{}/ns/net", nix::unistd::gettid()));
        let said = refusal(&hosted);
        assert!(said.contains("the network namespace that they are in"), "{said}");
        let namespaces = json!([{"type": "mount"}, {"type": "pid"}, {"type": "uts"}]);
        let hosted = bundle(json!({"dev0": {}}), "true");
        hosted.change(|config| config["linux"]["namespaces"] = namespaces);
        let said = refusal(&hosted);
        assert!(said.contains("linux.netDevices.dev0: needs a network namespace"), "{said}");
        assert_eq!(devices_besides_peers(), ["dev0", "dev1", "lo"]);
    });
}

fn devices_besides_peers() -> Vec<String> {
    let mut names = devices();
    names.retain(|name| !name.starts_with("peer"));
    names.sort_unstable();
    names
}

#[test]
fn the_devices_are_a_step_of_the_plan() {
    with_pairs(&[], || {
        let bundle = bundle(json!({"dev0": {"name": "eth0"}, "dev1": {}}), "true");
        let explained = bundle.run(&["explain", "--bundle", bundle.path(), &bundle.id]);
        let told = "move the host's dev0 as eth0, dev1 into its own net namespace";
        assert!(explained.stdout.contains(told), "{}{}", explained.stdout, explained.stderr);
    });
}

/// A device that was moved before goes with the container's namespace, as the specification has it.
#[test]
fn wherever_the_moving_fails_or_is_killed_nothing_of_the_container_is_left() {
    const CALLS: [&str; 5] = ["setns", "socket", "connect", "sendto", "recvfrom"];
    with_pairs(&[], || {
        let bundle = bundle(json!({"dev0": {"name": "eth0"}}), "true");
        let command = bundle.command(&["run", "--bundle", bundle.path(), &bundle.id]);
        let once = |fault: Option<(Place, Fault)>| {
            if !devices().contains(&"dev0".to_owned()) {
                ip(&["link", "add", "dev0", "type", "veth", "peer", "name", "peer0"]);
                ip(&["address", "add", "dev", "dev0", "192.0.2.7/24"]);
            }
            let seen = watched((&command, Watch::Runtime), bundle.carboy.folder(), fault);
            assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).stderr, "");
            bundle.gone();
            // What was moved goes a moment after the container's last process.
            eventually("its namespace is gone", || {
                let names = devices();
                names.contains(&"dev0".to_owned()) == names.contains(&"peer0".to_owned())
            });
            seen
        };
        let sound = once(None);
        assert_eq!((sound.code, sound.hung), (0, false), "{}", sound.stderr);
        let places: Vec<Place> = sound.calls.iter().map(|(place, _)| place.clone()).collect();
        let ours = places.into_iter().filter(|place| place.role == Role::Command && CALLS.contains(&place.name));
        let ours: Vec<Place> = ours.collect();
        assert!(CALLS.iter().all(|call| ours.iter().any(|place| place.name == *call)), "{ours:?}");
        for place in ours {
            let killed = (place.name == "sendto").then_some(Fault::Kill);
            for fault in [Fault::Error(Errno::EPERM)].into_iter().chain(killed) {
                let seen = once(Some((place.clone(), fault)));
                assert!(seen.struck && !seen.hung, "{place:?} {fault:?}: {}", seen.stderr);
                assert_ne!(seen.code, 0, "{place:?} {fault:?}");
            }
        }
    });
}
