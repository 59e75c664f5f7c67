//! What engines call their containers, from their files on disk. A name is all that is taken from them; who holds which
//! file and whether it is true decides nothing else. No engine is asked.
//!
//! Docker: `containers/ID/config.v2.json` in its data root. Podman and CRI-O: `overlay-containers/containers.json` of
//! containers/storage. containerd: `config.json` of the bundle in its state folder; Kubernetes' names are annotations in it.
//! carboy: `containers/ID/container.json`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use procfs::MountInfo;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::recognise::Recognised;
use crate::snapshot::Engine;

/// No state file of one container, nor a list of all, is longer.
const LONGEST: u64 = 16 << 20;
/// Most of them are shorter, in bytes.
const USUAL: usize = 16 << 10;

/// What an engine's files say of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) engine: Engine,
    pub(crate) name: Option<String>,
    pub(crate) pod: Option<String>,
}

/// The engines' files on this host.
#[derive(Debug)]
pub(crate) struct State {
    /// Where the host's files are: `/`.
    host: PathBuf,
    /// carboy's root folders.
    carboy: Vec<PathBuf>,
    stored: OnceCell<BTreeMap<String, String>>,
    /// The folders of containerd's namespaces, where the bundles are.
    bundles: OnceCell<Vec<PathBuf>>,
}

#[derive(Deserialize)]
struct Carboy {
    name: String,
}

#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Name")]
    name: String,
}

#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

const DOCKER: &str = "var/lib/docker";
const STORAGE: &str = "var/lib/containers/storage";
const STORAGE_OF_USER: &str = ".local/share/containers/storage";
const TASKS: [&str; 3] = [
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "var/run/docker/containerd/daemon/io.containerd.runtime.v2.task",
];

/// The folder in which systemd-nspawn keeps one for each machine, which has it mounted: `machinectl bind` uses it.
const PROPAGATE: &str = "run/systemd/nspawn/propagate";

/// The machine of systemd-nspawn that has these mounts, where its group does not tell: it may stay in its caller's.
pub(crate) fn machine(mounts: &[MountInfo]) -> Option<Recognised> {
    let is_it = |mount: &&MountInfo| mount.mount_point == Path::new("/run/host/incoming");
    let root = mounts.iter().filter(is_it).map(|mount| mount.root.as_path());
    let mut names =
        root.filter(|root| root.parent().is_some_and(|folder| folder.ends_with("systemd/nspawn/propagate")));
    let id = names.next()?.file_name()?.to_str()?.to_owned();
    Some(Recognised { engine: Engine::Nspawn, id, depth: 0 })
}

impl State {
    pub(crate) fn new(host: &Path, carboy: &[PathBuf]) -> Self {
        Self { host: host.to_owned(), carboy: carboy.to_vec(), stored: OnceCell::new(), bundles: OnceCell::new() }
    }

    /// Who runs a container, and what it is called. `mounts` reads those of its first process: they tell where the engine
    /// keeps its files, where that is not the usual place.
    pub(crate) fn identify(&self, found: &Recognised, mounts: impl FnOnce() -> Vec<MountInfo>) -> Identity {
        let id = found.id.as_str();
        let named = |engine, name| Identity { engine, name: Some(name), pod: None };
        let usual = match found.engine {
            Engine::Carboy => self.carboy(id).map(|name| named(Engine::Carboy, name)),
            Engine::Docker => docker(&self.host.join(DOCKER), id).map(|name| named(Engine::Docker, name)),
            Engine::Podman => self.stored(id).map(|name| named(Engine::Podman, name)),
            Engine::Containerd | Engine::Crio => self.bundle(found.engine, id),
            Engine::Lxc | Engine::Nspawn => Some(named(found.engine, id.to_owned())),
            Engine::Unknown | Engine::Sandbox => self.whoever(id),
        };
        usual.or_else(|| self.by_mounts(id, &mounts())).unwrap_or(Identity {
            engine: found.engine,
            name: None,
            pod: None,
        })
    }

    /// A group that does not say whose it is: the engine whose files know the id.
    fn whoever(&self, id: &str) -> Option<Identity> {
        let named = |engine, name| Identity { engine, name: Some(name), pod: None };
        let carboy = || self.carboy(id).map(|name| named(Engine::Carboy, name));
        let docker = || docker(&self.host.join(DOCKER), id).map(|name| named(Engine::Docker, name));
        let podman = || self.stored(id).map(|name| named(Engine::Podman, name));
        carboy().or_else(docker).or_else(|| self.bundle(Engine::Containerd, id)).or_else(podman)
    }

    fn carboy(&self, id: &str) -> Option<String> {
        let read = |root: &PathBuf| read::<Carboy>(&root.join("containers").join(id).join("container.json"));
        self.carboy.iter().find_map(read).map(|record| record.name)
    }

    /// The names in the lists of containers/storage, root's and the users'.
    fn stored(&self, id: &str) -> Option<String> {
        let stored = self.stored.get_or_init(|| {
            let passwd = std::fs::read_to_string(self.host.join("etc/passwd")).unwrap_or_default();
            let homes = passwd.lines().filter_map(|line| line.split(':').nth(5));
            let homes = homes.map(|home| self.host.join(home.trim_start_matches('/')).join(STORAGE_OF_USER));
            std::iter::once(self.host.join(STORAGE)).chain(homes).flat_map(|storage| list(&storage)).collect()
        });
        stored.get(id).cloned()
    }

    fn bundles(&self) -> &[PathBuf] {
        self.bundles.get_or_init(|| {
            let entries = TASKS.iter().flat_map(|tasks| std::fs::read_dir(self.host.join(tasks)).into_iter().flatten());
            entries.flatten().map(|entry| entry.path()).collect()
        })
    }

    /// A group that has the name of one of containerd's bundles, as those of its own client: their ids are any words.
    pub(crate) fn bundled(&self, group: &Path) -> Option<Recognised> {
        let id = group.file_name()?.to_str()?;
        let is_bundle = |folder: &PathBuf| folder.join(id).join("config.json").exists();
        let depth = group.components().count().saturating_sub(1);
        self.bundles().iter().any(is_bundle).then(|| Recognised {
            engine: Engine::Containerd,
            id: id.to_owned(),
            depth,
        })
    }

    /// Whether systemd-nspawn has a machine that runs, or has not cleaned up behind one.
    pub(crate) fn has_machines(&self) -> bool {
        let machines = std::fs::read_dir(self.host.join(PROPAGATE));
        machines.is_ok_and(|mut machines| machines.next().is_some())
    }

    fn bundle(&self, engine: Engine, id: &str) -> Option<Identity> {
        let folders = self.bundles();
        let storage =
            ["run/containers/storage", STORAGE].map(|storage| self.host.join(storage).join("overlay-containers"));
        let userdata = storage.iter().map(|folder| (folder, folder.join(id).join("userdata/config.json")));
        let bundles = folders.iter().map(|folder| (folder, folder.join(id).join("config.json")));
        let (folder, bundle) =
            bundles.chain(userdata).find_map(|(folder, file)| Some((folder, read::<Bundle>(&file)?)))?;
        let is_dockers = folder.file_name().is_some_and(|name| name == "moby");
        let engine = if is_dockers { Engine::Docker } else { engine };
        let at = |keys: [&str; 2]| keys.iter().find_map(|key| bundle.annotations.get(*key)).cloned();
        let pod = at(["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]);
        let space = at(["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]);
        let pod = pod.map(|pod| space.map_or_else(|| pod.clone(), |space| format!("{space}/{pod}")));
        let sandbox = at(["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
        let pause = sandbox.filter(|kind| kind == "sandbox").map(|_| "pause".to_owned());
        let name = at(["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]);
        // Its own client has no names beside the ids.
        let plain = Some(id.to_owned()).filter(|id| id.len() != 64);
        let name = name.or_else(|| at(["nerdctl/name", "org.opencontainers.image.ref.name"])).or(pause).or(plain);
        Some(Identity { engine, name, pod })
    }

    /// Docker mounts `DATA/containers/ID/hostname` in each container, and the folders of an overlay lie in the storage that
    /// the list of names lies in too.
    fn by_mounts(&self, id: &str, mounts: &[MountInfo]) -> Option<Identity> {
        let named = |engine, name| Some(Identity { engine, name: Some(name), pod: None });
        let of_docker = format!("/containers/{id}/");
        for mount in mounts {
            let root = mount.root.to_string_lossy();
            let data = root.find(&of_docker).and_then(|end| root.get(..end)).map(|data| self.on_host(data));
            if let Some(name) = data.and_then(|data| docker(&data, id)) {
                return named(Engine::Docker, name);
            }
            let folder = root.split_once("/vfs/dir/").map(|(storage, _)| storage);
            let upper = mount.super_options.split(',').find_map(|option| option.strip_prefix("upperdir="));
            let storage = upper.and_then(|upper| Some(upper.split_once("/overlay/")?.0)).or(folder);
            if let Some(name) = storage
                .map(|storage| self.on_host(storage))
                .and_then(|storage| list(&storage).find(|(one, _)| one == id))
            {
                return named(Engine::Podman, name.1);
            }
        }
        None
    }

    fn on_host(&self, path: &str) -> PathBuf {
        self.host.join(path.trim_start_matches('/'))
    }
}

fn docker(data: &Path, id: &str) -> Option<String> {
    let config: Docker = read(&data.join("containers").join(id).join("config.v2.json"))?;
    Some(config.name.trim_start_matches('/').to_owned())
}

/// The names in one storage; those of containers that go when they end stand in a list of their own.
fn list(storage: &Path) -> impl Iterator<Item = (String, String)> + use<> {
    let files = ["containers.json", "volatile-containers.json"];
    let drivers = ["overlay-containers", "vfs-containers"];
    let paths = drivers.iter().flat_map(|driver| files.map(|file| storage.join(driver).join(file)));
    let lists: Vec<_> = paths.map(|path| read::<Vec<Stored>>(&path)).collect();
    let all = lists.into_iter().flatten().flatten();
    all.filter_map(|one| Some((one.id, one.names.into_iter().next()?)))
}

/// A state file; what is absent, too long or not understood tells nothing.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    // Without room to begin with, a reader with a limit makes many small reads.
    let mut text = Vec::with_capacity(USUAL);
    File::open(path).ok()?.take(LONGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = host.path().join(path.replace("ID", ID));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("ID", ID)).unwrap();
        }
        host
    }

    fn identity(engine: Engine, files: &[(&str, &str)], mounts: &str) -> (Engine, Option<String>, Option<String>) {
        let host = host(files);
        let state = State::new(host.path(), &[host.path().join("var/lib/carboy")]);
        let found = Recognised { engine, id: ID.to_owned(), depth: 1 };
        let mounts = mounts.replace("ID", ID);
        let one = state.identify(&found, || procfs::mountinfo::parse(mounts.as_bytes()).unwrap());
        (one.engine, one.name, one.pod)
    }

    fn named(engine: Engine, name: &str) -> (Engine, Option<String>, Option<String>) {
        (engine, Some(name.to_owned()), None)
    }

    const DOCKERS: (&str, &str) =
        ("var/lib/docker/containers/ID/config.v2.json", r#"{"ID": "ID", "Name": "/web", "State": {}}"#);

    #[test]
    fn each_engines_files_tell_its_names() {
        assert_eq!(identity(Engine::Docker, &[DOCKERS], ""), named(Engine::Docker, "web"));
        let carboy = ("var/lib/carboy/containers/ID/container.json", r#"{"version": 1, "name": "lie"}"#);
        assert_eq!(identity(Engine::Carboy, &[carboy], ""), named(Engine::Carboy, "lie"));
        let list = r#"[{"id": "ID", "names": ["db"], "layer": "x"}, {"id": "other"}]"#;
        let podman = ("var/lib/containers/storage/overlay-containers/containers.json", list);
        assert_eq!(identity(Engine::Podman, &[podman], ""), named(Engine::Podman, "db"));
        let volatile = ("home/anna/.local/share/containers/storage/overlay-containers/volatile-containers.json", list);
        let passwd = ("etc/passwd", "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n");
        assert_eq!(identity(Engine::Podman, &[volatile, passwd], ""), named(Engine::Podman, "db"));
    }

    #[test]
    fn a_kubelets_container_has_its_pods_name() {
        let annotations = r#"{"annotations": {"io.kubernetes.cri.container-name": "nginx", "io.kubernetes.cri.sandbox-name": "front",
            "io.kubernetes.cri.sandbox-namespace": "shop", "io.kubernetes.cri.container-type": "container"}}"#;
        let bundle = ("run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json", annotations);
        let expected = (Engine::Containerd, Some("nginx".to_owned()), Some("shop/front".to_owned()));
        assert_eq!(identity(Engine::Containerd, &[bundle], ""), expected);
    }

    #[test]
    fn a_group_that_says_nothing_is_whose_files_know_its_id() {
        assert_eq!(identity(Engine::Unknown, &[DOCKERS], ""), named(Engine::Docker, "web"));
        assert_eq!(identity(Engine::Unknown, &[], ""), (Engine::Unknown, None, None));
    }

    #[test]
    fn a_group_with_a_bundles_name_is_containerds() {
        let host = host(&[("run/containerd/io.containerd.runtime.v2.task/default/web/config.json", "{}")]);
        let state = State::new(host.path(), &[]);
        let found = state.bundled(Path::new("/default/web")).unwrap();
        assert_eq!((found.engine, found.id.as_str(), found.depth), (Engine::Containerd, "web", 2));
        assert_eq!(state.identify(&found, Vec::new).name.as_deref(), Some("web"));
        assert_eq!(state.bundled(Path::new("/default/other")), None);
        assert_eq!(state.bundled(Path::new("/")), None);
    }

    #[test]
    fn a_machine_is_known_by_the_folder_that_it_is_handed_things_in() {
        let found = |root: &str, point: &str| {
            let line = format!("1 2 0:9 {root} {point} ro - tmpfs tmpfs rw\n");
            machine(&procfs::mountinfo::parse(line.as_bytes()).unwrap()).map(|found| found.id)
        };
        assert_eq!(found("/systemd/nspawn/propagate/web", "/run/host/incoming").as_deref(), Some("web"));
        assert_eq!(found("/run/systemd/nspawn/propagate/web", "/run/host/incoming").as_deref(), Some("web"));
        assert_eq!(found("/systemd/nspawn/propagate/web", "/run/host/x"), None);
        assert_eq!(found("/srv/web", "/run/host/incoming"), None);
    }

    #[test]
    fn mounts_lead_to_a_data_root_elsewhere() {
        let config = ("srv/d/containers/ID/config.v2.json", r#"{"Name": "/far"}"#);
        let mounts = "1 2 8:1 /srv/d/containers/ID/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n";
        assert_eq!(identity(Engine::Docker, &[config], mounts), named(Engine::Docker, "far"));
        let list = ("srv/s/overlay-containers/containers.json", r#"[{"id": "ID", "names": ["far"]}]"#);
        let mounts = "1 2 0:9 / / rw - overlay overlay rw,lowerdir=/srv/s/overlay/l/A,upperdir=/srv/s/overlay/b/diff,workdir=/w\n";
        assert_eq!(identity(Engine::Podman, &[list], mounts), named(Engine::Podman, "far"));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_tells_nothing() {
        for text in ["", "{", "[]", r#"{"Name": 7}"#] {
            let config = ("var/lib/docker/containers/ID/config.v2.json", text);
            assert_eq!(identity(Engine::Docker, &[config], ""), (Engine::Docker, None, None), "{text}");
        }
    }
}
