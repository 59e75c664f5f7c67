//! Published ports at the host's `::1`, which the kernel forwards nothing for by itself.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use carboy_e2e::network::{
    Neighbour, alone, answer, answered, done, nft, page, pid, place, serve, served, tables, within, words,
};

/// Whether the host filters bridged packets of IPv6.
fn filter(value: &str) {
    fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", value).unwrap();
}

fn routes() -> String {
    let words = ["-6", "route", "show", "table", "local", "::1"];
    String::from_utf8(Command::new("ip").args(words).output().unwrap().stdout).unwrap()
}

#[test]
fn a_port_at_the_loopback_of_ipv6_is_the_hosts_alone_by_tcp_and_udp_and_back_after_a_flush() {
    alone(|carboy| {
        filter("0");
        let before = routes();
        let neighbour = Neighbour::new();
        done(carboy.run(words("network create other")));
        serve(carboy, "inner", "--network bridge -p [::1]:8081:80 -p [::1]:8053:53/udp");
        serve(carboy, "open", "--network other -p 8080:80");
        answer(&pid(carboy, "inner"));
        let check = || {
            assert_eq!(served("[::1]:8081").as_deref(), Some("inner"));
            assert_eq!(answered("[::1]:8053").as_deref(), Some("OVER"));
            assert_eq!(served("[::1]:8080").as_deref(), Some("open"));
            assert_eq!(page("[2001:db8::1]:8080").as_deref(), Some("open"));
            assert_eq!(page("[2001:db8::1]:8081"), None);
            assert_eq!(page("127.0.0.1:8081"), None);
            assert_eq!(neighbour.page("[2001:db8::1]:8081"), None);
            assert_eq!(neighbour.page("[::1]:8081"), None);
        };
        check();
        nft("flush ruleset");
        done(carboy.run(words("network reload")));
        check();
        assert!(done(carboy.run(["port", "inner"])).contains("80/tcp -> [::1]:8081"));
        done(carboy.run(words("rm -f inner open")));
        done(carboy.run(words("network rm other")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), tables(), routes()), (Vec::new(), String::new(), before));
    });
}

/// How many packets of IPv6 this host has dropped for what their headers say.
fn dropped() -> u64 {
    let counted = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    counted.lines().find_map(|line| line.strip_prefix("Ip6InHdrErrors")).unwrap().trim().parse().unwrap()
}

/// Has the namespace of a process send what is for `::1` to a gateway, as no sane one does.
fn misroute(pid: &str, gateway: &str) {
    for line in ["ip -6 addr del ::1/128 dev lo", &format!("ip -6 route add ::1/128 via {gateway}")] {
        let ended = Command::new("nsenter").args(["-t", pid, "-n"]).args(words(line)).output().unwrap();
        assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn neither_a_container_nor_a_neighbour_reaches_the_hosts_own_loopback_even_without_the_firewall() {
    alone(|carboy| {
        filter("0");
        let neighbour = Neighbour::new();
        serve(carboy, "inner", "--network bridge -p [::1]:8081:80");
        assert_eq!(served("[::1]:8081").as_deref(), Some("inner"));
        answer(&rustix::thread::gettid().as_raw_nonzero().to_string());
        assert_eq!(answered("[::1]:53").as_deref(), Some("OVER"));
        let (inner, far) = (pid(carboy, "inner"), neighbour.pid());
        misroute(&inner, &place(carboy, "inner", "bridge", "IPv6Gateway"));
        misroute(&far, "2001:db8::1");
        for firewall in ["there", "flushed"] {
            for pid in [&inner, &far] {
                let before = dropped();
                let told = within(pid, || (answered("[::1]:53"), page("[::1]:8081")));
                assert_eq!(told, (None, None), "the firewall is {firewall}");
                assert!(dropped() >= before + 2, "what was sent came to the host");
            }
            nft("flush ruleset");
        }
        assert_eq!(within(&far, || answered("[2001:db8::1]:53")).as_deref(), Some("OVER"), "they do reach the host");
        done(carboy.run(words("rm -f inner")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}

#[test]
fn a_host_that_filters_bridged_packets_refuses_it_and_answers_at_once_that_nobody_is_there() {
    alone(|carboy| {
        filter("1");
        serve(carboy, "open", "--network bridge -p 8080:80");
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("open"));
        let refused = TcpStream::connect("[::1]:8080").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let root = carboy.busybox();
        let line = words("run --rm --network bridge -p [::1]:8081:80");
        let refused = carboy.run([line, vec![root.to_str().unwrap(), "true"]].concat());
        assert_eq!(refused.code, 125);
        assert!(refused.stderr.contains("net.bridge.bridge-nf-call-ip6tables=0"), "{}", refused.stderr);
        filter("0");
        done(carboy.run(words("network reload")));
        assert_eq!(served("[::1]:8080").as_deref(), Some("open"));
        done(carboy.run(words("rm -f open")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), String::new()));
    });
}
