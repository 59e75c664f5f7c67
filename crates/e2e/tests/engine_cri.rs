//! containerd's CRI plugin with carboy-runtime as a runtime handler, called as a kubelet calls it: a pod's sandbox, its
//! containers with limits, probes, statistics, logs, changes, ends, and a restart of containerd meanwhile.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at what goes wrong")]

mod cri;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use carboy_e2e::bundle::carboy_runtime;
use carboy_e2e::engine::{Daemon, Engine};
use carboy_e2e::{eventually, program};
use cri::*;
use rustix::process::Signal;
use serde_json::Value;

/// A pod on a containerd of its own.
struct Pod {
    engine: Engine,
    daemon: Option<Daemon>,
    client: Client,
    id: String,
}

const IMAGE: &str = "docker.io/library/probe:latest";

fn configure(engine: &Engine) {
    let (folder, runtime) = (engine.folder().display(), carboy_runtime());
    let plugin = r#"plugins."io.containerd.grpc.v1.cri""#;
    let config = format!(
        "version = 2\nroot = '{folder}/root'\nstate = '/run/containerd'\n[grpc]\naddress = '{folder}/socket'\n\
         [{plugin}]\nsandbox_image = '{IMAGE}'\nrestrict_oom_score_adj = true\n\
         [{plugin}.cni]\nbin_dir = '/usr/lib/cni'\nconf_dir = '{folder}/cni'\n\
         [{plugin}.containerd]\ndefault_runtime_name = 'carboy'\n\
         [{plugin}.containerd.runtimes.carboy]\nruntime_type = 'io.containerd.runc.v2'\n\
         [{plugin}.containerd.runtimes.carboy.options]\nBinaryName = '{}'\n",
        runtime.display()
    );
    fs::write(engine.path("config.toml"), config).unwrap();
    let network = format!(
        r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{"type": "bridge", "bridge": "pods", "isGateway": true,
        "ipam": {{"type": "host-local", "dataDir": "{folder}/addresses", "subnet": "10.99.0.0/24"}}}}]}}"#
    );
    fs::create_dir(engine.path("cni")).unwrap();
    fs::write(engine.path("cni/pods.conflist"), network).unwrap();
}

fn containerd(engine: &Engine) -> (Daemon, Client) {
    let daemon = engine.daemon(["containerd", "--config", &engine.path("config.toml")]);
    let socket = engine.folder().join("socket");
    let mut client = None;
    eventually("containerd answers", || {
        client = Client::connect(&socket).filter(|client| client.call::<Version>("Version", &Empty {}).is_ok());
        client.is_some()
    });
    (daemon, client.unwrap())
}

impl Pod {
    fn new() -> Self {
        let engine = Engine::new();
        configure(&engine);
        let (daemon, client) = containerd(&engine);
        let image = engine.image();
        let imported = engine.run(["ctr", "-a", &engine.path("socket"), "-n", "k8s.io", "images", "import", &image]);
        assert_eq!(imported.code, 0, "{}{}", imported.stdout, imported.stderr);
        let mut pod = Self { engine, daemon: Some(daemon), client, id: String::new() };
        let run = RunSandbox { config: Some(pod.config()), runtime_handler: "carboy".to_owned() };
        let refused =
            pod.client.call::<Id>("RunPodSandbox", &RunSandbox { runtime_handler: "nosuch".to_owned(), ..run.clone() });
        assert!(refused.unwrap_err().contains("no runtime for"), "a handler that is not configured");
        pod.id = pod.calls::<Id>("RunPodSandbox", &run).id;
        pod
    }

    fn config(&self) -> Sandbox {
        let namespaces = Namespaces { pid: CONTAINER, ..Namespaces::default() };
        let name = |text: &str| text.to_owned();
        Sandbox {
            metadata: Some(Metadata { name: name("pod"), uid: name("1"), namespace: name("default") }),
            hostname: name("pod"),
            log_directory: self.engine.path("logs"),
            linux: Some(LinuxSandbox {
                cgroup_parent: self.engine.group(),
                security: Some(SandboxSecurity { namespaces: Some(namespaces) }),
            }),
        }
    }

    /// A call that succeeds.
    fn calls<A: prost::Message + Default>(&self, method: &str, request: &impl prost::Message) -> A {
        self.client.call(method, request).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn create(&self, name: &str, command: &[&str], linux: LinuxContainer) -> String {
        let config = Container {
            metadata: Some(ContainerMetadata { name: name.to_owned() }),
            image: Some(Image { image: IMAGE.to_owned() }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
            linux: Some(linux),
        };
        let request =
            CreateContainer { sandbox: self.id.clone(), config: Some(config), sandbox_config: Some(self.config()) };
        self.calls::<Id>("CreateContainer", &request).id
    }

    /// Creates a container in a pid namespace of its own, and starts it.
    fn start(&self, name: &str, command: &[&str], resources: Resources) -> String {
        let id = self.create(name, command, linux(CONTAINER, "", resources));
        self.calls::<Empty>("StartContainer", &Id { id: id.clone() });
        id
    }

    fn status(&self, id: &str) -> ContainerStatus {
        self.calls::<ContainerStatusAnswer>("ContainerStatus", &Id { id: id.to_owned() }).status.unwrap()
    }

    /// Waits for the end of a container; its code and the reason.
    fn ends(&self, id: &str) -> (i32, String) {
        eventually("it ends", || self.status(id).state == EXITED);
        let status = self.status(id);
        (status.exit_code, status.reason)
    }

    fn exec(&self, id: &str, command: &[&str], timeout: i64) -> Result<(i32, String, String), String> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let executed = self.client.call::<Executed>("ExecSync", &Exec { id: id.to_owned(), command, timeout })?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ok((executed.exit_code, text(executed.stdout), text(executed.stderr)))
    }

    fn stop(&self, id: &str, timeout: i64) {
        self.calls::<Empty>("StopContainer", &StopContainer { id: id.to_owned(), timeout });
    }

    fn remove(&self, id: &str) {
        self.calls::<Empty>("RemoveContainer", &Id { id: id.to_owned() });
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.engine.path(&format!("logs/{name}.log"))).unwrap_or_default()
    }

    /// What a file of a container's group says, by its names on v1 and v2.
    fn limit(&self, id: &str, controller: &str, names: [&str; 2]) -> String {
        let group = self.engine.group_of(controller, id);
        let text = fs::read_to_string(group.join(names[0])).or_else(|_| fs::read_to_string(group.join(names[1])));
        text.unwrap().trim().to_owned()
    }
}

/// What a kubelet asks of a container: the default seccomp profile, and the pid namespace of its kind.
fn linux(pid: i32, target: &str, resources: Resources) -> LinuxContainer {
    let namespaces = Namespaces { pid, target_id: target.to_owned(), ..Namespaces::default() };
    let security = Security { namespaces: Some(namespaces), seccomp: Some(Profile { kind: 0 }) };
    LinuxContainer { resources: Some(resources), security: Some(security) }
}

const SERVER: [&str; 3] =
    ["sh", "-c", "trap 'echo asked; exit 4' TERM; echo started; echo bad >&2; while :; do sleep 0.1; done"];
const MEMORY: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];

/// What `see` finds from within the pod's host.
fn seen(pod: &Pod, id: &str) -> Value {
    let ended = pod.engine.run([program().to_str().unwrap(), "see", "--json", id]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{id}");
    let mut document: Value = serde_json::from_str(&ended.stdout).unwrap();
    document["found"][0].take()
}

#[test]
fn see_tells_which_pod_a_container_is_in_and_which_field_closes_a_door() {
    let pod = Pod::new();
    let web = pod.start("web", &["sleep", "1000"], Resources::default());
    for (id, name) in [(&web, "web"), (&pod.id, "pause")] {
        let seen = seen(&pod, id);
        let told = ["engine", "name", "pod"].map(|field| seen[field].as_str().unwrap_or_default());
        assert_eq!(told, ["containerd", name, "default/pod"], "{seen}");
        let doors = seen["doors"].as_array().unwrap().iter().map(|door| door["closes"].as_str().unwrap());
        let root = "securityContext.runAsNonRoot: true, or hostUsers: false";
        assert!(doors.into_iter().any(|closes| closes == root), "{seen}");
    }
    pod.stop(&web, 0);
    pod.remove(&web);
}

#[test]
fn a_kubelets_calls_make_probe_change_and_remove_the_containers_of_a_pod() {
    let mut pod = Pod::new();
    let resources = Resources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit: 64 << 20,
        ..Resources::default()
    };
    let server = pod.start("server", &SERVER, resources);
    assert_eq!(pod.status(&server).state, RUNNING);
    limits(&pod, &server);
    probes(&pod, &server);
    neighbours(&pod, &server);
    bad_commands(&pod);
    short_of_memory(&pod);
    frozen(&pod);
    many_at_once(&pod);
    pod.daemon.take().unwrap().end(Signal::KILL);
    let (daemon, client) = containerd(&pod.engine);
    (pod.daemon, pod.client) = (Some(daemon), client);
    assert_eq!(pod.status(&server).state, RUNNING, "it lived on without containerd");
    assert_eq!(pod.exec(&server, &["echo", "again"], 0).unwrap().1, "again\n");
    pod.stop(&server, 10);
    assert_eq!(pod.ends(&server).0, 4);
    assert!(pod.log("server").contains(" stdout F asked\n"));
    pod.remove(&server);
    let id = Id { id: pod.id.clone() };
    pod.calls::<Empty>("StopPodSandbox", &id);
    pod.calls::<Empty>("RemovePodSandbox", &id);
    assert!(pod.calls::<Listed>("ListPodSandbox", &Empty {}).items.is_empty());
    assert!(pod.calls::<Listed>("ListContainers", &Empty {}).items.is_empty());
    pod.engine.has_no_groups();
}

fn limits(pod: &Pod, server: &str) {
    let quota = || pod.limit(server, "cpu", ["cpu.cfs_quota_us", "cpu.max"]);
    assert_eq!(pod.limit(server, "memory", MEMORY), (64 << 20).to_string());
    assert!(quota().starts_with("50000"));
    let linux =
        Some(Resources { cpu_quota: 150_000, cpu_period: 100_000, memory_limit: 96 << 20, ..Resources::default() });
    pod.calls::<Empty>("UpdateContainerResources", &Update { id: server.to_owned(), linux });
    assert_eq!(pod.limit(server, "memory", MEMORY), (96 << 20).to_string());
    assert!(quota().starts_with("150000"));
    let linux = Some(Resources { cpuset_cpus: "0".to_owned(), ..Resources::default() });
    pod.calls::<Empty>("UpdateContainerResources", &Update { id: server.to_owned(), linux });
    assert_eq!(pod.exec(server, &["nproc"], 0).unwrap().1, "1\n");
    assert_eq!(pod.limit(server, "memory", MEMORY), (96 << 20).to_string(), "what is not asked for stays");
}

fn probes(pod: &Pod, server: &str) {
    let probed = pod.exec(server, &["sh", "-c", "echo out; echo err >&2; exit 9"], 5);
    assert_eq!(probed.unwrap(), (9, "out\n".to_owned(), "err\n".to_owned()));
    assert!(pod.exec(server, &["sleep", "30"], 1).unwrap_err().contains("timeout 1s exceeded"));
    assert!(pod.exec(server, &["nosuch"], 5).unwrap_err().contains("executable file not found in $PATH"));
    eventually("its log has both streams", || {
        let log = pod.log("server");
        log.contains(" stdout F started\n") && log.contains(" stderr F bad\n")
    });
    let stats = pod.calls::<StatsAnswer>("ContainerStats", &Id { id: server.to_owned() }).stats.unwrap();
    let value = |usage: Option<Usage>| usage.and_then(|usage| usage.value).map_or(0, |number| number.value);
    assert!(value(stats.cpu) > 0 && value(stats.memory) > 0);
}

/// Containers of a pod share its network and its name; a debugger joins the processes of one that runs.
fn neighbours(pod: &Pod, server: &str) {
    let looks = [
        "sh",
        "-c",
        "hostname; ip -o -4 addr show eth0; ps; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; sleep 1000",
    ];
    let debugger = pod.create("debugger", &looks, linux(TARGET, server, Resources::default()));
    pod.calls::<Empty>("StartContainer", &Id { id: debugger.clone() });
    eventually("it has looked around", || pod.log("debugger").contains("ipc:["));
    let log = pod.log("debugger");
    assert!(log.contains("F pod\n") && log.contains("10.99.0."), "{log}");
    assert!(log.contains("echo started"), "the server's processes are there: {log}");
    let shared =
        pod.exec(server, &["sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc"], 5).unwrap().1;
    assert!(shared.lines().all(|line| log.contains(line)), "{shared}: {log}");
    pod.stop(&debugger, 0);
    assert_eq!(pod.ends(&debugger).0, 137);
    pod.remove(&debugger);
}

fn bad_commands(pod: &Pod) {
    for (command, reason) in [("nosuch", "executable file not found in $PATH"), ("/etc", "permission denied")] {
        let id = pod.create(command.trim_matches('/'), &[command], linux(CONTAINER, "", Resources::default()));
        let refused = pod.client.call::<Empty>("StartContainer", &Id { id: id.clone() }).unwrap_err();
        assert!(refused.contains("OCI runtime create failed") && refused.contains(reason), "{refused}");
        let status = pod.status(&id);
        assert_eq!((status.state, status.exit_code, status.reason.as_str()), (EXITED, 128, "StartError"));
        assert!(status.message.contains(reason), "{}", status.message);
        pod.remove(&id);
    }
}

fn short_of_memory(pod: &Pod) {
    let resources = Resources { memory_limit: 16 << 20, ..Resources::default() };
    let hungry = pod.start("hungry", &["sh", "-c", "x=a; while :; do x=$x$x; done"], resources);
    assert_eq!(pod.ends(&hungry), (137, "OOMKilled".to_owned()));
    pod.remove(&hungry);
}

/// A group below the container's own that somebody has frozen, with all of its processes.
fn frozen(pod: &Pod) {
    let id = pod.start("frozen", &["sh", "-c", "sleep 1000 & wait"], Resources::default());
    let group: PathBuf = pod.engine.group_of("freezer", &id);
    let below = group.join("below");
    fs::create_dir(&below).unwrap();
    for process in fs::read_to_string(group.join("cgroup.procs")).unwrap().lines() {
        fs::write(below.join("cgroup.procs"), process).unwrap();
    }
    freeze(&below);
    let began = Instant::now();
    pod.stop(&id, 1);
    pod.remove(&id);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!group.exists());
}

fn freeze(group: &Path) {
    let v1 = group.join("freezer.state");
    let (file, value) = if v1.exists() { (v1, "FROZEN") } else { (group.join("cgroup.freeze"), "1") };
    fs::write(file, value).unwrap();
}

fn many_at_once(pod: &Pod) {
    let socket = pod.engine.folder().join("socket");
    thread::scope(|scope| {
        for number in 0..20 {
            let name = format!("many-{number}");
            let id =
                pod.create(&name, &["sh", "-c", &format!("exit {number}")], linux(CONTAINER, "", Resources::default()));
            let client = Client::connect(&socket).unwrap();
            scope.spawn(move || {
                client.call::<Empty>("StartContainer", &Id { id: id.clone() }).unwrap();
                let status = || {
                    client
                        .call::<ContainerStatusAnswer>("ContainerStatus", &Id { id: id.clone() })
                        .unwrap()
                        .status
                        .unwrap()
                };
                eventually("it ends", || status().state == EXITED);
                assert_eq!(status().exit_code, number);
                client.call::<Empty>("RemoveContainer", &Id { id }).unwrap();
            });
        }
    });
}
