//! What of networks cannot be had: one line with the field, the value and the reason, one that says what to do, and Docker's
//! exit code.

use std::net::TcpListener;

use carboy_e2e::network::{Neighbour, alone, done, serve, served, start, tables, words};
use carboy_e2e::user::User;
use carboy_e2e::{Carboy, Ended};

/// The command's words, its exit code, what it says, and its hint.
type Case<'c> = (&'c str, i32, &'c str, &'c str);

fn refused(ended: &Ended, (line, code, said, hint): Case<'_>) {
    let expected = format!("error: cannot use {said}\nhint: {hint}\n");
    let told = (ended.code, ended.stdout.as_str(), ended.stderr.as_str());
    assert_eq!(told, (code, "", expected.as_str()), "{line}");
}

fn each_refused(carboy: &Carboy, cases: &[Case<'_>]) {
    let root = carboy.busybox().display().to_string();
    for case in cases {
        let (line, ..) = *case;
        let mut all = words(line);
        if line.starts_with("run") {
            all.extend([root.as_str(), "true"]);
        }
        refused(&carboy.run(all), *case);
    }
}

const OVERLAPS: &str = "choose another subnet, or none: then a free one is taken";
const NO_HOSTS: &str = "choose a private one, such as 10.89.0.0/16 or fd00:89::/64, or none";
const LISTS: &str = "carboy network ls lists all networks";
const NET: &str = "use an address and the length of its prefix: 192.0.2.0/24";
const ANOTHER: &str = "choose another address, or none";
const NONE: &str = " when using none network mode";
const PORT: &str = "use [ADDRESS:][HOST:]CONTAINER, such as 8080:80, 127.0.0.1:53:53/udp or 9000-9010:9000-9010";
const OTHER_PORT: &str = "choose another port, or leave the host's port out";

const CREATE: &[Case<'_>] = &[
    (
        "network create",
        1,
        "network create: it needs the name of one network",
        "for example: carboy network create back",
    ),
    (
        "network create back",
        1,
        "the network back: network with this name already exists",
        "choose another name, or remove it first",
    ),
    (
        "network create --subnet 198.51.100.128/25 over",
        1,
        "--subnet 198.51.100.128/25: has addresses in common with the network back, 198.51.100.0/24",
        OVERLAPS,
    ),
    (
        "network create --subnet 192.0.0.0/16 over",
        1,
        "--subnet 192.0.0.0/16: has addresses in common with a route of this host, 192.0.2.0/24",
        OVERLAPS,
    ),
    (
        "network create --subnet 127.1.0.0/16 over",
        1,
        "--subnet 127.1.0.0/16: has addresses that no host can have, of 127.0.0.0/8",
        NO_HOSTS,
    ),
    (
        "network create --subnet ff02::/64 over",
        1,
        "--subnet ff02::/64: has addresses that no host can have, of ff00::/8",
        NO_HOSTS,
    ),
    (
        "network create -d overlay over",
        1,
        "--driver overlay: is no driver of networks here",
        "use bridge, macvlan or ipvlan",
    ),
    ("network create --subnet nonsense over", 1, "--subnet nonsense: is no range of addresses", NET),
    (
        "network create --subnet 203.0.113.0/24 --ip-range 203.0.113/25 over",
        1,
        "--ip-range 203.0.113/25: is no range of addresses",
        NET,
    ),
    (
        "network create --subnet 203.0.113.0/24 --gateway 203.0.112.1 over",
        1,
        "--gateway 203.0.112.1: is in no subnet",
        "give its subnet, too, by --subnet",
    ),
    ("network create --ipv6=maybe over", 125, "--ipv6 maybe: is neither true nor false", "--ipv6 or --ipv6=false"),
    (
        "network create -d macvlan -o parent=nosuch over",
        1,
        "--opt parent=nosuch: is no link of this host",
        "ip link shows the links of this host",
    ),
    (
        "network rm back",
        1,
        "the network back: network has active endpoints: web",
        "carboy network disconnect back CONTAINER, or stop them first",
    ),
    ("network rm nosuch", 1, "the network nosuch: network not found", LISTS),
    (
        "network rm bridge",
        1,
        "the network bridge: is a pre-defined network and cannot be removed",
        "carboy network prune takes its bridge away while nobody is on it",
    ),
];

const CONNECT: &[Case<'_>] = &[
    (
        "network connect back web",
        1,
        "the container web: endpoint with name web already exists in network back",
        "carboy network disconnect back web takes it off",
    ),
    (
        "network disconnect back plain",
        1,
        "the container plain: is not connected to network back",
        "carboy inspect plain shows its networks",
    ),
    ("network connect --ip 198.51.100.7 back plain", 1, "--ip 198.51.100.7: is in use by the container web", ANOTHER),
    (
        "network connect --ip 198.51.100.1 back plain",
        1,
        "--ip 198.51.100.1: is the host's address in back, 198.51.100.0/24",
        "choose another address of the subnet, or none",
    ),
    (
        "network connect --ip 300.1.1.1 back plain",
        125,
        "--ip 300.1.1.1: is no such address",
        "use one address: 192.0.2.7, or 2001:db8::7 where it is of IPv6",
    ),
    (
        "network connect back hosted",
        1,
        "the container hosted: container sharing network namespace with the host cannot be connected to any other network",
        "make it anew without this --network",
    ),
    ("network connect back nosuch", 1, "the container nosuch: no such container", "carboy ps -a lists all containers"),
];

const RUN: &[Case<'_>] = &[
    (
        "run --rm --network back --network back",
        125,
        "--network back: is specified multiple times",
        "name each network once",
    ),
    ("run --rm --network nosuch", 125, "the network nosuch: network not found", LISTS),
    ("run --rm --network back --ip 198.51.100.7", 125, "--ip 198.51.100.7: is in use by the container web", ANOTHER),
    (
        "run --rm --network back --ip 203.0.113.7",
        125,
        "--ip 203.0.113.7: is in no subnet of the network back",
        "carboy network inspect shows its subnets",
    ),
    ("run --rm --network back -p 8080:80", 125, "--publish 8080/tcp: is taken by the container web", OTHER_PORT),
    ("run --rm --network back -p 65536:80", 125, "--publish 65536:80: \"65536\" is no port of the host", PORT),
    ("run --rm --network back -p 80:65536", 125, "--publish 80:65536: \"65536\" is no port of a container", PORT),
    (
        "run --rm --network back -p 192.0.2.9:80:80",
        125,
        "--publish 192.0.2.9: is no address of this host",
        "ip address shows those that it has",
    ),
];

#[test]
fn what_cannot_be_had_of_networks_is_named_with_its_value_and_what_to_do() {
    alone(|carboy| {
        let _neighbour = Neighbour::new();
        done(carboy.run(words("network create --subnet 198.51.100.0/24 back")));
        serve(carboy, "web", "--network back --ip 198.51.100.7 -p 8080:80");
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
        start(carboy, "plain", "--network bridge", "exec sleep 300");
        start(carboy, "hosted", "--network host", "exec sleep 300");
        for cases in [CREATE, CONNECT, RUN] {
            each_refused(carboy, cases);
        }
        let listener = TcpListener::bind("0.0.0.0:9999").unwrap();
        let (pid, comm) = (std::process::id(), std::fs::read_to_string("/proc/self/comm").unwrap());
        let taken = format!("--publish 9999/tcp: is taken by the process {pid}, {}", comm.trim());
        each_refused(carboy, &[("run --rm --network back -p 9999:80", 125, &taken, OTHER_PORT)]);
        drop(listener);
        // Nothing is left of what was refused.
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
        done(carboy.run(words("rm -f web plain hosted")));
        done(carboy.run(words("network rm back")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn a_user_without_rights_is_told_so_before_anything_is_made() {
    alone(|_| {
        let user = User::new(61_208);
        let reason = "cannot be had by a user: the kernel lets root alone change the host's network";
        for line in ["network create back", "network connect back web"] {
            refused(&user.run(&words(line)), (line, 1, &format!("the network back: {reason}"), "use sudo carboy …"));
        }
        let line = format!("run --rm --network back {} true", user.root());
        let joined = "cannot be joined by a user's container: the kernel lets root alone change the host's network";
        let case = (line.as_str(), 125, &*format!("--network back: {joined}"), "use none or host, or sudo carboy …");
        refused(&user.run(&words(&line)), case);
        for (flags, why) in [("-p 80:80", ": a user's container is on no network"), ("--network none -p 80:80", NONE)] {
            let ended = user.run(&words(&format!("run --rm {flags} {} true", user.root())));
            let said = format!("carboy: published ports are discarded{why}\n");
            assert_eq!((ended.code, ended.stderr), (0, said), "it is said once: {flags}");
        }
        assert_eq!(tables(), "");
    });
}
