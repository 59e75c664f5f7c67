//! Images made by a test, as an OCI layout: image-layout.md of the OCI image specification.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::ended;

/// A folder with images.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    manifests: Vec<Value>,
}

/// A layer: its descriptor, and the digest of its archive.
#[derive(Debug, Clone)]
pub struct Layer {
    descriptor: Value,
    diff_id: String,
}

impl Layout {
    /// Makes the folder.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { folder: folder.to_path_buf(), manifests: Vec::new() }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A layer with all that is in a folder, by tar and gzip.
    ///
    /// # Panics
    /// Without these.
    #[must_use]
    pub fn layer(&self, from: &Path) -> Layer {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(from).args(["--sort=name", "--numeric-owner", "--xattrs", "-cf", "-", "."]);
        let archive = tar.output().unwrap();
        assert!(archive.status.success(), "{archive:?}");
        self.layer_of(&archive.stdout)
    }

    /// A layer that is this archive.
    ///
    /// # Panics
    /// Without gzip.
    #[must_use]
    pub fn layer_of(&self, archive: &[u8]) -> Layer {
        let packed = filtered(Command::new("gzip").args(["-n", "-1"]), archive);
        let descriptor = self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed);
        Layer { descriptor, diff_id: digest(archive) }
    }

    /// A layer with one small file.
    ///
    /// # Panics
    /// Without tar.
    #[must_use]
    pub fn file(&self, path: &str, content: &[u8]) -> Layer {
        let from = tempfile::tempdir_in(&self.folder).unwrap();
        let file = from.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
        self.layer(from.path())
    }

    /// An image of these layers, the lowest first, with what containers of it are to be. Gives the manifest's digest.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn image(&mut self, name: &str, layers: &[Layer], config: &Value) -> String {
        self.image_for("amd64", name, layers, config)
    }

    /// As [`Self::image`], for an architecture.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn image_for(&mut self, architecture: &str, name: &str, layers: &[Layer], config: &Value) -> String {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2026-01-02T03:04:05Z", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": layers.iter().map(|_| json!({"created_by": "a test"})).collect::<Vec<_>>(),
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let layers: Vec<&Value> = layers.iter().map(|layer| &layer.descriptor).collect();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        let mut manifest = self.blob(kind, manifest.to_string().as_bytes());
        let digest = manifest["digest"].as_str().unwrap().to_owned();
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.manifests.push(manifest);
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
        digest
    }

    /// Pushes an image of it to a registry that anybody may use, by skopeo.
    ///
    /// # Panics
    /// Without skopeo.
    pub fn push(&self, image: &str, to: &str) {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["copy", "--quiet", "--dest-tls-verify=false"]);
        skopeo.arg(format!("oci:{}:{image}", self.folder.display())).arg(format!("docker://{to}"));
        let pushed = ended(&mut skopeo);
        assert_eq!(pushed.code, 0, "{pushed:?}");
    }

    fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.folder.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }
}

fn digest(bytes: &[u8]) -> String {
    let sum = filtered(&mut Command::new("sha256sum"), bytes);
    format!("sha256:{}", String::from_utf8(sum).unwrap().split_whitespace().next().unwrap())
}

fn filtered(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    })
}
