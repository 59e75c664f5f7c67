//! `see` and networks: links with their other ends, routes, what listens, what is published, which rules of the firewall are
//! about a container, and who reaches it; of containers of carboy, Docker and Podman, and of a bare process. Each test has a
//! network namespace of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::{Child, Command, Stdio};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::docker::Docker;
use carboy_e2e::engine::Engine;
use carboy_e2e::{Carboy, Ended, ended, eventually, program};
use serde_json::Value;
use sys::namespace::Kinds;

/// Runs a test in a net namespace of its own: what this thread starts is in it too.
fn alone(test: fn(&Carboy)) {
    let run = move || {
        sys::namespace::unshare(Kinds::NET).unwrap();
        shell("ip link set lo up");
        test(&Carboy::new());
    };
    std::thread::spawn(run).join().unwrap();
}

fn shell(line: &str) {
    assert!(Command::new("sh").args(["-ec", line]).stdin(Stdio::null()).status().unwrap().success(), "{line}");
}

fn done(ended: Ended) -> String {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Starts a container that listens at port 80.
fn serve(carboy: &Carboy, name: &str, flags: &str) {
    let root = carboy.busybox();
    let line = format!("run -d --name {name} {flags}");
    let all = [words(&line), vec![root.to_str().unwrap(), "httpd", "-f", "-p", "80", "-h", "/etc"]].concat();
    done(carboy.run(all));
}

fn seen(carboy: &Carboy, what: &str) -> Value {
    let mut document: Value = serde_json::from_str(&done(carboy.run(["see", "--json", what]))).unwrap();
    document["found"][0]["network"].take()
}

/// The same, once something listens there.
fn listening(carboy: &Carboy, what: &str) -> Value {
    let mut found = Value::Null;
    eventually("something listens", || {
        found = seen(carboy, what);
        !found["listeners"].as_array().unwrap().is_empty()
    });
    found
}

fn page(carboy: &Carboy, what: &str) -> String {
    let text = done(carboy.run(["see", what]));
    text[text.find("\nNETWORK").unwrap()..].to_owned()
}

fn link<'d>(network: &'d Value, name: &str) -> &'d Value {
    network["interfaces"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

/// Host's address, protocol, port, port inside, of each published one.
fn published(network: &Value) -> Vec<(Option<String>, String, u64, Option<u64>)> {
    let of = |one: &Value| {
        let (first, last) = (one["ports"][0].as_u64().unwrap(), one["ports"][1].as_u64().unwrap());
        assert_eq!(first, last);
        (
            one["address"].as_str().map(str::to_owned),
            one["protocol"].as_str().unwrap().to_owned(),
            first,
            one["port"].as_u64(),
        )
    };
    network["published"].as_array().unwrap().iter().map(of).collect()
}

/// Whether a part of the host's firewall about it says this.
fn rule<'d>(network: &'d Value, part: &str, text: &str) -> &'d Value {
    let rules = network["rules"].as_array().unwrap();
    let found = rules.iter().find(|one| one["part"] == part && one["text"].as_str().unwrap().contains(text));
    found.unwrap_or_else(|| panic!("no {part} with {text} in {rules:#?}"))
}

/// A process that goes with the test.
struct Bare(Child);

impl Bare {
    fn new(line: &str) -> Self {
        Self(Command::new("sh").args(["-c", line]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_containers_links_routes_ports_rules_and_who_reaches_it_are_told() {
    alone(|carboy| {
        done(carboy.run(words("network create --subnet 192.0.2.0/24 shop")));
        serve(carboy, "web", "--network shop --ip 192.0.2.77 -p 8080:80 -p 127.0.0.1:8443:443");
        serve(carboy, "db", "--network shop");
        let root = carboy.busybox();
        let side =
            ["run", "-d", "--name", "side", "--network", "container:db", root.to_str().unwrap(), "sleep", "1000"];
        done(carboy.run(side));
        let web = listening(carboy, "web");
        let eth0 = link(&web, "eth0");
        assert_eq!((&eth0["kind"], &eth0["state"], &eth0["mtu"]), (&"veth".into(), &"up".into(), &1500.into()));
        assert_eq!(eth0["hardware"], "02:42:c0:00:02:4d");
        assert_eq!(eth0["addresses"][0], serde_json::json!({"address": "192.0.2.77", "prefix": 24}));
        let (end, bridge) = (&eth0["other"], &eth0["other"]["bridge"]);
        assert_eq!(end["place"], "host");
        assert!(fs::exists(format!("/sys/class/net/{}", end["name"].as_str().unwrap())).is_ok());
        assert_eq!((&bridge["with"], &bridge["ports"]), (&serde_json::json!(["db", "side"]), &serde_json::json!([])));
        let default = &web["routes"][0];
        assert_eq!(
            (&default["to"]["prefix"], &default["via"], &default["link"]),
            (&0.into(), &"192.0.2.1".into(), &"eth0".into())
        );
        let listener = &web["listeners"][0];
        let pid = carboy.inspect("web")["State"]["Pid"].clone();
        assert_eq!((&listener["port"], &listener["processes"][0]), (&80.into(), &pid));
        let tcp = || "tcp".to_owned();
        let mut ports = published(&web);
        // At ::1, too, where bridged packets are not filtered.
        ports.retain(|(address, ..)| address.as_deref() != Some("::1"));
        ports.sort();
        let local = Some("127.0.0.1".to_owned());
        let expected = [(None, tcp(), 8080, Some(80)), (None, tcp(), 8080, Some(80)), (local, tcp(), 8443, Some(443))];
        assert_eq!(ports, expected, "of IPv4 and of IPv6, and of the loopback");
        assert_eq!(web["reached"]["by"], "the host's network");
        let bridge = bridge["name"].as_str().unwrap();
        assert_eq!(rule(&web, "element", &format!("\"{bridge}\""))["names"][0], bridge);
        rule(&web, "element", "127.0.0.1 . tcp . 8443 : 192.0.2.77 . 443");
        rule(&web, "rule", "ct status dnat accept");
        let text = page(carboy, "web");
        for part in [
            "NETWORK  reached from beyond the host",
            "  whoever reaches the host, at 0.0.0.0:8080/tcp, [::]:8080/tcp",
            "  the host, at 127.0.0.1:8443/tcp",
            &format!("  who is on {bridge}: db, side"),
            &format!("{} of the host, on the bridge {bridge} with db, side", end["name"].as_str().unwrap()),
            &format!("  [::]:80/tcp         httpd (pid {pid})  0.0.0.0:8080/tcp, [::]:8080/tcp"),
            "  192.0.2.77:443/tcp  nobody",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let db = seen(carboy, "db");
        assert_eq!((&db["reached"]["by"], &db["with"]), (&"its network".into(), &serde_json::json!(["side"])));
        assert_eq!(published(&db), []);
        let text = done(carboy.run(["compare", "web", "db"]));
        let bridges = format!("{bridge}  =  {bridge}");
        let rows = text[text.find("\nNETWORK").unwrap()..].split("\n\n").next().unwrap().split_whitespace();
        let rows = rows.collect::<Vec<_>>().join(" ");
        assert!(
            rows.contains(&format!("bridges {}", bridges.replace("  ", " "))) && rows.contains("192.0.2.77"),
            "{text}"
        );
        done(carboy.run(["rm", "-f", "web", "db", "side"]));
        done(carboy.run(["network", "rm", "shop"]));
        assert_eq!(carboy.left_behind(), Vec::<String>::new());
    });
}

#[test]
fn who_has_a_loopback_alone_is_reached_by_nobody_and_who_has_the_hosts_network_by_its_group() {
    alone(|carboy| {
        let root = carboy.busybox();
        let root = root.to_str().unwrap();
        done(carboy.run(["run", "-d", "--name", "shut", root, "sleep", "1000"]));
        serve(carboy, "open", "--network host --net-cls-classid 10:1");
        let shut = seen(carboy, "shut");
        assert_eq!((&shut["reached"]["by"], &shut["routes"]), (&"nobody".into(), &serde_json::json!([])));
        assert!(page(carboy, "shut").contains("FIREWALL OF THE HOST  nothing about it"));
        let pid = carboy.inspect("open")["State"]["Pid"].to_string();
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let group = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned();
        let point = fs::read_to_string("/proc/self/mounts").unwrap();
        let point =
            point.lines().find(|line| line.contains(" cgroup2 ")).unwrap().split(' ').nth(1).unwrap().to_owned();
        let path = format!("{point}{group}");
        let path = path.strip_prefix("/sys/fs/cgroup/").unwrap();
        shell(&format!(
            "nft add table inet mine; nft add chain inet mine out '{{ type filter hook output priority 0; }}'; \
             nft add rule inet mine out socket cgroupv2 level 1 '\"{path}\"' udp dport 53 drop; \
             nft add rule inet mine out meta cgroup 1048577 udp dport 54 drop; nft add rule inet mine out tcp dport 25 drop"
        ));
        let open = listening(carboy, "open");
        assert_eq!((&open["is_hosts"], &open["reached"]["by"]), (&true.into(), &"the host's network".into()));
        assert_eq!(rule(&open, "rule", "udp dport 53 drop")["names"][0], group);
        let rules = open["rules"].as_array().unwrap();
        // Where no hierarchy of v1 has net_cls, carboy's own rule marks what the group sends.
        let by_class = |one: &Value| {
            one["names"][0] == "class 0x00100001" && one["text"] == "meta cgroup 1048577 udp dport 54 drop"
        };
        let by_mark = |one: &Value| one["text"].as_str().unwrap().contains("meta mark set 0x00100001");
        assert!(rules.iter().any(|one| by_class(one) || by_mark(one)), "{rules:#?}");
        assert!(!open["rules"].to_string().contains("dport 25"), "{rules:#?}");
        assert_eq!(open["listeners"].as_array().unwrap().len(), 1, "only what is its own");
        done(carboy.run(["rm", "-f", "shut", "open"]));
    });
}

#[test]
fn a_bare_process_on_a_bridge_that_leads_out_is_told_with_its_own_firewall_and_the_hosts() {
    alone(|carboy| {
        let bare = Bare::new("exec unshare -n sleep 1000");
        let other = Bare::new("exec unshare -n sleep 1000");
        let (pid, beside) = (bare.0.id(), other.0.id());
        let own = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        let here = fs::read_link("/proc/thread-self/ns/net").unwrap();
        eventually("it is alone", || own(pid) != here && own(beside) != here);
        shell(&format!(
            "ip link add br9 type bridge; ip addr add 198.51.100.1/24 dev br9; ip link set br9 up; \
             ip link add v9 type veth peer name eth7 netns {pid}; ip link set v9 master br9 up; \
             ip link add v8 type veth peer name eth7 netns {beside}; ip link set v8 master br9 up; \
             ip tuntap add out mode tap; ip link set out master br9 up; \
             nsenter -t {pid} -n ip addr add 198.51.100.7/24 dev eth7; nsenter -t {pid} -n ip link set eth7 up; \
             nsenter -t {pid} -n ip route add 203.0.113.0/24 via 198.51.100.1 metric 7; \
             nsenter -t {pid} -n ip link set lo up; nsenter -t {pid} -n ip route add blackhole 192.0.2.0/24; \
             nsenter -t {pid} -n nft add table ip guard; \
             nsenter -t {pid} -n nft add chain ip guard in '{{ type filter hook input priority 0; }}'; \
             nsenter -t {pid} -n nft add rule ip guard in tcp dport 22 drop; \
             nft add table inet t; nft add chain inet t f '{{ type filter hook forward priority 0; policy drop; }}'; \
             nft add set inet t let '{{ type ipv4_addr; flags interval; }}'; \
             nft add element inet t let '{{ 198.51.100.0/28 }}'; \
             nft add rule inet t f ip saddr @let limit rate 5/second accept; \
             nft add rule inet t f ip saddr 203.0.113.9 accept"
        ));
        let network = seen(carboy, &pid.to_string());
        let eth7 = link(&network, "eth7");
        let bridge = &eth7["other"]["bridge"];
        assert_eq!((&eth7["other"]["name"], &bridge["name"]), (&"v9".into(), &"br9".into()));
        assert_eq!(bridge["with"], serde_json::json!([format!("sleep (pid {beside})")]));
        assert_eq!(bridge["ports"], serde_json::json!(["out"]));
        assert_eq!(network["reached"]["by"], "the host's network", "{network:#}");
        rule(&network, "policy", "policy drop");
        assert_eq!(rule(&network, "rule", "ip saddr @let <limit not read> accept")["names"][0], "198.51.100.7");
        rule(&network, "element", "198.51.100.0-198.51.100.15");
        assert!(!network["rules"].to_string().contains("203.0.113.9"), "{network:#}");
        assert_eq!(network["own_rules"][0]["text"], "tcp dport 22 drop");
        let text = page(carboy, &pid.to_string());
        assert!(text.contains("203.0.113.0/24   198.51.100.1  eth7  metric 7"), "{text}");
        assert!(text.contains("  192.0.2.0/24     blackhole"), "{text}");
        assert!(text.contains("FIREWALL INSIDE") && text.contains("rule 2  tcp dport 22 drop"), "{text}");
        shell(&format!("yes 'add rule ip guard in tcp dport 23 drop' | head -n 1100 | nsenter -t {pid} -n nft -f -"));
        let document: Value = serde_json::from_str(&done(carboy.run(["see", "--json", &pid.to_string()]))).unwrap();
        assert_eq!(document["found"][0]["network"]["own_rules"].as_array().unwrap().len(), 1024);
        assert!(document["blind"].to_string().contains("more than 1024 rules in net:["), "{}", document["blind"]);
        shell("ip link set v9 down");
        assert_eq!(link(&seen(carboy, &pid.to_string()), "eth7")["state"], "no carrier");
        drop((bare, other));
    });
}

#[test]
fn what_docker_publishes_is_read_from_the_rules_that_it_made() {
    let docker = Docker::configured("{}");
    let flags = ["-p", "8080:80", "-p", "127.0.0.1:8053:53/udp"];
    let id = docker.detach("shown", &flags, &["httpd", "-f", "-p", "80", "-h", "/etc"]);
    docker.detach("beside", &[], &["sleep", "1000"]);
    let carboy = Carboy::new();
    let (root, run) = (carboy.folder().join("root"), carboy.folder().join("run"));
    let see = |words: &[&str]| {
        let own = [program(), "--root".into(), root.clone(), "--runroot".into(), run.clone(), "see".into()];
        let all = own.into_iter().chain(words.iter().map(Into::into));
        done(ended(docker.engine.command(all).env("LC_ALL", "C.UTF-8")))
    };
    let mut network = Value::Null;
    eventually("it listens", || {
        let mut document: Value = serde_json::from_str(&see(&["--json", &id])).unwrap();
        network = document["found"][0]["network"].take();
        !network["listeners"].as_array().unwrap().is_empty()
    });
    let expected =
        [(None, "tcp".to_owned(), 8080, Some(80)), (Some("127.0.0.1".to_owned()), "udp".to_owned(), 8053, Some(53))];
    assert_eq!(published(&network), expected, "{network:#}");
    let bridge = &link(&network, "eth0")["other"]["bridge"];
    assert_eq!((&bridge["name"], &bridge["with"]), (&"docker0".into(), &serde_json::json!(["beside"])));
    assert_eq!(rule(&network, "rule", "dnat to 172.17.0.2:80")["table"], "ip nat");
    rule(&network, "rule", "oifname \"docker0\" ct state established,related");
    let isolated = rule(&network, "rule", "iifname \"docker0\" oifname != \"docker0\"");
    assert_eq!((&isolated["table"], &isolated["names"][0]), (&"ip filter".into(), &"docker0".into()));
    let text = see(&["shown"]);
    assert!(text.contains("0.0.0.0:8080/tcp") && text.contains("docker0 with beside"), "{text}");
    docker.told(&["rm", "--force", "shown", "beside"]);
}

#[test]
fn what_podman_publishes_is_read_from_the_rules_that_its_plugins_made() {
    let engine = Engine::new();
    // Leases are kept in a folder of the host, which need not be there.
    let is_made = fs::create_dir("/var/lib/cni").is_ok();
    done(engine.run(["sh", "-c", "mkdir /run/leases && mount --bind /run/leases /var/lib/cni"]));
    let [root, run, net] = ["storage", "run", "net"].map(|name| engine.path(name));
    fs::write(engine.path("containers.conf"), "[containers]\ndefault_ulimits = []\n").unwrap();
    let configuration = format!("CONTAINERS_CONF={}", engine.path("containers.conf"));
    let runtime = carboy_runtime().display().to_string();
    let podman = |words: &[&str]| {
        let before = ["env", &configuration, "timeout", "--foreground", "60", "podman", "--runtime", &runtime];
        let global = ["--root", &root, "--runroot", &run, "--network-config-dir", &net, "--storage-driver", "vfs"];
        done(engine.run([&before[..], &global, &["--cgroup-manager", "cgroupfs"], words].concat()))
    };
    podman(&["import", &engine.archive(), "probe"]);
    podman(&["network", "create", "--subnet", "198.51.100.0/24", "shop"]);
    let group = engine.group();
    let flags = ["run", "--detach", "--network", "shop", "--cgroup-parent", &group, "-p", "8080:80"];
    let id = podman(&[&flags[..], &["--name", "db", "probe", "httpd", "-f", "-p", "80", "-h", "/etc"]].concat());
    let see = engine.run([program().to_str().unwrap(), "see", "--json", &id]);
    let document: Value = serde_json::from_str(&done(see)).unwrap();
    let network = &document["found"][0]["network"];
    assert_eq!(published(network), [(None, "tcp".to_owned(), 8080, Some(80))], "{network:#}");
    assert_eq!(link(network, "eth0")["addresses"][0]["address"], "198.51.100.2");
    assert_eq!(network["reached"]["by"], "the host's network");
    podman(&["rm", "--force", "--time", "0", "db"]);
    drop(engine);
    if is_made {
        fs::remove_dir("/var/lib/cni").unwrap();
    }
}

#[test]
fn who_may_not_read_a_network_is_told_so() {
    alone(|carboy| {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let see = |pid: u32| {
            let mut command = Command::new("setpriv");
            command.args(user).arg(program()).args(["--root", "/nonexistent", "--runroot", "/nonexistent", "see"]);
            done(ended(command.arg(pid.to_string()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null())))
        };
        shell(&format!("chmod 755 {}", carboy.folder().display()));
        serve(carboy, "web", "--network none");
        let pid = carboy.inspect("web")["State"]["Pid"].as_u64().unwrap();
        let text = see(pid.try_into().unwrap());
        assert!(text.contains("NETWORK  unreadable"), "{text}");
        let beside = Bare::new(&format!("exec setpriv {} sleep 1000", user.join(" ")));
        let apart = Bare::new(&format!("exec setpriv {} unshare -rn sleep 1000", user.join(" ")));
        let is_asleep = |bare: &Bare| fs::read_to_string(format!("/proc/{}/comm", bare.0.id())).unwrap() == "sleep\n";
        eventually("both sleep", || is_asleep(&beside) && is_asleep(&apart));
        let text = see(beside.0.id());
        for part in ["FIREWALL OF THE HOST  unreadable", "the host's firewall: Operation not permitted"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let text = see(apart.0.id());
        for part in ["NETWORK  unreadable", "LINKS  unreadable", "FIREWALL INSIDE  unreadable", "the links of net:["] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        drop((beside, apart));
        done(carboy.run(["rm", "-f", "web"]));
    });
}

#[test]
fn traffic_of_a_shared_namespace_is_told_with_whom_it_is_shared() {
    alone(|carboy| {
        let root = carboy.busybox();
        let root = root.to_str().unwrap();
        done(carboy.run(words("network create shop")));
        serve(carboy, "web", "--network shop");
        serve(carboy, "alone", "--network shop");
        done(carboy.run(["run", "-d", "--name", "side", "--network", "container:web", root, "sleep", "1000"]));
        let lines = done(carboy.run(["stats", "--no-stream", "--json"]));
        let of = |name: &str| -> Value {
            let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            all.into_iter().find(|one| one["name"] == name).unwrap()
        };
        let (web, side) = (of("web"), of("side"));
        assert_eq!(web["network_shared_with"], serde_json::json!(["side"]), "{lines}");
        assert_eq!(side["network_shared_with"], serde_json::json!(["web"]), "{lines}");
        assert!(side["network_received_bytes"].is_u64() && of("alone")["network_shared_with"].is_null(), "{lines}");
        let one = done(carboy.run(["stats", "--no-stream", "side"]));
        assert!(one.contains(" with web "), "{one}");
        let docker = done(carboy.run(["stats", "--no-stream", "--format", "{{.NetIO}}", "side"]));
        assert!(!docker.contains("with"), "what Docker's readers know: {docker}");
        done(carboy.run(["rm", "-f", "web", "side", "alone"]));
        done(carboy.run(["network", "rm", "shop"]));
    });
}
