//! An image of 300 MB in five gzip layers from Debian's docker-registry on loopback: until it can be run.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use error::{Doing, Refused, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::life::{Engine, verdict};
use super::table::median;

const ROUNDS: usize = 3;
const REGISTRY: &str = "127.0.0.1:5000";
/// carboy's part of each other's time, wall and CPU.
const BUDGET: f64 = 0.5;
/// For a minute after they were removed, and brought to the disk as that, ext4 without a journal gives the inodes of files to
/// nobody, and whoever makes a file goes by them one by one (fs/ext4/ialloc.c, `RECENTCY_MIN`).
const FORGOTTEN: Duration = Duration::from_secs(61);
const PEAK_BUDGET_KB: u64 = 48 << 10;

/// Makes the image of this host's files, starts the registry and has skopeo push it there.
const OFFER: &str = r#"
set -e
mkdir -p layout/blobs/sha256 registry; cd layout
find /usr -xdev -type f -size -8M -printf '%s %P\n' | LC_ALL=C sort -k2 |
    awk '{ sum += $1; part = int(sum / 62e6); if (part > 4) exit; print substr($0, index($0, " ") + 1) > "list" part }'
blob() { digest=$(sha256sum < "$1" | cut -d' ' -f1); size=$(stat -c %s "$1"); mv "$1" "blobs/sha256/$digest"
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%s' "$2" "$digest" "$size"; }
for part in 0 1 2 3 4; do
    tar -C /usr --no-recursion -T "list$part" -cf layer.tar
    ids="$ids${ids:+,}\"sha256:$(sha256sum < layer.tar | cut -d' ' -f1)\""
    gzip -n layer.tar
    layers="$layers${layers:+,}$(blob layer.tar.gz application/vnd.oci.image.layer.v1.tar+gzip)}"
done
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}' "$ids" > config
config="$(blob config application/vnd.oci.image.config.v1+json)}"
kind=application/vnd.oci.image.manifest.v1+json
printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' "$kind" "$config" "$layers" > manifest
manifest="$(blob manifest $kind),\"annotations\":{\"org.opencontainers.image.ref.name\":\"big\"}}"
printf '{"schemaVersion":2,"manifests":[%s]}' "$manifest" > index.json
printf '{"imageLayoutVersion":"1.0.0"}' > oci-layout
cd ..
skopeo copy -q --dest-tls-verify=false oci:layout:big docker://127.0.0.1:5000/big:1
"#;

/// What nobody can do without, by programs that do nothing else, on all processors: the layers' files are made and brought to
/// the disk, and all bytes are hashed, packed and unpacked.
const FLOOR: [(&str, &str); 2] = [
    (
        "files",
        "for tar in tars/*; do mkdir trees/${tar#*/}; tar -C trees/${tar#*/} -xf $tar & done; wait; sync -f trees",
    ),
    ("hashes", "ls tars/* layout/blobs/sha256/* | xargs -P 2 -n 1 openssl dgst -sha256 > hashes"),
];
/// The layers without compression, for these.
const TARS: &str = "mkdir tars trees; for blob in layout/blobs/sha256/*; do
    gzip -dc < $blob > tars/${blob##*/} 2>/dev/null || rm tars/${blob##*/}
done; cat tars/* | wc -c";
/// How fast one processor unpacks at best, bytes a second.
const INFLATION: f64 = 0.5e9;
/// carboy's time as a part of the floor's.
const FLOOR_BUDGET: f64 = 1.5;

/// Measures, and prints a line.
///
/// # Errors
/// When carboy cannot do the work.
pub(super) fn measure(engines: &[Engine], folder: &Path) -> Result<()> {
    let mut registry = match offer(folder) {
        Ok(registry) => registry,
        Err(error) => {
            println!("no registry can be had here, so no image is pulled: {error}");
            return Ok(());
        }
    };
    let floor = floor_ms(folder).inspect_err(|error| println!("the floor of a pull cannot be measured here: {error}"));
    let compared = compare(engines, floor.ok(), folder);
    let _ = registry.kill();
    let _ = registry.wait();
    compared
}

/// How long a pull takes at least.
fn floor_ms(folder: &Path) -> Result<f64> {
    let run = |script: &str| -> Result<String> {
        let output = Command::new("sh").args(["-c", script]).current_dir(folder).stdin(Stdio::null()).output();
        let output = output.doing(|| "measure the floor")?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(Refused::new("the floor", "", errors.lines().last().unwrap_or("failed").to_owned()).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let bytes: f64 = run(TARS)?.parse().unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
    let inflation = bytes / INFLATION / f64::from(processors) * 1000.0;
    let mut sum = inflation;
    forget_removed_files()?;
    print!("a pull's floor: unpacking {inflation:.0} ms");
    for (what, script) in FLOOR {
        let began = Instant::now();
        run(script)?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        print!(", {what} {took:.0}");
        sum += took;
    }
    println!(", together {sum:.0}");
    Ok(sum)
}

fn offer(folder: &Path) -> Result<Child> {
    let config = format!(
        r#"{{"version": 0.1, "log": {{"level": "error"}}, "storage": {{"filesystem": {{"rootdirectory": "{}"}}}}, "http": {{"addr": "{REGISTRY}"}}}}"#,
        folder.join("registry").display()
    );
    let path = folder.join("registry.json");
    std::fs::write(&path, config).doing(|| format!("write {}", path.display()))?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut registry = command.spawn().doing(|| "run docker-registry")?;
    let mut offer = Command::new("sh");
    offer.args(["-c", OFFER]).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::piped());
    let offered = offer.output().doing(|| "make the image")?;
    if !offered.status.success() {
        let _ = registry.kill();
        let _ = registry.wait();
        let errors = String::from_utf8_lossy(&offered.stderr);
        return Err(Refused::new("the image", "", errors.lines().last().unwrap_or("failed").to_owned()).into());
    }
    Ok(registry)
}

/// What a pull took.
#[derive(Clone, Copy, Default)]
struct Taken {
    wall_ms: f64,
    /// Of the command and of the daemons that work for it.
    cpu_ms: f64,
    peak_kb: u64,
}

/// The same by programs that have no daemon and keep no images, into two folders.
const TOOLS: &str = "skopeo and umoci";
const BY_TOOLS: &str = "skopeo copy -q --src-tls-verify=false docker://127.0.0.1:5000/big:1 oci:pulled:big &&
    umoci unpack --image pulled:big unpacked";
/// What works for Docker's command.
const DAEMONS: [&str; 2] = ["dockerd", "containerd"];

fn compare(engines: &[Engine], floor: Option<f64>, folder: &Path) -> Result<()> {
    let image = format!("{REGISTRY}/big:1");
    let has_tools = Path::new("/usr/bin/umoci").exists();
    if !has_tools {
        println!("{TOOLS} cannot run here and are left out: umoci is not installed");
    }
    let mut rounds: Vec<Vec<Taken>> = Vec::new();
    for _ in 0..ROUNDS {
        let mut round = Vec::new();
        forget_removed_files()?;
        for engine in engines {
            let flags: &[&str] = if engine.name == "podman" { &["--tls-verify=false"] } else { &[] };
            let mut command = engine.command(&[&["pull", "-q"], flags, &[image.as_str()]].concat());
            round.push(take(engine.name, &mut command)?);
        }
        if has_tools {
            let mut command = Command::new("sh");
            command.args(["-c", BY_TOOLS]).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
            round.push(take(TOOLS, &mut command)?);
        }
        for engine in engines {
            engine.run(&["rmi", "-f", &image])?;
        }
        if has_tools {
            for made in ["pulled", "unpacked"] {
                std::fs::remove_dir_all(folder.join(made)).doing(|| format!("remove {made}"))?;
            }
        }
        rounds.push(round);
    }
    let of = |index: usize, what: fn(&Taken) -> f64| -> Vec<f64> {
        rounds.iter().filter_map(|round| round.get(index).map(what)).collect()
    };
    let wall: fn(&Taken) -> f64 = |taken| taken.wall_ms;
    let cpu: fn(&Taken) -> f64 = |taken| taken.cpu_ms;
    let peak = rounds.iter().filter_map(|round| round.first()).map(|taken| taken.peak_kb).max().unwrap_or_default();
    let ours = median(of(0, wall).into_iter());
    print!("pull and unpack 300 MB in 5 layers; {ROUNDS} rounds: carboy {ours:.0} ms");
    if let Some(floor) = floor {
        print!(", {:.2} of the floor{}", ours / floor, verdict(ours / floor, FLOOR_BUDGET));
    }
    print!(
        ", CPU {:.0} ms, peak {:.1} MiB",
        median(of(0, cpu).into_iter()),
        f64::from(u32::try_from(peak).unwrap_or(0)) / 1024.0
    );
    print!(", {} the budget of 48", if peak <= PEAK_BUDGET_KB { "within" } else { "ABOVE" });
    let names = engines.iter().map(|engine| engine.name).chain(has_tools.then_some(TOOLS));
    for (index, name) in names.enumerate().skip(1) {
        let ratio = |what| median(of(0, what).into_iter().zip(of(index, what)).map(|(ours, theirs)| ours / theirs));
        let told = |ratio| if name == TOOLS { String::new() } else { verdict(ratio, BUDGET) };
        let (walls, cpus) = (median(of(index, wall).into_iter()), median(of(index, cpu).into_iter()));
        print!("; {name} {walls:.0} ms, ratio {:.3}{}", ratio(wall), told(ratio(wall)));
        print!(", CPU {cpus:.0} ms, ratio {:.3}{}", ratio(cpu), told(ratio(cpu)));
    }
    println!();
    Ok(())
}

fn forget_removed_files() -> Result<()> {
    Command::new("sync").status().doing(|| "bring all files to the disk")?;
    std::thread::sleep(FORGOTTEN);
    Ok(())
}

fn take(name: &'static str, command: &mut Command) -> Result<Taken> {
    let used = || Ok::<_, error::Error>(cpu_ms()? + if name == "docker" { daemons_ms()? } else { 0.0 });
    let (before, began) = (used()?, Instant::now());
    let mut child = command.spawn().doing(|| format!("run {name}"))?;
    let mut taken = Taken::default();
    loop {
        taken.peak_kb = taken.peak_kb.max(peak_kb(child.id()));
        if let Some(status) = child.try_wait().doing(|| format!("wait for {name}"))? {
            taken.wall_ms = began.elapsed().as_secs_f64() * 1000.0;
            taken.cpu_ms = used()? - before;
            return match status.success() {
                true => Ok(taken),
                false => Err(Refused::new(name, "pull", "failed").into()),
            };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What Docker's daemons have used, with the programs that they have run: proc_pid_stat(5), in hundredths of a second.
fn daemons_ms() -> Result<f64> {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").doing(|| "list /proc")?.flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((begin, rest)) = stat.rsplit_once(") ") else { continue };
        if DAEMONS.iter().any(|daemon| begin.ends_with(&format!("({daemon}"))) {
            // utime, stime, cutime and cstime.
            ticks += rest.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u32>().ok()).sum::<u32>();
        }
    }
    Ok(f64::from(ticks) * 10.0)
}

/// What the commands that have ended have used.
fn cpu_ms() -> Result<f64> {
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).map_err(std::io::Error::from).doing(|| "read what commands have used")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64() * 1000.0)
}

fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
