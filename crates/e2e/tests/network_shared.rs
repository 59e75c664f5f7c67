//! Networks that share a link of the host: their containers are the neighbour's neighbours, and not the host's.

use std::process::Command;

use carboy_e2e::network::{Neighbour, address, alone, done, place, serve, tables, words};
use carboy_e2e::{Carboy, eventually};

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
