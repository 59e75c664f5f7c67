//! What `docker stats` costs for each container: the client, its daemons and whatever they start, in namespaces of their own
//! that end with the measurement.

use std::path::Path;
use std::process::{Command, Stdio};

use error::{Doing, Refused, Result};

/// How many containers are looked at, and how often.
const CONTAINERS: u32 = 20;
const LOOKS: u32 = 3;
/// CPU time is counted in hundredths of a second: proc_pid_stat(5).
const TICK_MSEC: u32 = 10;

/// Starts a daemon and its containers, and prints how many ticks the looks took. `$1` is a folder, `$2` how many
/// containers, `$3` how many looks, `$4` the group above them.
const SCRIPT: &str = r#"
set -e
ip link set lo up
mount -t tmpfs run /run; mkdir /run/lock /run/cgroup
mount --move /sys/fs/cgroup /run/cgroup; mount -t sysfs sysfs /sys; mount --move /run/cgroup /sys/fs/cgroup
cd "$1"
mkdir -p image/bin; cp /bin/busybox image/bin/; ln -s busybox image/bin/sleep; tar -C image -cf image.tar .
echo '{}' > daemon.json
dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" --config-file "$1/daemon.json" \
    -H "unix://$1/socket" --cgroup-parent "$4" >"$1/log" 2>&1 &
D="docker -H unix://$1/socket"
for try in $(seq 200); do $D version >/dev/null 2>&1 && break; sleep 0.1; done
$D import image.tar probe >/dev/null
for number in $(seq "$2"); do $D run --detach --network none probe sleep 100000 >/dev/null; done
ticks() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk '
        / \((dockerd|containerd|containerd-shim)/ { sub(/^.*\) /, ""); sum += $12 + $13 }
        /^1 \(/ { sub(/^.*\) /, ""); sum += $14 + $15 }
        END { print sum }'
}
before=$(ticks)
for look in $(seq "$3"); do $D stats --no-stream >/dev/null; done
echo ticks $(( $(ticks) - before ))
$D rm -f $($D ps -q) >/dev/null
kill "$(cat "$1/pid")"; wait
rmdir /sys/fs/cgroup/*"$4" 2>/dev/null || true
"#;

/// The CPU time of one look at one container, in milliseconds; `None` where Docker is not installed.
///
/// # Errors
/// Refused where Docker does not do it.
pub(super) fn one_look_msec() -> Result<Option<f64>> {
    let has = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    };
    if !has("dockerd") || !has("docker") {
        return Ok(None);
    }
    let folder = std::env::temp_dir().join(format!("carboy-bench-docker-{}", std::process::id()));
    std::fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let ticks = looked(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    Ok(Some(f64::from(ticks? * TICK_MSEC) / f64::from(CONTAINERS * LOOKS)))
}

fn looked(folder: &Path) -> Result<u32> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "sh"]);
    command.arg(folder).args([CONTAINERS.to_string(), LOOKS.to_string()]);
    command.arg(format!("/carboy-bench-docker-{}", std::process::id())).stdin(Stdio::null());
    let output = command.output().doing(|| "run unshare")?;
    let told = String::from_utf8_lossy(&output.stdout);
    let ticks = told.lines().find_map(|line| line.strip_prefix("ticks ")?.parse().ok());
    ticks.ok_or_else(|| {
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        let errors = String::from_utf8_lossy(&output.stderr);
        Refused::new("docker stats", "", format!("was not to be had: {} {last}", errors.trim())).into()
    })
}
