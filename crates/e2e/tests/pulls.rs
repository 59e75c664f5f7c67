//! Pulls that are not plain: an image for another machine, layers by zstd, a registry that does wrong, and how it is told.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use carboy_e2e::shelf::Shelf;
use carboy_e2e::{Carboy, Person, ended, says};
use serde_json::{Value, json};

/// An image for amd64 and arm64, whose file `arch` says for which it is.
fn for_two(shelf: &mut Shelf) -> String {
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let note = shelf.layout.file("arch", format!("{architecture}\n").as_bytes());
        let layers = [shelf.base.clone(), note];
        let (tag, config) = (format!("multi:{architecture}"), json!({"Cmd": ["cat", "/arch"]}));
        let digest = shelf.layout.image_for(architecture, &tag, &layers, &config);
        shelf.layout.push(&tag, &format!("{}/{tag}", shelf.registry.host()));
        let blob = shelf.layout.folder().join("blobs").join(digest.replace(':', "/"));
        manifests.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
            "size": fs::metadata(blob).unwrap().len(), "platform": {"architecture": architecture, "os": "linux"},
        }));
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
    shelf.registry.put("/v2/multi/manifests/1", &index);
    format!("{}/multi:1", shelf.registry.host())
}

#[test]
fn an_image_comes_for_this_machine_or_for_the_one_that_was_asked_for() {
    let mut shelf = Shelf::new();
    let name = for_two(&mut shelf);
    let carboy = &shelf.carboy;
    says(carboy, &["pull", "-q", &name]);
    assert_eq!(says(carboy, &["run", "--rm", &name]), "amd64\n");
    // One for another machine is absent, and comes as what is absent does.
    let other = ["run", "--rm", "--platform", "linux/arm64"];
    let came = carboy.run([&other[..], &[&name]].concat());
    assert_eq!((came.code, came.stdout.as_str()), (0, "arm64\n"), "{came:?}");
    assert!(came.stderr.starts_with(&format!("Unable to find image '{name}' locally\n")), "{came:?}");
    let asked = "{{.Os}}/{{.Architecture}}";
    assert_eq!(says(carboy, &["image", "inspect", "-f", asked, &name]), "linux/arm64\n");
    assert_eq!(carboy.run([&other[..], &[&name]].concat()).stderr, "");
    let never = carboy.run(["run", "--pull", "never", "--platform", "linux/amd64", &name]);
    assert_eq!(never.code, 125);
    assert!(never.stderr.contains("--platform linux/amd64: is not that of"), "{never:?}");
    // An id is that of one image for one machine.
    let id = says(carboy, &["images", "-q", &name]);
    let by_id = carboy.run(["run", "--platform", "linux/amd64", id.trim_end()]);
    assert_eq!(by_id.code, 125);
    assert!(by_id.stderr.starts_with("error: cannot use --platform linux/amd64: is not that of"), "{by_id:?}");
    assert_eq!(carboy.run(["run", "--rm", "--platform", "linux/amd64", &name]).stdout, "amd64\n");
    // What comes is looked at too.
    let single = name.replace("multi:1", "multi:amd64");
    for pull in ["missing", "always"] {
        let refused = carboy.run([&other[..], &["--pull", pull, &single]].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (125, ""), "{refused:?}");
        assert!(refused.stderr.contains("--platform linux/arm64: is not that of"), "{refused:?}");
    }
    says(carboy, &["pull", "-q", "--platform", "linux/arm64", &name]);
    assert_eq!(says(carboy, &["image", "inspect", "-f", asked, &name]), "linux/arm64\n");
    let nowhere = carboy.run(["pull", "--platform", "linux/s390x", &name]);
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
    assert!(nowhere.stderr.contains("is not made for linux/s390x\nhint: it is made for linux/amd64, linux/arm64"));
}

#[test]
fn a_program_of_another_machine_is_told_with_the_machine_that_its_image_is_made_for() {
    let mut shelf = Shelf::new();
    let folder = shelf.carboy.folder().join("program");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("app"), b"\x7fELF\x02\x01\x01 of another machine").unwrap();
    fs::set_permissions(folder.join("app"), fs::Permissions::from_mode(0o755)).unwrap();
    let layer = shelf.layout.layer(&folder);
    let name = format!("{}/other:1", shelf.registry.host());
    shelf.layout.image_for("s390x", "other:1", &[layer], &json!({"Cmd": ["/app"]}));
    shelf.layout.push("other:1", &name);
    says(&shelf.carboy, &["pull", "-q", "--platform", "linux/s390x", &name]);
    let failed = shelf.carboy.run(["run", "--rm", &name]);
    let hint = "its image is made for linux/s390x, and this machine is linux/";
    assert_eq!(failed.code, 126, "{failed:?}");
    assert!(failed.stderr.contains(&format!("\"/app\": exec format error\nhint: {hint}")), "{failed:?}");
}

#[test]
fn layers_by_zstd_come_from_a_registry_and_go_there_as_they_are() {
    let mut shelf = Shelf::new();
    let busybox = shelf.carboy.busybox();
    // What makes zstd:chunked ends an archive after two empty blocks.
    let tar = Command::new("tar").args(["-b", "1", "-c", "-C"]).arg(&busybox).arg(".").output().unwrap();
    let layer = shelf.layout.layer_of(&tar.stdout);
    shelf.layout.image("app:1", &[layer], &json!({"Cmd": ["echo", "unpacked"]}));
    let path = |name: &str| format!("dir:{}", shelf.carboy.folder().join(name).display());
    let copy = |flags: &[&str], from: &str, to: &str| {
        let copied = ended(Command::new("skopeo").args(["copy", "--quiet"]).args(flags).args([from, to]));
        assert_eq!(copied.code, 0, "{copied:?}");
    };
    copy(&["--dest-decompress"], &format!("oci:{}:app:1", shelf.layout.folder().display()), &path("plain"));
    for form in ["zstd", "zstd:chunked"] {
        let (place, name) = (path("packed"), format!("{}/app:{}", shelf.registry.host(), form.replace(':', "-")));
        copy(&["--dest-compress", "--dest-compress-format", form], &path("plain"), &place);
        let id = says(&shelf.carboy, &["pull", "-q", &place]);
        says(&shelf.carboy, &["push", "-q", id.trim_end(), &name]);
        says(&shelf.carboy, &["rmi", "-f", id.trim_end()]);
        assert_eq!(shelf.blobs(), []);
        says(&shelf.carboy, &["pull", "-q", &name]);
        assert_eq!(says(&shelf.carboy, &["run", "--rm", &name]), "unpacked\n", "{form}");
        let manifest: Value = serde_json::from_str(&says(&shelf.carboy, &["manifest", "inspect", &name])).unwrap();
        let layer = &manifest["layers"][0];
        assert_eq!(layer["mediaType"], json!("application/vnd.oci.image.layer.v1.tar+zstd"), "{form}");
        assert_eq!(layer["annotations"].is_object(), form == "zstd:chunked", "{layer}");
        says(&shelf.carboy, &["rmi", &name]);
        fs::remove_dir_all(shelf.carboy.folder().join("packed")).unwrap();
    }
}

/// What stands between carboy and a registry does to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Answers with this.
    Status(&'static str),
    /// Says that it is elsewhere, which is here.
    Circle,
    /// Sends the first half of a manifest.
    HalfManifest,
    /// Sends another byte at the end of a layer.
    OtherByte,
    /// Breaks the connection off in the middle of a layer, and from then on at its beginning.
    Killed,
}

/// A registry's neighbour, which hands on what the registry says, but for faults.
struct Between {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    /// The paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Between {
    fn new(registry: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let between = Self {
            port: listener.local_addr().unwrap().port(),
            fault: Arc::new(Mutex::new(Fault::None)),
            asked: Arc::default(),
        };
        let (fault, asked) = (Arc::clone(&between.fault), Arc::clone(&between.asked));
        // Ends with the test's process.
        std::thread::spawn(move || {
            let mut killed = false;
            for stream in listener.incoming() {
                let (mut stream, fault) = (stream.unwrap(), *fault.lock().unwrap());
                killed &= fault == Fault::Killed;
                if killed {
                    continue;
                }
                // Who begins with TLS is refused, and then comes without.
                let Some(request) = head(&mut stream) else { continue };
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = answered(registry, &request, &path, fault);
                killed = fault == Fault::Killed && answer.is_cut;
                asked.lock().unwrap().push(path);
                let _ = stream.write_all(&answer.bytes);
            }
        });
        between
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
        self.asked.lock().unwrap().clear();
    }
}

struct Answer {
    bytes: Vec<u8>,
    is_cut: bool,
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 || !byte.is_ascii() || byte[0] == 22 {
            return None;
        }
        request.push(byte[0]);
    }
    String::from_utf8(request).ok()
}

fn answered(registry: u16, request: &str, path: &str, fault: Fault) -> Answer {
    let whole = |bytes: Vec<u8>| Answer { bytes, is_cut: false };
    let plain = |status: &str, field: &str| {
        format!("HTTP/1.1 {status}\r\n{field}Content-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    };
    match fault {
        Fault::Status(status) => return whole(plain(status, "WWW-Authenticate: Basic realm=\"x\"\r\n")),
        Fault::Circle => return whole(plain("307 Temporary Redirect", &format!("Location: {path}\r\n"))),
        _ => {}
    }
    let mut there = TcpStream::connect(("127.0.0.1", registry)).unwrap();
    write!(there, "{}\r\n\r\n", request.trim_end().to_owned() + "\r\nConnection: close").unwrap();
    let mut bytes = Vec::new();
    there.read_to_end(&mut bytes).unwrap();
    let body = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (is_manifest, is_layer) = (path.contains("/manifests/"), path.contains("/blobs/") && bytes.len() > 100_000);
    let half = body + (bytes.len() - body) / 2;
    match fault {
        Fault::HalfManifest if is_manifest => {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let length = half - body;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
            whole([head.as_bytes(), &bytes[body..half]].concat())
        }
        Fault::OtherByte if is_layer => {
            *bytes.last_mut().unwrap() ^= 1;
            whole(bytes)
        }
        Fault::Killed if is_layer => Answer { bytes: bytes[..half].to_vec(), is_cut: true },
        _ => whole(bytes),
    }
}

fn blobs(carboy: &Carboy) -> BTreeSet<String> {
    let listed = fs::read_dir(carboy.folder().join("root/content/sha256")).into_iter().flatten();
    listed.map(|blob| blob.unwrap().file_name().into_string().unwrap()).collect()
}

/// Pulls it with a fault: one line and a hint, nothing in the store is wrong, and the next pull asks for what is missing alone.
fn goes_wrong(registry: u16, fault: Fault, expected: &str) {
    let (carboy, between) = (Carboy::new(), Between::new(registry));
    let name = format!("127.0.0.1:{}/app:1", between.port);
    between.set(fault);
    let failed = carboy.run(["pull", "-q", &name]);
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{fault:?}: {failed:?}");
    let lines: Vec<&str> = failed.stderr.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("hint: "), "{fault:?}: {failed:?}");
    assert!(lines[0].starts_with("error: cannot ") && failed.stderr.contains(expected), "{fault:?}: {failed:?}");
    let checked = carboy.run(["system", "check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{fault:?}: {checked:?}");
    assert_eq!(says(&carboy, &["images", "-q"]), "", "{fault:?}");
    let whole = blobs(&carboy);
    between.set(Fault::None);
    assert_eq!(says(&carboy, &["pull", "-q", &name]), format!("{name}\n"));
    let asked = between.asked.lock().unwrap().clone();
    assert!(asked.iter().any(|path| path.contains("/blobs/")), "{fault:?}: {asked:?}");
    let again: Vec<&String> = asked.iter().filter(|path| whole.iter().any(|blob| path.ends_with(blob))).collect();
    assert!(again.is_empty(), "{fault:?}: {again:?} was whole");
    assert_eq!(says(&carboy, &["run", "--rm", &name]), "ran\n", "{fault:?}");
}

#[test]
fn what_a_registry_does_wrong_is_one_clear_line_and_the_next_pull_brings_what_is_missing() {
    let mut shelf = Shelf::new();
    let noise: Vec<u8> = (0_u32..500_000).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let layers = [shelf.layout.file("small", b"small\n"), shelf.layout.file("noise", &noise)];
    shelf.offer("app:1", &layers, &json!({"Cmd": ["echo", "ran"]}));
    let registry = shelf.registry.port();
    std::thread::scope(|scope| {
        for (fault, expected) in [
            (Fault::Status("401 Unauthorized"), "asks for a login"),
            (Fault::Status("403 Forbidden"), "does not allow this"),
            (Fault::Status("404 Not Found"), "has none of that name"),
            (Fault::Status("429 Too Many Requests"), "takes no more requests for now"),
            (Fault::Status("500 Internal Server Error"), "answers 500 Internal Server Error"),
            (Fault::Circle, "its redirects lead in a circle"),
            (Fault::HalfManifest, "/app:1: of what its registry sends, the manifest is not JSON"),
            (Fault::OtherByte, "is not what was sent for it, which is sha256:"),
            (Fault::Killed, "it ended the connection early"),
        ] {
            scope.spawn(move || goes_wrong(registry, fault, expected));
        }
    });
}

#[test]
fn a_terminal_shows_bars_and_a_program_reads_json() {
    let mut shelf = Shelf::new();
    let noise: Vec<u8> = (0_u32..4_000_000).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let layer = shelf.layout.file("noise", &noise);
    let name = shelf.offer("app:1", &[layer], &json!({}));
    let carboy = &shelf.carboy;
    let person = Person::new(24, 80);
    let mut pull = person.start(&carboy.command(["pull", &name]));
    pull.sees("Downloading [");
    pull.sees("B/s ");
    pull.sees("Pull complete");
    pull.sees(&format!("Status: Downloaded newer image for {name}"));
    assert_eq!(pull.end().code, 0);
    let again = says(carboy, &["pull", &name]);
    assert_eq!(again.matches(": Already exists\n").count(), 2, "{again}");
    assert!(!again.contains("Pulling fs layer"), "{again}");
    let id = says(carboy, &["images", "-q", "--no-trunc", &name]);
    says(carboy, &["rmi", &name]);
    let told = says(carboy, &["pull", "--json", &name]);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is = |status: &str| told.iter().any(|message| message["status"] == json!(status));
    assert!(["Pulling fs layer", "Downloading", "Download complete", "Pull complete"].into_iter().all(is), "{told:?}");
    assert_eq!(told.last().unwrap()["aux"]["ID"], json!(id.trim_end()));
}
