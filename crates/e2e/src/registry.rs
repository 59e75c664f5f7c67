//! Debian's docker-registry on loopback, with a folder of its own: plain or with TLS, open or with a login.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{ended, eventually};

/// Who may log in, where that is needed.
pub const USER: &str = "anna";
/// The password of that user.
pub const PASSWORD: &str = "hush";
/// `htpasswd -B` of the password.
const HASHED: &str = "anna:$2b$04$ZUQLe0EkLr9vSCncC9yPl.xRbQTwSwvQQzAeO7euEtA9ldR7SJhH6\n";
/// The name, beside localhost, that the certificates are made for.
pub const NAME: &str = "registry.test";
/// How the registry is called at the token server.
const SERVICE: &str = "the registry";
const ISSUER: &str = "the token server";

/// A registry; killed with the test.
#[derive(Debug)]
pub struct Registry {
    folder: TempDir,
    address: SocketAddr,
    manner: Manner,
    server: Option<Child>,
    tokens: Option<Tokens>,
}

/// How a registry speaks and whom it lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Everybody, by plain HTTP.
    Open,
    /// Everybody, by TLS.
    Tls,
    /// Everybody, by TLS with an authority's certificate that signs itself, as `openssl req -x509` makes it.
    SelfSigned,
    /// Who shows a client's certificate, by TLS.
    ClientCertificate,
    /// Who knows the password, by plain HTTP.
    Password,
    /// Who has a token of a server that asks for the password; who has none may read what begins with `public/`.
    Token,
}

impl Registry {
    /// Starts one; it answers.
    ///
    /// # Panics
    /// Without Debian's docker-registry and openssl.
    #[must_use]
    pub fn start(manner: Manner) -> Self {
        let folder = tempfile::Builder::new().prefix("carboy-registry-").tempdir_in("/var/tmp").unwrap();
        // Whoever takes the port meanwhile makes the test fail, which is rare.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut registry = Self { folder, address, manner, server: None, tokens: None };
        if manner != Manner::Open && manner != Manner::Password {
            registry.certify();
        }
        if manner == Manner::Token {
            registry.tokens = Some(Tokens::start(registry.path("ca.key"), registry.path("ca.crt")));
        }
        fs::write(registry.path("htpasswd"), HASHED).unwrap();
        fs::write(registry.path("config.json"), registry.config().to_string()).unwrap();
        registry.begin();
        registry
    }

    /// Starts the server again, after [`Self::kill`].
    ///
    /// # Panics
    /// Where it does not come to answer.
    pub fn begin(&mut self) {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.path("config.json")).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("install docker-registry");
        self.server = Some(child);
        let answers = || TcpStream::connect(self.address).is_ok();
        eventually("docker-registry answers", answers);
    }

    /// Kills the server.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        let _ = server.kill();
        let _ = server.wait();
    }

    /// Gives it an index, at a path of its API.
    ///
    /// # Panics
    /// Where it does not take that.
    pub fn put(&self, path: &str, index: &Value) {
        let body = index.to_string();
        let mut stream = TcpStream::connect(self.address).unwrap();
        let kind = "Content-Type: application/vnd.oci.image.index.v1+json\r\nConnection: close";
        let length = body.len();
        write!(stream, "PUT {path} HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }

    /// Its name with its port, by which images are named: `localhost:NUMBER`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A file of its folder: `ca.crt`, `client.cert`, `client.key`, `log`, `data`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// JSON is YAML.
    fn config(&self) -> Value {
        let mut config = json!({
            "version": 0.1,
            "log": { "level": "warn", "accesslog": { "disabled": true } },
            "storage": {
                "filesystem": { "rootdirectory": self.path("data") },
                "delete": { "enabled": true },
                "maintenance": { "uploadpurging": { "enabled": false } },
            },
            "http": { "addr": self.address.to_string(), "secret": "not secret" },
        });
        if matches!(self.manner, Manner::Tls | Manner::SelfSigned | Manner::ClientCertificate) {
            config["http"]["tls"] = json!({ "certificate": self.path("server.crt"), "key": self.path("server.key") });
        }
        if self.manner == Manner::ClientCertificate {
            config["http"]["tls"]["clientcas"] = json!([self.path("ca.crt")]);
        }
        if self.manner == Manner::Password {
            config["auth"] = json!({ "htpasswd": { "realm": "test", "path": self.path("htpasswd") } });
        }
        if let Some(tokens) = &self.tokens {
            let realm = format!("http://{}/token", tokens.address);
            config["auth"] = json!({ "token": {
                "realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": self.path("ca.crt"),
            } });
        }
        config
    }

    /// Makes an authority, and certificates for the server and for a client.
    fn certify(&self) {
        let openssl = |words: &str| {
            let mut command = Command::new("openssl");
            let ended = ended(command.args(words.split(' ')).current_dir(self.folder.path()).stdin(Stdio::null()));
            assert_eq!(ended.code, 0, "openssl {words}: {}", ended.stderr);
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        if self.manner == Manner::SelfSigned {
            let names = format!("subjectAltName=DNS:localhost,DNS:{NAME}");
            let own = "-keyout server.key -out server.crt -days 2 -subj /CN=server -addext";
            openssl(&format!("req -x509 {key} {own} {names}"));
            fs::copy(self.path("server.crt"), self.path("ca.crt")).unwrap();
            return;
        }
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=authority"));
        let names = format!("subjectAltName=DNS:localhost,DNS:{NAME},IP:127.0.0.1\n");
        fs::write(self.path("server.ext"), names).unwrap();
        fs::write(self.path("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
        for (who, certificate) in [("server", "server.crt"), ("client", "client.cert")] {
            openssl(&format!("req {key} -keyout {who}.key -out {who}.csr -subj /CN={who}"));
            let signed = format!("-CA ca.crt -CAkey ca.key -CAcreateserial -extfile {who}.ext");
            openssl(&format!("x509 -req -in {who}.csr -out {certificate} -days 2 {signed}"));
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}

/// A token server: a thread of the test.
#[derive(Debug)]
struct Tokens {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tokens {
    fn start(key: PathBuf, certificate: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let _ = answer(&stream.unwrap(), &key, &certificate);
            }
        });
        Self { address, ends, thread: Some(thread) }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request for a token.
fn answer(mut stream: &TcpStream, key: &Path, certificate: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default();
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let shown: Vec<String> = lines.filter(|line| line.to_lowercase().starts_with("authorization: ")).collect();
    let is_anna = shown.iter().any(|line| line.ends_with(&basic));
    if !shown.is_empty() && !is_anna {
        return stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let query = line.split(' ').nth(1).unwrap_or_default().split_once('?').map_or("", |(_, query)| query);
    let scopes = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("scope="))
        .map(|scope| scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",").replace("%2A", "*"));
    let access = scopes.filter_map(|scope| {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let allowed = actions.split(',').filter(|action| is_anna || name.starts_with("public/") && *action == "pull");
        Some(json!({ "type": kind, "name": name, "actions": allowed.collect::<Vec<_>>() }))
    });
    let body = json!({ "token": signed(&access.collect::<Vec<_>>(), key, certificate) }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}

/// A JSON Web Token: RFC 7519, signed with ES256 of RFC 7518.
fn signed(access: &[Value], key: &Path, certificate: &Path) -> String {
    let pem = fs::read_to_string(certificate).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [der] });
    let claims = json!({
        "iss": ISSUER, "sub": USER, "aud": SERVICE, "jti": "1", "access": access,
        "iat": 0, "nbf": 0, "exp": 9_999_999_999_u64,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign"]).arg(key).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let mut signature = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut signature).unwrap();
    assert!(child.wait().unwrap().success());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(raw(&signature)))
}

/// The two numbers of a signature in DER, one behind the other with 32 bytes each.
fn raw(der: &[u8]) -> Vec<u8> {
    let (first, rest) = der[4..].split_at(der[3].into());
    let second = &rest[2..];
    let number = |bytes: &[u8]| {
        let bytes = &bytes[bytes.len().saturating_sub(32)..];
        [vec![0; 32 - bytes.len()], bytes.to_vec()].concat()
    };
    [number(first), number(second)].concat()
}
