//! Hosts whose own firewall drops what is forwarded: it is told, and one command lets a network through.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::process::Command;

use carboy_e2e::Carboy;
use carboy_e2e::docker::Docker;
use carboy_e2e::network::{
    Neighbour, address, alone, done, nft, pid, pings, serve, served, start, tables, within, words,
};
use rustix::process::Signal;

/// A host's firewall of IPv4 and IPv6, as somebody writes it by hand.
const HAND: &str =
    "table inet hand { chain fw { type filter hook forward priority 5; policy drop; ct state established accept; }; }";

/// Whether a container reaches the neighbour, and the neighbour its port, by IPv4 and by IPv6.
fn reached(carboy: &Carboy, neighbour: &Neighbour) -> [bool; 4] {
    let out = |at: &'static str| within(&pid(carboy, "web"), move || carboy_e2e::network::page(at).is_some());
    [
        out("192.0.2.2:80"),
        out("[2001:db8::2]:80"),
        neighbour.page("192.0.2.1:8080").is_some(),
        neighbour.page("[2001:db8::1]:8080").is_some(),
    ]
}

/// Whether the host filters bridged packets.
fn filter(value: &str) {
    std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", value).unwrap();
}

/// A server of the neighbour's, as long as the neighbour is there.
fn serve_there(neighbour: &Neighbour) {
    assert!(neighbour.run("busybox httpd -p 80 -h /usr/share/common-licenses").status.success());
}

/// A neighbour with a server, and a container web with one whose port is published, on the network six that has IPv6.
fn with_six(carboy: &Carboy) -> Neighbour {
    let neighbour = Neighbour::new();
    serve_there(&neighbour);
    done(carboy.run(words("network create --ipv6 six")));
    serve(carboy, "web", "--network six -p 8080:80");
    assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
    neighbour
}

fn stderr(carboy: &Carboy, line: &str) -> String {
    let ended = carboy.run(words(line));
    assert_eq!(ended.code, 0, "{line}: {}", ended.stderr);
    ended.stderr
}

#[test]
fn a_host_that_drops_what_is_forwarded_is_told_of_and_opened_until_the_network_is_removed() {
    alone(|carboy| {
        let neighbour = with_six(carboy);
        assert_eq!(reached(carboy, &neighbour), [true; 4]);
        assert_eq!(stderr(carboy, "network ls"), "");
        nft(HAND);
        let before = foreign();
        assert_eq!(reached(carboy, &neighbour), [false; 4]);
        let told =
            "what is forwarded for the network six is dropped by inet hand fw: carboy network open six lets it through";
        assert!(stderr(carboy, "network ls").contains(told));
        let check = carboy.run(["system", "check", "--repair"]);
        assert_eq!((check.code, check.stdout.trim()), (1, told));
        let root = carboy.busybox();
        let run = carboy.run([words("run --rm --network six"), vec![root.to_str().unwrap(), "true"]].concat());
        assert_eq!(run.stderr.trim(), format!("carboy: {told}"));
        start(carboy, "late", "--network bridge", "exec sleep 300");
        assert!(stderr(carboy, "network connect six late").contains(told));
        let shut_by = ["network", "inspect", "--format", "{{.ShutBy}}", "six"];
        assert_eq!(done(carboy.run(shut_by)), "[inet hand fw]");
        done(carboy.run(words("network open six")));
        assert_eq!(reached(carboy, &neighbour), [true; 4]);
        assert_eq!((done(carboy.run(shut_by)), carboy.run(["system", "check"]).code), ("[]".to_owned(), 1));
        done(carboy.run(words("rm -f late")));
        assert_eq!(carboy.run(["system", "check"]).stdout, "");
        // What others flush is back when the next container comes.
        nft("flush ruleset");
        nft(HAND);
        done(carboy.run(words("restart -t 0 web")));
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
        assert_eq!(reached(carboy, &neighbour), [true; 4]);
        done(carboy.run(words("rm -f web")));
        done(carboy.run(words("network rm six")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), tables()), (Vec::new(), before));
    });
}

/// All tables but carboy's, which the tests' carboy calls by its folders.
fn foreign() -> String {
    let listed = Command::new("nft").args(["list", "table", "inet", "hand"]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn a_host_with_dockers_chains_is_opened_in_the_one_for_others_and_iptables_shows_it() {
    alone(|carboy| {
        let iptables = |line: &str| {
            let ended = Command::new("iptables").args(words(line)).output().unwrap();
            assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
            String::from_utf8(ended.stdout).unwrap()
        };
        let neighbour = Neighbour::new();
        serve_there(&neighbour);
        for line in
            ["-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-P FORWARD DROP", "-A FORWARD -o docker0 -j ACCEPT"]
        {
            iptables(line);
        }
        let before = iptables("-S");
        serve(carboy, "web", "--network bridge -p 8080:80");
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
        assert_eq!(neighbour.page("192.0.2.1:8080"), None);
        assert!(stderr(carboy, "network ls").contains("dropped by ip filter FORWARD: carboy network open bridge"));
        done(carboy.run(words("network open bridge")));
        done(carboy.run(words("network open bridge")));
        assert_eq!(neighbour.page("192.0.2.1:8080").as_deref(), Some("web"));
        let shown = iptables("-S DOCKER-USER");
        assert_eq!(shown.matches("ACCEPT").count(), 2, "{shown}");
        assert!(shown.contains("-m comment --comment carboy"), "{shown}");
        assert_eq!(iptables("-S FORWARD").matches("ACCEPT").count(), 1);
        done(carboy.run(words("rm -f web")));
        done(carboy.run(words("network prune -f")));
        assert_eq!(iptables("-S"), before);
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    });
}

/// Runs a program of iptables, and gives what it says.
fn tool(line: &str) -> String {
    let all = words(line);
    let ended = Command::new(all[0]).args(&all[1..]).output().unwrap();
    assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn a_host_that_drops_by_iptables_legacy_form_is_told_of_and_opened_by_the_same() {
    alone(|carboy| {
        let neighbour = with_six(carboy);
        for program in ["iptables-legacy", "ip6tables-legacy"] {
            tool(&format!("{program} -P FORWARD DROP"));
            tool(&format!("{program} -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"));
        }
        let shown = || ["iptables-legacy -S FORWARD", "ip6tables-legacy -S FORWARD"].map(tool);
        let before = shown();
        assert_eq!(reached(carboy, &neighbour), [false; 4]);
        let told =
            "is dropped by iptables-legacy FORWARD, ip6tables-legacy FORWARD: carboy network open six lets it through";
        assert!(stderr(carboy, "network ls").contains(told), "{}", stderr(carboy, "network ls"));
        done(carboy.run(words("network open six")));
        done(carboy.run(words("network open six")));
        assert_eq!(reached(carboy, &neighbour), [true; 4]);
        assert_eq!(stderr(carboy, "network ls"), "");
        for shown in shown() {
            assert_eq!(shown.matches("--comment carboy -j ACCEPT").count(), 2, "{shown}");
        }
        // What others flush is back when the next container comes.
        tool("iptables-legacy -F FORWARD");
        done(carboy.run(words("restart -t 0 web")));
        assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
        tool("iptables-legacy -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT");
        assert_eq!(reached(carboy, &neighbour), [true; 4]);
        done(carboy.run(words("rm -f web")));
        done(carboy.run(words("network rm six")));
        done(carboy.run(words("network prune -f")));
        assert_eq!((carboy.left_behind(), tables(), shown()), (Vec::new(), String::new(), before));
    });
}

/// DOCKER-USER as iptables shows it.
fn docker_user(docker: &Docker) -> String {
    docker.engine.run(["iptables", "-S", "DOCKER-USER"]).stdout
}

fn beside(docker: &mut Docker, carboy: &Carboy) {
    let neighbour = Neighbour::new();
    // As Docker itself does on a host that did not forward before.
    assert_eq!(docker.engine.run(["iptables", "-P", "FORWARD", "DROP"]).code, 0);
    let before = docker_user(docker);
    let server = ["sh", "-c", "echo docker > /tmp/index.html && exec httpd -f -p 80 -h /tmp"];
    docker.detach("theirs", &["-p", "9090:80", "--stop-timeout", "1"], &server);
    serve(carboy, "web", "--network bridge -p 8080:80");
    assert_eq!(served("127.0.0.1:8080").as_deref(), Some("web"));
    assert_eq!(neighbour.page("192.0.2.1:9090").as_deref(), Some("docker"));
    assert_eq!(neighbour.page("192.0.2.1:8080"), None, "Docker drops what it does not know");
    let told = "dropped by ip filter FORWARD: carboy network open bridge";
    assert!(stderr(carboy, "network ls").contains(told), "{}", tables());
    done(carboy.run(words("network open bridge")));
    let both = || {
        assert_eq!(neighbour.page("192.0.2.1:8080").as_deref(), Some("web"));
        assert_eq!(neighbour.page("192.0.2.1:9090").as_deref(), Some("docker"));
    };
    both();
    docker.end(Signal::TERM);
    docker.start();
    docker.told(&["start", "theirs"]);
    both();
    done(carboy.run(words("rm -f web")));
    done(carboy.run(words("network prune -f")));
    assert_eq!(docker_user(docker), before);
    assert_eq!(neighbour.page("192.0.2.1:9090").as_deref(), Some("docker"));
    docker.told(&["rm", "--force", "theirs"]);
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}

#[test]
fn beside_docker_a_network_is_opened_docker_goes_on_and_a_restart_of_it_changes_nothing() {
    let mut docker = Docker::configured("{}");
    let first = docker.engine.first();
    within(&first, move || beside(&mut docker, &Carboy::new()));
}

#[test]
fn a_network_without_a_way_out_is_opened_where_bridged_packets_are_filtered_and_refused_where_not() {
    alone(|carboy| {
        done(carboy.run(words("network create --internal shut")));
        nft(HAND);
        filter("1");
        for name in ["first", "second"] {
            start(carboy, name, "--network shut", "exec sleep 300");
        }
        let second = address(carboy, "second", "shut");
        assert!(!pings(carboy, "first", &second), "what is bridged is filtered");
        assert!(stderr(carboy, "network ls").contains("carboy network open shut lets it through"));
        done(carboy.run(words("network open shut")));
        assert!(pings(carboy, "first", &second));
        done(carboy.run(words("rm -f first second")));
        filter("0");
        for (line, expected) in [
            ("network open shut", "is one that the host forwards nothing for"),
            ("network open nosuch", "network not found"),
            ("network open", "it needs the name of a network"),
        ] {
            let refused = carboy.run(words(line));
            assert_ne!(refused.code, 0, "{line}");
            assert!(refused.stderr.contains(expected), "{line}: {}", refused.stderr);
        }
        done(carboy.run(words("network rm shut")));
    });
}
