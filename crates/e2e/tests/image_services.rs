//! Services that people run: Debian's nginx, postgresql, redis and python3, made into images by carboy, buildah and podman,
//! pushed to a registry, pulled from it and run by nothing but what the images say.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carboy_e2e::network::{Neighbour, apart, tables};
use carboy_e2e::registry::{Manner, Registry};
use carboy_e2e::{Carboy, ended, eventually, says};

const SUITE: &str = "bookworm";
const PACKAGES: &str = "nginx-light,postgresql-15,redis-server,python3-minimal";
/// What a container's root has no use for, or would keep from another.
const LEFT_OUT: [&str; 3] = ["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"];
/// The folders of the data belong to whom the packages have made for that.
const FOLDERS: &str = "chroot \"$1\" install -d -o postgres -g postgres -m 700 /data/postgres && \
    chroot \"$1\" install -d -o redis -g redis -m 750 /data/redis";
/// How long a service may take to answer on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);

const NGINX: &str = "#!/bin/sh
set -e
sed s/PORT/$PORT/ /etc/nginx/site > /etc/nginx/sites-enabled/default
exec /usr/sbin/nginx \"$@\"
";
const SITE: &str = "server { listen PORT; root /srv/www; access_log /dev/stdout; }\n";
const POSTGRES: &str = "#!/bin/sh
set -e
if [ ! -s \"$PGDATA/PG_VERSION\" ]; then initdb --no-sync --auth=trust --username=postgres
    echo host all all samenet trust >> \"$PGDATA/pg_hba.conf\"; fi
exec \"$@\"
";

/// The test's registry, its carboy, and the storage of buildah and podman.
struct Shop {
    carboy: Carboy,
    registry: Registry,
}

impl Shop {
    fn path(&self, name: &str) -> PathBuf {
        self.carboy.folder().join(name)
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    /// A file of a context to build from.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path("context").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// buildah or podman, both with the same storage.
    fn told(&self, program: &str, words: &[&str]) -> String {
        let mut command = Command::new(program);
        command.arg("--root").arg(self.path("storage")).arg("--runroot").arg(self.path("run-of-storage"));
        command.args(["--storage-driver", "overlay"]).args(words).stdin(Stdio::null());
        let ended = ended(command.env("BUILDAH_ISOLATION", "chroot"));
        assert_eq!(ended.code, 0, "{program} {words:?}: {}", ended.stderr);
        ended.stdout.trim_end().to_owned()
    }

    /// Asks until it is answered.
    fn comes(&self, words: &[&str], expected: &str) {
        let began = Instant::now();
        loop {
            let ended = self.carboy.run(words);
            if (ended.code, ended.stdout.trim_end()) == (0, expected) {
                return;
            }
            let logs = || self.carboy.run(["logs", words.get(1).copied().unwrap_or_default()]);
            assert!(began.elapsed() < PATIENCE, "{words:?}: {ended:?} {:?}", logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_healthy(&self, name: &str) {
        self.comes(&["inspect", name, "-f", "{{.State.Health.Status}}"], "healthy");
    }
}

/// Makes a root with all the services as an archive. dpkg asks the disk to be sure of every file, which memory always is.
fn root(at: &Path, archive: &Path) {
    fs::create_dir(at).unwrap();
    let mounted = ended(Command::new("mount").args(["-t", "tmpfs", "-o", "size=2g", "tmpfs"]).arg(at));
    assert_eq!(mounted.code, 0, "{mounted:?}");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=essential", "--skip=output/dev"]).arg(format!("--include={PACKAGES}"));
    command.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg(format!("--customize-hook={FOLDERS}")).args([SUITE]).arg(archive).args(sources());
    let made = ended(command.env("TMPDIR", at).stdin(Stdio::null()));
    let unmounted = ended(Command::new("umount").arg(at));
    assert_eq!((made.code, unmounted.code), (0, 0), "install mmdebstrap: {made:?} {unmounted:?}");
}

/// This machine's apt sources of that release, so that its mirror is used; without any, mmdebstrap has a default.
fn sources() -> Vec<PathBuf> {
    let listed = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_suite =
        |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|word| word == SUITE));
    listed.chain([PathBuf::from("/etc/apt/sources.list")]).filter(of_suite).collect()
}

/// What a server on loopback answers to a request for its first page.
fn page(port: u16) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// One build of the packages takes as long as all the rest: it is for one test.
#[test]
fn services_from_debian_s_packages_run_by_what_their_images_say() {
    let shop = Shop { carboy: Carboy::new(), registry: Registry::start(Manner::Open) };
    let archive = shop.path("root.tar.gz");
    root(&shop.path("debian"), &archive);
    python_by_import(&shop, &archive);
    nginx_by_buildah(&shop);
    postgres_by_podman(&shop);
    redis_by_commit(&shop);
    // What is run is what comes from the registry.
    let listed = says(&shop.carboy, &["images", "-q"]);
    listed.lines().for_each(|id| drop(says(&shop.carboy, &["rmi", "-f", id])));
    says(&shop.carboy, &["image", "prune", "-f"]);
    python_runs(&shop);
    nginx_serves_a_page(&shop);
    postgres_keeps_its_data(&shop);
    redis_answers(&shop);
    apart(|| together(&shop));
    assert_eq!(says(&shop.carboy, &["system", "check"]), "");
    assert_eq!(shop.carboy.left_behind(), Vec::<String>::new());
}

/// Each on a network: a page through a published port, for the host and its neighbour, and clients in containers that know
/// the database and the cache by their names.
fn together(shop: &Shop) {
    let (carboy, neighbour) = (&shop.carboy, Neighbour::new());
    let [nginx, postgres, redis] = ["nginx:1", "postgres:1", "redis:1"].map(|name| shop.image(name));
    says(carboy, &["network", "create", "back"]);
    says(carboy, &["run", "-d", "--name", "web", "--network", "back", "-p", "8080:80", &nginx]);
    let listens = ["postgres", "-k", "/tmp", "-h", "*"];
    says(carboy, &[&["run", "-d", "--name", "db", "--network", "back", &postgres], &listens[..]].concat());
    let open = ["--save", "", "--protected-mode", "no"];
    says(carboy, &[&["run", "-d", "--name", "cache", "--network", "back", &redis], &open[..]].concat());
    eventually("nginx serves its page", || page(8080).ends_with("<p>here</p>\n"));
    assert_eq!(neighbour.page("192.0.2.1:8080").as_deref(), Some("<p>here</p>"));
    let idle = ["--entrypoint", "sleep", &postgres, "1000"];
    says(carboy, &[&["run", "-d", "--name", "client", "--network", "back"], &idle[..]].concat());
    let sql = ["exec", "client", "psql", "-h", "db", "-qAtc"];
    shop.comes(&[&sql[..], &["SELECT 6*7"]].concat(), "42");
    says(carboy, &[&sql[..], &["CREATE TABLE t AS SELECT generate_series(1, 1000) AS n"]].concat());
    shop.comes(&[&sql[..], &["SELECT sum(n) FROM t"]].concat(), "500500");
    let key = ["exec", "client", "redis-cli", "-h", "cache"];
    shop.comes(&[&key[..], &["set", "a", "1"]].concat(), "OK");
    shop.comes(&[&key[..], &["get", "a"]].concat(), "1");
    // As before where they come back with other addresses.
    says(carboy, &["restart", "db", "cache"]);
    shop.comes(&[&sql[..], &["SELECT sum(n) FROM t"]].concat(), "500500");
    shop.comes(&[&key[..], &["ping"]].concat(), "PONG");
    says(carboy, &["rm", "-f", "-v", "client", "cache", "db", "web"]);
    says(carboy, &["network", "rm", "back"]);
    assert_eq!(tables(), "");
}

fn python_by_import(shop: &Shop, archive: &Path) {
    let name = shop.image("python:1");
    let changes = ["-c", "ENTRYPOINT [\"python3\"]", "-c", "CMD [\"-c\", \"print(6*7)\"]", "-c", "ENV LANG=C.UTF-8"];
    says(&shop.carboy, &[&["import"], &changes[..], &[archive.to_str().unwrap(), &name]].concat());
    says(&shop.carboy, &["push", "-q", &name]);
}

fn python_runs(shop: &Shop) {
    let name = shop.image("python:1");
    says(&shop.carboy, &["pull", "-q", &name]);
    assert_eq!(says(&shop.carboy, &["run", "--rm", &name]), "42\n");
    let script = "import os, sys; print(os.environ['LANG'], sys.argv[1:])";
    assert_eq!(says(&shop.carboy, &["run", "--rm", &name, "-c", script, "a", "b c"]), "C.UTF-8 ['a', 'b c']\n");
}

fn nginx_by_buildah(shop: &Shop) {
    let (base, name) = (shop.image("python:1"), shop.image("nginx:1"));
    let made = shop.told("buildah", &["from", "--quiet", "--tls-verify=false", &base]);
    let files = [("start", NGINX, "755", "/usr/local/bin/"), ("site", SITE, "644", "/etc/nginx/")];
    for (file, text, mode, to) in files.into_iter().chain([("index.html", "<p>here</p>\n", "644", "/srv/www/")]) {
        shop.told("buildah", &["copy", "--quiet", "--chmod", mode, &made, &shop.file(file, text), to]);
    }
    // One word is split at blanks as a shell would.
    let command = "-g 'daemon off; error_log /dev/stderr notice;'";
    let process = ["--entrypoint", "[\"/usr/local/bin/start\"]", "--cmd", command, "--workingdir", "/srv"];
    let check = ["--healthcheck", "CMD test -s /run/nginx.pid", "--healthcheck-interval", "1s"];
    let more = ["--env", "PORT=80", "--port", "80/tcp", "--stop-signal", "SIGQUIT", "--label", "tier=front"];
    shop.told("buildah", &[&["config"], &process[..], &check, &more, &[&made]].concat());
    shop.told("buildah", &["commit", "--quiet", "--format", "docker", "--rm", &made, &name]);
    shop.told("buildah", &["push", "--quiet", "--tls-verify=false", &name]);
}

fn nginx_serves_a_page(shop: &Shop) {
    let (carboy, name) = (&shop.carboy, shop.image("nginx:1"));
    says(carboy, &["pull", "-q", &name]);
    says(carboy, &["run", "-d", "--name", "web", &name]);
    let request = "import _socket; s = _socket.socket(); s.connect(('127.0.0.1', 80)); \
        s.send(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(b''.join(iter(lambda: s.recv(4096), b'')).decode()[-12:])";
    shop.comes(&["exec", "web", "python3", "-c", request], "<p>here</p>");
    shop.is_healthy("web");
    let asked = "{{.Config.StopSignal}} {{json .Config.ExposedPorts}} {{.Config.Labels.tier}} {{.Config.WorkingDir}}";
    assert_eq!(says(carboy, &["inspect", "web", "-f", asked]), "SIGQUIT {\"80/tcp\":{}} front /srv\n");
    says(carboy, &["stop", "web"]);
    assert_eq!(says(carboy, &["inspect", "web", "-f", "{{.State.ExitCode}}"]), "0\n");
    let log = carboy.run(["logs", "web"]).stderr;
    assert!(log.contains("signal 3 (SIGQUIT)") && log.contains("gracefully shutting down"), "{log}");
    says(carboy, &["rm", "web"]);
    // On the host's network, at a port that the container is told.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = format!("PORT={port}");
    says(carboy, &["run", "-d", "--rm", "--name", "web", "--network", "host", "-e", &told, &name]);
    eventually("nginx serves its page", || page(port).ends_with("<p>here</p>\n"));
    says(carboy, &["stop", "web"]);
}

const CONTAINERFILE: &str = r#"ENV PGDATA=/data/postgres PGHOST=/tmp PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin
COPY --chmod=755 start-postgres /usr/local/bin/
USER postgres
WORKDIR /data
VOLUME /data/postgres
EXPOSE 5432
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1s CMD pg_isready
ENTRYPOINT ["/usr/local/bin/start-postgres"]
CMD ["postgres", "-k", "/tmp"]
"#;

fn postgres_by_podman(shop: &Shop) {
    let (base, name) = (shop.image("python:1"), shop.image("postgres:1"));
    shop.file("start-postgres", POSTGRES);
    let file = shop.file("Containerfile", &format!("FROM {base}\n{CONTAINERFILE}"));
    let context = shop.path("context").display().to_string();
    let manner = ["--quiet", "--pull-never", "--format", "docker", "--tls-verify=false"];
    shop.told("podman", &[&["build"], &manner[..], &["-f", &file, "-t", &name, &context]].concat());
    shop.told("podman", &["push", "--quiet", "--tls-verify=false", &name]);
}

fn postgres_keeps_its_data(shop: &Shop) {
    let (carboy, name) = (&shop.carboy, shop.image("postgres:1"));
    says(carboy, &["pull", "-q", &name]);
    let run = || says(carboy, &["run", "-d", "--name", "db", "-v", "kept:/data/postgres", &name]);
    let counted = |rows: &str| shop.comes(&["exec", "db", "psql", "-Atc", "SELECT count(*) FROM t"], rows);
    let ready = || shop.comes(&["exec", "db", "psql", "-Atc", "SELECT current_user"], "postgres");
    run();
    ready();
    let insert = |rows: &str| {
        let words = format!("INSERT INTO t SELECT generate_series(1, {rows})");
        assert_eq!(says(carboy, &["exec", "db", "psql", "-qAtc", &words]), "");
    };
    says(carboy, &["exec", "db", "psql", "-qc", "CREATE TABLE t (n int)"]);
    insert("1000");
    shop.is_healthy("db");
    says(carboy, &["restart", "db"]);
    counted("1000");
    insert("1");
    says(carboy, &["stop", "db"]);
    assert_eq!(says(carboy, &["inspect", "db", "-f", "{{.State.ExitCode}} {{.Config.StopSignal}}"]), "0 SIGINT\n");
    let log = carboy.run(["logs", "db"]);
    assert!(log.stderr.contains("received fast shutdown request"), "{log:?}");
    says(carboy, &["rm", "db"]);
    run();
    counted("1001");
    assert_eq!(says(carboy, &["exec", "db", "stat", "-c", "%U %a", "/data/postgres"]), "postgres 700\n");
    says(carboy, &["stop", "db"]);
    says(carboy, &["rm", "db"]);
    says(carboy, &["volume", "rm", "kept"]);
}

fn redis_by_commit(shop: &Shop) {
    let (carboy, name) = (&shop.carboy, shop.image("redis:1"));
    says(carboy, &["create", "--name", "made", &shop.image("python:1")]);
    let changes = [
        "ENTRYPOINT [\"redis-server\", \"--dir\", \"/data/redis\"]",
        "CMD [\"--save\", \"3600 1\"]",
        "USER redis",
        "WORKDIR /data/redis",
        "VOLUME /data/redis",
        "EXPOSE 6379",
        "HEALTHCHECK --interval=1s CMD redis-cli ping | grep -q PONG",
    ];
    let changes: Vec<&str> = changes.iter().flat_map(|change| ["-c", change]).collect();
    says(carboy, &[&["commit"], &changes[..], &["made", &name]].concat());
    says(carboy, &["rm", "made"]);
    says(carboy, &["push", "-q", &name]);
}

fn redis_answers(shop: &Shop) {
    let (carboy, name) = (&shop.carboy, shop.image("redis:1"));
    says(carboy, &["pull", "-q", &name]);
    says(carboy, &["run", "-d", "--name", "cache", &name]);
    let asks = |words: &[&str], expected: &str| {
        shop.comes(&[&["exec", "cache", "redis-cli"], words].concat(), expected);
    };
    asks(&["ping"], "PONG");
    shop.is_healthy("cache");
    assert_eq!(says(carboy, &["exec", "cache", "redis-cli", "set", "a", "1"]), "OK\n");
    says(carboy, &["restart", "cache"]);
    asks(&["get", "a"], "1");
    assert_eq!(says(carboy, &["exec", "cache", "id", "-un"]), "redis\n");
    says(carboy, &["stop", "cache"]);
    assert_eq!(says(carboy, &["inspect", "cache", "-f", "{{.State.ExitCode}}"]), "0\n");
    says(carboy, &["rm", "-v", "cache"]);
}
