//! What networks cost: how much longer a start on one takes than without, what publishing a port adds to that among thousands
//! of ports, and how fast containers talk, beside Debian's docker.io, all in namespaces of their own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use error::{Doing, Refused, Result};

use super::life::{self, Engine, IMAGE, verdict};
use super::table::median;

/// The task's name on the command line: the release of this program measures itself.
pub(crate) const WORD: &str = "bench-network";

/// How many pairs of starts are measured, with a port in one of them (a difference far smaller than what two starts differ
/// in), and how many transfers of each kind.
const PAIRS: usize = 41;
const PORT_PAIRS: usize = 201;
const TRANSFERS: usize = 5;
/// What a network may add to a start, and a port to that, in milliseconds.
const NETWORK_BUDGET: f64 = 2.5;
const PORT_BUDGET: f64 = 0.05;
/// How many ports are published when one more is: for each of these, so many.
const PUBLISHERS: u16 = 4;
const PORTS_OF_EACH: u16 = 500;
/// Where iperf3 listens, and where that is published.
const PORT: &str = "5201";

/// Begins in new namespaces. `$1` is a folder, `$2` the group above Docker's containers; the rest is the command that
/// measures.
const SCRIPT: &str = r#"
set -e
ip link set lo up
mount -t tmpfs run /run; mkdir /run/lock /run/cgroup
mount --move /sys/fs/cgroup /run/cgroup; mount -t sysfs sysfs /sys; mount --move /run/cgroup /sys/fs/cgroup
folder=$1; group=$2; shift 2
cd "$folder"
mkdir -p image/bin image/proc image/sys image/dev image/tmp image/etc; cp /bin/busybox /usr/bin/iperf3 image/bin/
for applet in sh true sleep; do ln -s busybox image/bin/$applet; done
for file in $(ldd /usr/bin/iperf3 | grep -o '/[^ ]*'); do mkdir -p "image$(dirname "$file")"; cp "$file" "image$file"; done
tar -C image -cf image.tar .
ip link add out type veth peer name eth9
ip addr add 192.0.2.1/24 dev out; ip link set out up
unshare -n sleep 100000 & neighbour=$!
sleep 0.5
ip link set eth9 netns $neighbour
nsenter -t $neighbour -n sh -c 'ip addr add 192.0.2.2/24 dev eth9; ip link set eth9 up; ip route add default via 192.0.2.1'
if command -v dockerd >/dev/null; then
    dockerd --data-root "$folder/data" --exec-root /run/docker --pidfile "$folder/pid" --bip 172.31.0.1/16 \
        -H "unix://$folder/socket" --cgroup-parent "$group" >"$folder/log" 2>&1 &
fi
"$@" $neighbour || echo "failed: $?"
test -e "$folder/pid" && kill "$(cat "$folder/pid")" && wait "$!"
kill $neighbour
for point in /sys/fs/cgroup/*; do rmdir "$point$group" 2>/dev/null || true; done
"#;

/// Starts the measurement in namespaces of its own.
///
/// # Errors
/// When they cannot be had, or carboy cannot do the work.
pub(crate) fn run(carboy: &Path) -> Result<()> {
    life::in_namespaces((WORD, SCRIPT), carboy)
}

/// What a command says.
fn said(engine: &Engine, line: &str) -> Result<String> {
    let output = engine.command(&words(line)).stdout(Stdio::piped()).output();
    let output = output.doing(|| format!("run {}", engine.name))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Refused::new(engine.name, line, errors.lines().last().unwrap_or("failed").to_owned()).into())
}

/// How long a container takes to be started with these flags, in milliseconds.
fn time(engine: &Engine, flags: &str) -> Result<f64> {
    let began = Instant::now();
    engine.run(&words(&format!("run -d --name one {flags} {IMAGE} sleep 100000")))?;
    let took = began.elapsed().as_secs_f64() * 1000.0;
    engine.run(&["rm", "-f", "one"])?;
    Ok(took)
}

/// What a start takes longer with some flags than with others, in milliseconds: the median of the differences of pairs, each
/// the mean of two, since who comes first in a pair finds more to wait for.
fn added(engine: &Engine, base: &str, more: &str, pairs: usize) -> Result<f64> {
    let mut differences = Vec::new();
    for _ in 0..pairs.div_ceil(2) {
        let (before, after) = (time(engine, base)?, time(engine, more)?);
        let (later, last) = (time(engine, more)?, time(engine, base)?);
        differences.push(f64::midpoint(after - before, later - last));
    }
    Ok(median(differences.into_iter()))
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Measures, within the namespaces; `neighbour` is a process of the host's neighbour.
///
/// # Errors
/// When carboy cannot do the work.
pub(crate) fn measure(carboy: &Path, folder: &Path, neighbour: &str) -> Result<()> {
    let (ours, docker) = (Engine::carboy(carboy, folder), Engine::docker(folder));
    let peer = match life::ready(&docker, &folder.join("image.tar")) {
        Ok(()) => Some(&docker),
        Err(error) => {
            println!("docker cannot run here and is left out: {error}");
            None
        }
    };
    starts(&ours, peer)?;
    for (title, place) in
        [("between two containers", Place::Inside), ("by a published port", Place::Outside(neighbour))]
    {
        transfers(title, &ours, peer, place)?;
    }
    Ok(())
}

fn starts(ours: &Engine, docker: Option<&Engine>) -> Result<()> {
    said(ours, "network create shop")?;
    // Somebody is on each, so that what is made for the first is there.
    said(ours, "run -d --name idle --network bridge IMAGE sleep 100000")?;
    said(ours, "run -d --name shopper --network shop IMAGE sleep 100000")?;
    let none = "--network none";
    for network in ["bridge", "shop"] {
        let added = added(ours, none, &format!("--network {network}"), PAIRS)?;
        println!("the network {network} adds {added:.2} ms to a start{}", verdict(added, NETWORK_BUDGET));
    }
    let (bridged, published) = ("--network bridge", "--network bridge -p 127.0.0.1:9999:80");
    let first = added(ours, bridged, published, PORT_PAIRS)?;
    for number in 0..PUBLISHERS {
        let begin = 20_000 + number * PORTS_OF_EACH;
        let range = format!("{begin}-{}", begin + PORTS_OF_EACH - 1);
        said(ours, &format!("run -d --name many{number} --network bridge -p {range}:{range} IMAGE sleep 100000"))?;
    }
    let last = added(ours, bridged, published, PORT_PAIRS)?;
    let told = verdict(last, PORT_BUDGET);
    println!(
        "a port adds {first:.3} ms where none is, {last:.3} ms beside {} others{told}",
        PUBLISHERS * PORTS_OF_EACH
    );
    if let Some(docker) = docker {
        said(docker, "run -d --name idle IMAGE sleep 100000")?;
        let added = added(docker, none, "--network bridge", PAIRS)?;
        println!("docker's default network adds {added:.2} ms to its start");
        said(docker, "rm -f idle")?;
    }
    said(ours, "rm -f idle shopper many0 many1 many2 many3").map(drop)
}

/// From where a container is talked to.
#[derive(Clone, Copy)]
enum Place<'p> {
    Inside,
    /// By the namespace of this process.
    Outside(&'p str),
}

fn transfers(title: &str, ours: &Engine, docker: Option<&Engine>, place: Place<'_>) -> Result<()> {
    let mut rates: Vec<Vec<f64>> = Vec::new();
    let engines: Vec<&Engine> = std::iter::once(ours).chain(docker).collect();
    for _ in 0..TRANSFERS {
        let round = engines.iter().map(|engine| transfer(engine, place)).collect::<Result<Vec<_>>>()?;
        rates.push(round);
    }
    let of = |index: usize| median(rates.iter().filter_map(|round| round.get(index).copied()));
    print!("{title}: carboy {:.2} Gbit/s", of(0));
    if docker.is_some() {
        let ratio = median(rates.iter().filter_map(|round| Some(round.first()? / round.get(1)?)));
        let told = if ratio >= 1.0 { "not below it" } else { "BELOW it" };
        print!("; docker {:.2} Gbit/s, ratio {ratio:.3}, {told}", of(1));
    }
    println!();
    Ok(())
}

/// Gigabits a second by iperf3, over two seconds.
fn transfer(engine: &Engine, place: Place<'_>) -> Result<f64> {
    let network = "--network bridge";
    said(engine, &format!("run -d --name server {network} -p {PORT}:{PORT} IMAGE iperf3 -s"))?;
    let form = "{{.NetworkSettings.Networks.bridge.IPAddress}}";
    let address = said(engine, &format!("inspect --format {form} server"))?;
    std::thread::sleep(Duration::from_millis(300));
    let asks = |to: &str| format!("iperf3 -c {to} -p {PORT} -t 2 -J");
    let output = match place {
        Place::Inside => {
            let words = format!("run --rm {network} IMAGE {}", asks(&address));
            engine.command(&self::words(&words)).stdout(Stdio::piped()).output()
        }
        Place::Outside(pid) => Command::new("nsenter").args(["-t", pid, "-n"]).args(words(&asks("192.0.2.1"))).output(),
    };
    let output = output.doing(|| "run iperf3")?;
    engine.run(&["rm", "-f", "server"])?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Refused::new("iperf3", engine.name, format!("said nothing that can be read: {error}")))?;
    let bits = told["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.map(|bits| bits / 1e9).ok_or_else(|| {
        let said = told["error"].as_str().unwrap_or("no rate").to_owned();
        Refused::new("iperf3", engine.name, said).into()
    })
}
