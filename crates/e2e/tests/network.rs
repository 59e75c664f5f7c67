//! Networks: containers that reach each other and those that do not, published ports, and that nothing is left. Each test
//! has a network namespace of its own, with a neighbour in another.

use std::process::Command;

use carboy_e2e::network::{Neighbour, address, alone, done, pings, serve, served, tables, words};

#[test]
fn those_on_one_network_reach_each_other_and_those_on_two_do_not() {
    alone(|carboy| {
        for network in ["one", "two"] {
            done(carboy.run(["network", "create", network]));
        }
        serve(carboy, "first", "--network one");
        serve(carboy, "second", "--network one");
        serve(carboy, "third", "--network two");
        let second = address(carboy, "second", "one");
        let third = address(carboy, "third", "two");
        assert!(pings(carboy, "first", &second));
        assert!(!pings(carboy, "first", &third));
        done(carboy.run(["network", "connect", "two", "first"]));
        assert!(pings(carboy, "first", &third));
        done(carboy.run(["network", "disconnect", "two", "first"]));
        assert!(!pings(carboy, "first", &third));
        let refused = carboy.run(["network", "rm", "one"]);
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        assert!(refused.stderr.contains("network has active endpoints: first, second"), "{}", refused.stderr);
        done(carboy.run(["rm", "-f", "first", "second", "third"]));
        done(carboy.run(["network", "rm", "one", "two"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn a_port_is_published_to_whom_it_is_meant_for_and_back_after_a_flush() {
    alone(|carboy| {
        let neighbour = Neighbour::new();
        serve(carboy, "open", "--network bridge -p 8080:80");
        serve(carboy, "inner", "--network bridge -p 127.0.0.1:8081:80");
        let own = address(carboy, "open", "bridge");
        let check = || {
            assert_eq!(served("127.0.0.1:8080").as_deref(), Some("open"));
            assert_eq!(served("127.0.0.1:8081").as_deref(), Some("inner"));
            assert_eq!(neighbour.page("192.0.2.1:8080").as_deref(), Some("open"));
            assert_eq!(neighbour.page("192.0.2.1:8081"), None);
            assert_eq!(neighbour.page(&format!("{own}:80")), None);
            // By another container, through the host.
            let ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 192.0.2.1 8080";
            let got = done(carboy.run(["exec", "inner", "sh", "-c", ask]));
            assert_eq!(got.lines().last(), Some("open"));
        };
        check();
        assert!(Command::new("nft").args(["flush", "ruleset"]).status().unwrap().success());
        done(carboy.run(["network", "reload"]));
        check();
        let taken = carboy.run([
            "run",
            "--rm",
            "--network",
            "bridge",
            "-p",
            "8080:80",
            carboy.busybox().to_str().unwrap(),
            "true",
        ]);
        assert_eq!(taken.code, 125);
        assert!(taken.stderr.contains("is taken by the container"), "{}", taken.stderr);
        done(carboy.run(["rm", "-f", "open", "inner"]));
        done(carboy.run(["network", "prune", "-f"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn who_is_on_an_internal_network_has_no_way_out_and_a_fixed_address_is_kept_over_a_restart() {
    alone(|carboy| {
        done(carboy.run(words("network create --internal --subnet 198.51.100.0/24 shut")));
        serve(carboy, "fixed", "--network shut --ip 198.51.100.77");
        assert_eq!(done(carboy.run(words("exec fixed ip route"))).lines().count(), 1);
        done(carboy.run(words("restart -t 0 fixed")));
        assert_eq!(address(carboy, "fixed", "shut"), "198.51.100.77");
        let root = carboy.busybox();
        let again = ["run", "--rm", "--network", "shut", "--ip", "198.51.100.77", root.to_str().unwrap(), "true"];
        let refused = carboy.run(again);
        assert!(refused.stderr.contains("is in use by the container"), "{}", refused.stderr);
        for (line, expected) in [
            ("network create --subnet 198.51.100.128/25 over", "has addresses in common with the network shut"),
            ("network create shut", "network with this name already exists"),
            ("network rm bridge", "pre-defined network"),
            ("network rm nosuch", "network not found"),
        ] {
            let refused = carboy.run(words(line));
            assert_eq!(refused.code, 1, "{line}");
            assert!(refused.stderr.contains(expected), "{line}: {}", refused.stderr);
        }
        done(carboy.run(["rm", "-f", "fixed"]));
        done(carboy.run(["network", "rm", "shut"]));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}
