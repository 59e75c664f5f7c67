//! Networks that share a link of the host: their containers are the neighbour's neighbours, and not the host's, and find each
//! other by name all the same.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use carboy_e2e::names::{Told, addresses, asked, finds, nothing_left, resolvers, serve_names};
use carboy_e2e::network::{Neighbour, address, alone, done, ip, pid, place, serve, start, tables, within, words};
use carboy_e2e::{Carboy, ended, eventually};
use domain::base::iana::{Rcode, Rtype};

const IDLE: &str = "exec sleep 1000";

fn shares(carboy: &Carboy, driver: &str) {
    let neighbour = Neighbour::new();
    let create = format!(
        "network create -d {driver} -o parent=out --subnet 192.0.2.0/24 --gateway 192.0.2.2 \
         --ip-range 192.0.2.128/25 lan"
    );
    done(carboy.run(create.split_whitespace()));
    serve(carboy, "shared", "--network lan");
    let own = address(carboy, "shared", "lan");
    assert!(own.starts_with("192.0.2.1") || own.starts_with("192.0.2.2"), "{own}");
    eventually("the neighbour reaches it", || neighbour.page(&format!("{own}:80")).as_deref() == Some("shared"));
    assert_eq!(place(carboy, "shared", "lan", "Gateway"), "192.0.2.2");
    done(carboy.run(words("exec shared ping -c1 -W2 192.0.2.2")));
    let restarted = carboy.run(words("restart -t 0 shared"));
    assert_eq!(restarted.code, 0, "{}", restarted.stderr);
    let again = address(carboy, "shared", "lan");
    eventually("the neighbour reaches it again", || {
        neighbour.page(&format!("{again}:80")).as_deref() == Some("shared")
    });
    done(carboy.run(words("rm -f shared")));
    done(carboy.run(words("network rm lan")));
    assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
}

fn create(carboy: &Carboy, driver: &str, more: &str) {
    let line = format!(
        "network create -d {driver} -o parent=out --subnet 192.0.2.0/24 --gateway 192.0.2.2 --ip-range 192.0.2.128/25 \
         --subnet 2001:db8::/64 {more}"
    );
    done(carboy.run(line.split_whitespace()));
}

fn id(carboy: &Carboy, name: &str) -> String {
    done(carboy.run(["inspect", "--format", "{{.Id}}", name]))
}

/// Has the servers that this host's containers are told to ask answer in this namespace.
fn serve_names_as_the_host() {
    let conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = conf.lines().filter_map(|line| line.strip_prefix("nameserver ")).map(str::trim);
    let named: Vec<&str> = named.collect();
    for server in if named.is_empty() { vec!["127.0.0.1"] } else { named } {
        if !server.starts_with("127.") {
            ip(&format!("addr add {server} dev lo"));
        }
        serve_names(server);
    }
}

fn has_names(carboy: &Carboy, driver: &str) {
    let _neighbour = Neighbour::new();
    serve_names_as_the_host();
    create(carboy, driver, "lan");
    start(carboy, "web", "--network lan --network-alias both", IDLE);
    start(carboy, "db", "--network name=lan,alias=both", IDLE);
    let (web, db) = (address(carboy, "web", "lan"), address(carboy, "db", "lan"));
    let id_of_db = id(carboy, "db");
    for name in ["db", "DB", "db.lan", &id_of_db[..12]] {
        assert_eq!(addresses(carboy, "web", name), [db.as_str()], "{name}");
    }
    let both: BTreeSet<String> = [web, db.clone()].into();
    assert_eq!(finds(carboy, "web", "both", Rtype::A).data, both);
    let six = place(carboy, "db", "lan", "GlobalIPv6Address");
    assert_eq!(finds(carboy, "web", "db", Rtype::AAAA).data, BTreeSet::from([six]));
    let mut reversed: Vec<&str> = db.split('.').collect();
    reversed.reverse();
    let pointer = finds(carboy, "web", &format!("{}.in-addr.arpa", reversed.join(".")), Rtype::PTR);
    assert_eq!(pointer.data, BTreeSet::from(["db.lan.".to_owned()]));
    assert_eq!(addresses(carboy, "web", "example.org"), ["198.51.100.99"]);
    done(carboy.run(words("exec web ping -c1 -W2 db")));

    done(carboy.run(words("rename db sql")));
    assert_eq!(addresses(carboy, "web", "sql"), [db.as_str()]);
    assert_eq!(addresses(carboy, "web", "db"), ["198.51.100.99"], "nobody of ours is called so");
    done(carboy.run(words("restart -t 0 sql")));
    assert_eq!(addresses(carboy, "web", "sql"), [address(carboy, "sql", "lan")]);
    assert_eq!(addresses(carboy, "sql", "web"), [address(carboy, "web", "lan")]);
    assert_eq!(resolvers(&carboy.folder().display().to_string()).len(), 2);
    done(carboy.run(words("rm -f sql web")));
    done(carboy.run(words("network rm lan")));
    nothing_left(carboy);
}

#[test]
fn those_on_a_macvlan_network_find_each_other_by_name_and_by_alias_and_others_by_the_hosts_servers() {
    alone(|carboy| has_names(carboy, "macvlan"));
}

#[test]
fn those_on_an_ipvlan_network_find_each_other_by_name_where_the_kernel_has_such_links() {
    if can_make("ipvlan") {
        alone(|carboy| has_names(carboy, "ipvlan"));
    }
}

#[test]
fn who_comes_to_a_macvlan_network_and_leaves_it_while_it_runs_finds_those_who_are_there_at_the_moment() {
    alone(|carboy| {
        let _neighbour = Neighbour::new();
        create(carboy, "macvlan", "lan");
        done(carboy.run(words("network create two")));
        start(carboy, "far", "--network two", IDLE);
        start(carboy, "db", "--network lan", IDLE);
        start(carboy, "web", "--network two", IDLE);
        let links = |name: &str| done(carboy.run(["exec", name, "ls", "/sys/class/net"]));
        assert_eq!(links("web").split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);

        done(carboy.run(words("network connect --alias guest lan web")));
        assert_eq!(addresses(carboy, "db", "guest"), [address(carboy, "web", "lan")]);
        for server in ["first", "last"] {
            let conf = done(carboy.run(words("exec web cat /etc/resolv.conf")));
            let mut servers = conf.lines().filter_map(|line| line.strip_prefix("nameserver "));
            let at = if server == "first" { servers.next() } else { servers.next_back() }.unwrap().to_owned();
            for (name, there) in [("db", ("db", "lan")), ("far", ("far", "two"))] {
                let told = {
                    let at = at.clone();
                    within(&pid(carboy, "web"), move || asked(&at, name, Rtype::A))
                };
                assert_eq!(told.unwrap().data, BTreeSet::from([address(carboy, there.0, there.1)]), "{name} at {at}");
            }
        }
        assert_eq!(resolvers(&id(carboy, "web")).len(), 1);
        done(carboy.run(words("network disconnect lan web")));
        assert_eq!(links("web").split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
        assert_eq!(finds(carboy, "db", "guest", Rtype::A).data, BTreeSet::new());
        assert_eq!(finds(carboy, "web", "db", Rtype::A).data, BTreeSet::new());
        assert_eq!(addresses(carboy, "web", "far"), [address(carboy, "far", "two")]);
        done(carboy.run(words("network connect lan web")));
        done(carboy.run(words("network disconnect two web")));
        assert_eq!(addresses(carboy, "web", "db"), [address(carboy, "db", "lan")]);
        assert_eq!(finds(carboy, "web", "far", Rtype::A).data, BTreeSet::new());
        done(carboy.run(words("rm -f web db far")));
        done(carboy.run(words("network rm lan two")));
        nothing_left(carboy);
    });
}

#[test]
fn a_resolver_in_a_containers_namespace_leaves_port_53_free_comes_back_and_ends_with_the_container() {
    alone(|carboy| {
        let _neighbour = Neighbour::new();
        create(carboy, "macvlan", "lan");
        start(carboy, "web", "--network lan", IDLE);
        let (own, of_web) = (address(carboy, "web", "lan"), id(carboy, "web"));
        start(carboy, "guest", "--network container:web", IDLE);
        let of_guest = within(&pid(carboy, "guest"), || asked("127.0.0.11", "web", Rtype::A));
        assert_eq!(of_guest.unwrap().data, BTreeSet::from([own.clone()]));
        assert_eq!(addresses(carboy, "guest", "web"), [own.as_str()], "it has its resolv.conf as well");
        within(&pid(carboy, "web"), || {
            let _taken = (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap());
            assert!(asked("127.0.0.11", "web", Rtype::A).is_some());
        });

        let [resolver] = resolvers(&of_web)[..] else { panic!("no resolver") };
        ended(Command::new("kill").args(["-9", &resolver.to_string()]));
        done(carboy.run(words("network reload")));
        assert_eq!(addresses(carboy, "web", "web"), [own.as_str()]);
        within(&pid(carboy, "web"), || carboy_e2e::network::nft("flush ruleset"));
        done(carboy.run(words("network reload")));
        assert_eq!(addresses(carboy, "web", "web"), [own.as_str()]);
        assert_eq!(resolvers(&of_web).len(), 1);

        // Those who would clean up behind it are gone, and somebody else is still in its namespace.
        let process = pid(carboy, "web");
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let monitor = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap();
        ended(Command::new("kill").args(["-9", monitor, &process]));
        eventually("the resolver has ended", || resolvers(&of_web).is_empty());
        done(carboy.run(words("rm -f web guest")));
        done(carboy.run(words("network rm lan")));
        nothing_left(carboy);
    });
}

#[test]
fn a_containers_own_servers_are_asked_from_where_it_is_and_from_an_internal_macvlan_network_nobody() {
    alone(|carboy| {
        let neighbour = Neighbour::new();
        // The host itself does not reach it.
        assert!(neighbour.run("ip addr add 203.0.113.53/32 dev lo").status.success());
        within(&neighbour.pid(), || serve_names("203.0.113.53"));
        create(carboy, "macvlan", "lan");
        start(carboy, "asks", "--network lan --dns 203.0.113.53 --dns 127.0.0.11", IDLE);
        assert_eq!(addresses(carboy, "asks", "example.org"), ["198.51.100.99"]);
        assert_eq!(addresses(carboy, "asks", "asks"), [address(carboy, "asks", "lan")]);
        done(carboy.run(words("rm -f asks")));
        start(carboy, "itself", "--network lan --dns 127.0.0.11", IDLE);
        assert_eq!(finds(carboy, "itself", "example.org", Rtype::A).rcode, Rcode::SERVFAIL);
        done(carboy.run(words("rm -f itself")));
        done(carboy.run(words("network rm lan")));

        create(carboy, "macvlan", "--internal shut");
        start(carboy, "inner", "--network shut --dns 203.0.113.53", IDLE);
        let refused = finds(carboy, "inner", "example.org", Rtype::A);
        assert_eq!(refused, Told { rcode: Rcode::NXDOMAIN, data: BTreeSet::new() });
        assert_eq!(addresses(carboy, "inner", "inner"), [address(carboy, "inner", "shut")]);
        done(carboy.run(words("rm -f inner")));
        done(carboy.run(words("network rm shut")));
        nothing_left(carboy);
    });
}

#[test]
fn a_container_of_a_macvlan_network_is_on_the_link_itself() {
    alone(|carboy| shares(carboy, "macvlan"));
}

#[test]
fn a_container_of_an_ipvlan_network_is_on_the_link_itself_or_the_kernel_is_told_of() {
    alone(|carboy| {
        if can_make("ipvlan") {
            return shares(carboy, "ipvlan");
        }
        let _neighbour = Neighbour::new();
        done(carboy.run(words("network create -d ipvlan -o parent=out --subnet 192.0.2.0/24 lan")));
        let root = carboy.busybox();
        let refused = carboy.run(["run", "--rm", "--network", "lan", root.to_str().unwrap_or_default(), "true"]);
        assert_eq!(refused.code, 125);
        assert!(refused.stderr.contains("this kernel has no links of this kind"), "{}", refused.stderr);
        done(carboy.run(words("network rm lan")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

/// Whether the kernel has links of this kind.
fn can_make(kind: &str) -> bool {
    let try_it = format!("ip link add one type veth peer name two && ip link add probe link one type {kind}");
    let made = Command::new("unshare").args(["-n", "sh", "-c", &try_it]).output();
    made.is_ok_and(|made| made.status.success())
}

#[test]
fn one_link_is_shared_in_one_way_alone() {
    alone(|carboy| {
        let _neighbour = Neighbour::new();
        for (driver, name) in [("macvlan", "mac"), ("ipvlan", "ip")] {
            let create = format!("network create -d {driver} -o parent=out --subnet 192.0.2.0/24 {name}");
            let made = carboy.run(create.split_whitespace());
            if driver == "ipvlan" {
                // The same addresses on the same link are one network's.
                assert_eq!(made.code, 1, "{}", made.stderr);
                assert!(made.stderr.contains("has addresses in common with the network mac"), "{}", made.stderr);
            } else {
                assert_eq!(made.code, 0, "{}", made.stderr);
            }
        }
        let absent = carboy.run(words("network create -d macvlan -o parent=nosuch --subnet 198.51.100.0/24 far"));
        assert_eq!(absent.code, 1);
        assert!(absent.stderr.contains("is no link of this host"), "{}", absent.stderr);
        done(carboy.run(words("network rm mac")));
    });
}
