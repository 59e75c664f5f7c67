//! Networks when the host begins anew: nothing of them is in the kernel, nothing is left of /run, and all is back.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;

use carboy_e2e::network::{Neighbour, address, alone, apart, done, pid, pings, serve, served, start, tables, words};
use carboy_e2e::{Carboy, eventually};
use rustix::process::{Pid, Signal, kill_process};

/// The processes of carboy itself, monitors and resolvers, which have its folders among their words.
fn own_processes(carboy: &Carboy) -> Vec<i32> {
    let folder = carboy.folder().display().to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_own = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    };
    pids.filter(is_own).collect()
}

/// What a host that loses its power does to a carboy: its processes and its run-time folder are gone, and no undo is done.
fn cut_off(carboy: &Carboy, containers: &[&str]) {
    let first = containers.iter().map(|name| pid(carboy, name).parse().unwrap());
    let all: Vec<i32> = own_processes(carboy).into_iter().chain(first).collect();
    assert_eq!(all.len(), 2 * containers.len() + 1, "a monitor for each, and a resolver");
    for pid in &all {
        kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).unwrap();
    }
    eventually("they are gone", || {
        all.iter().all(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z ")))
    });
    fs::remove_dir_all(carboy.folder().join("run")).unwrap();
}

#[test]
fn containers_are_back_with_their_names_addresses_and_ports_after_the_host_was_cut_off() {
    alone(|carboy| {
        done(carboy.run(words("network create --ipv6 --subnet 198.51.100.0/24 back")));
        serve(carboy, "web", "--network back --ip 198.51.100.7 -p 8080:80 --restart always");
        start(carboy, "client", "--network back --restart always", "exec sleep 1000");
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
        cut_off(carboy, &["web", "client"]);
        apart(|| {
            let neighbour = Neighbour::new();
            assert_eq!(done(carboy.run(["boot"])), "web\nclient");
            assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
            for at in ["192.0.2.1:8080", "[2001:db8::1]:8080"] {
                assert_eq!(neighbour.page(at).as_deref(), Some("web"), "{at}");
            }
            assert_eq!(neighbour.page("198.51.100.7:80"), None);
            assert_eq!(address(carboy, "web", "back"), "198.51.100.7");
            assert!(pings(carboy, "client", "web") && pings(carboy, "web", "client"));
            done(carboy.run(words("rm -f web client")));
            done(carboy.run(words("network rm back")));
            assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
            assert_eq!(own_processes(carboy), Vec::<i32>::new());
        });
    });
}
