//! The client against a server that does wrong whatever a server can do wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use oci::image::{Descriptor, media};

use super::{Access, Credentials, Endpoint, Patience, Proxies, Registry, Secret, Wanted};
use crate::sha256;

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.headers.iter().filter_map(|header| header.split_once(": "));
        pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// A server that answers each request with what a function says, and then closes the connection.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answers` is given the request and how many came before it.
    fn start(answers: impl Fn(&Seen, usize) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, end) = (Arc::clone(&seen), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let _ = serve(&stream.unwrap(), &log, &answers);
            }
        });
        Self { address, seen, ends, thread: Some(thread) }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    fn open(&self, access: Access) -> Registry {
        Registry::open(Endpoint::of(&self.address.to_string()), access).unwrap()
    }

    fn registry(&self) -> Registry {
        self.open(access())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut stream: &TcpStream,
    log: &Mutex<Vec<Seen>>,
    answers: &impl Fn(&Seen, usize) -> Vec<u8>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    if reader.fill_buf()?.first() == Some(&0x16) {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    }
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let mut lines = lines.into_iter();
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let mut seen = Seen { line, headers: lines.collect(), body: String::new() };
    let length: u64 = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    reader.take(length).read_to_string(&mut seen.body)?;
    let before = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.len() - 1
    };
    stream.write_all(&answers(&seen, before))
}

/// Patience that a test has.
fn access() -> Access {
    let patience = Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(400),
        digestion: Duration::from_millis(400),
        attempts: 3,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(2),
    };
    Access { patience, ..Access::default() }
}

fn with_password() -> Access {
    let secret = Secret::Password("hush".into());
    Access { credentials: Some(Credentials { user: "anna".into(), secret }), ..access() }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "", body)
}

fn told(error: &error::Error) -> String {
    format!("{error} | {}", error.hint().unwrap_or_default())
}

#[test]
fn a_manifest_comes_with_its_type_and_digest() {
    let kind = format!("Content-Type: {}; charset=utf-8\r\n", media::OCI_MANIFEST);
    let server = Server::start(move |_, _| answer("200 OK", &kind, b"{}"));
    let registry = server.registry();
    let fetched = registry.manifest("a/b", Wanted::Tag("latest"), &[]).unwrap();
    assert_eq!((fetched.media_type.as_str(), &fetched.bytes[..]), (media::OCI_MANIFEST, &b"{}"[..]));
    assert_eq!(fetched.digest, sha256(b"{}"));
    registry.manifest("a/b", Wanted::Digest(&sha256(b"{}")), &[]).unwrap();
    let error = registry.manifest("a/b", Wanted::Digest(&sha256(b"other")), &[]).unwrap_err();
    assert!(told(&error).contains("has the digest sha256:44136fa3"), "{}", told(&error));
    assert_eq!(server.lines()[0], "GET /v2/a/b/manifests/latest");
}

#[test]
fn each_refusal_is_one_clear_line() {
    let host = |server: &Server| server.address.to_string();
    let denied = br#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#;
    let limited = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    let limit = "ratelimit-limit: 100;w=21600\r\nRetry-After: 120\r\n";
    for (reply, line) in [
        (
            answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b""),
            "HOST asks for a login | carboy login HOST",
        ),
        (
            answer("403 Forbidden", "", denied),
            "HOST does not allow this without a login: denied: requested access is denied | carboy login HOST",
        ),
        (
            answer("404 Not Found", "", b""),
            "HOST has none of that name | check its name; one that is private is shown only after carboy login",
        ),
        (
            answer("429 Too Many Requests", limit, limited),
            "HOST takes no more requests for now: toomanyrequests: You have reached your pull rate limit. | it allows 100 requests in 6 h; try again in 2 min; carboy login HOST may allow more",
        ),
        (
            answer("500 Internal Server Error", "", b"<html>"),
            "HOST answers 500 Internal Server Error | it was asked 3 times: try again later",
        ),
        (
            answer("418 I'm a teapot", "", b""),
            "HOST answers 418 I'm a teapot | whoever runs the registry can tell more",
        ),
    ] {
        let server = Server::start(move |_, _| reply.clone());
        let error = server.registry().manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
        let line = format!("cannot use the image HOST/a:b: {line}").replace("HOST", &host(&server));
        assert_eq!(told(&error), line);
    }
}

#[test]
fn a_passing_fault_is_outlived() {
    let server = Server::start(|_, before| match before {
        0 => answer("503 Service Unavailable", "", b""),
        1 => answer("429 Too Many Requests", "Retry-After: 0\r\n", b""),
        _ => ok(b"{}"),
    });
    server.registry().manifest("a", Wanted::Tag("b"), &[]).unwrap();
    assert_eq!(server.lines().len(), 3);
}

#[test]
fn a_silent_registry_is_an_error() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(700));
        Vec::new()
    });
    let began = Instant::now();
    let patience = Patience { attempts: 1, ..access().patience };
    let error = server.open(Access { patience, ..access() }).manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert_eq!(error.errno(), Some(error::Errno::TIMEDOUT), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn nobody_listens_and_no_such_host_are_told_apart() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let registry = Registry::open(Endpoint::of(&address), access()).unwrap();
    let error = registry.manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert_eq!(error.errno(), Some(error::Errno::CONNREFUSED), "{error}");
    let registry = Registry::open(Endpoint::of("no-such-host.invalid"), access()).unwrap();
    let error = registry.manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert!(error.to_string().ends_with("no host of this name is known"), "{error}");
}

#[test]
fn redirects_are_followed_without_what_proves_the_user() {
    let other = Server::start(|_, _| ok(b"bytes"));
    let to = format!("Location: http://{}/cdn?x=1\r\n", other.address);
    let server = Server::start(move |seen, _| match seen.header("authorization") {
        None => answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b""),
        Some(_) => answer("307 Temporary Redirect", &to, b""),
    });
    let registry = server.open(with_password());
    let descriptor = Descriptor::new(media::OCI_LAYER, sha256(b"bytes"), 5);
    let mut blob = registry.blob("a", &descriptor, 0).unwrap();
    let mut bytes = String::new();
    blob.read_to_string(&mut bytes).unwrap();
    assert_eq!(bytes, "bytes");
    assert_eq!(server.seen().last().unwrap().header("authorization"), Some("Basic YW5uYTpodXNo"));
    let seen = other.seen();
    assert_eq!(seen.last().unwrap().line, "GET /cdn?x=1");
    assert!(seen.iter().all(|seen| seen.header("authorization").is_none()), "{seen:?}");
}

#[test]
fn a_redirected_request_that_asks_for_a_login_gets_none() {
    let other = Server::start(|_, _| answer("401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b""));
    let to = format!("Location: http://{}/cdn\r\n", other.address);
    let server = Server::start(move |_, _| answer("307 Temporary Redirect", &to, b""));
    let error = server.open(with_password()).manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert!(error.to_string().contains("does not accept the login"), "{error}");
    assert!(other.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[test]
fn circles_of_redirects_are_told() {
    let circle = Server::start(|_, _| answer("302 Found", "Location: /v2/a/manifests/b\r\n", b""));
    let error = circle.registry().manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert!(error.to_string().ends_with("its redirects lead in a circle"), "{error}");
    let far = Server::start(|_, before| answer("302 Found", &format!("Location: /{before}\r\n"), b""));
    let error = far.registry().manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert!(error.to_string().ends_with("its redirects are more than 10"), "{error}");
}

#[test]
fn a_token_is_asked_for_once_and_again_when_it_is_not_accepted() {
    let server = Server::start(|seen, before| {
        let host = seen.header("host").unwrap_or_default().to_owned();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token?x=1\",service=\"s\"\r\n");
        match (seen.line.contains("/token"), seen.header("authorization")) {
            (true, _) => ok(format!(r#"{{"token":"t{before}","expires_in":300}}"#).as_bytes()),
            // The first token holds twice.
            (false, Some("Bearer t1")) if before > 3 => answer("401 Unauthorized", &challenge, b""),
            (false, Some(_)) => ok(b"{}"),
            (false, None) => answer("401 Unauthorized", &challenge, b""),
        }
    });
    let registry = server.open(with_password());
    for _ in 0..3 {
        registry.manifest("a", Wanted::Tag("b"), &[]).unwrap();
    }
    let manifest = "GET /v2/a/manifests/b";
    let token = "GET /token?x=1&service=s&account=anna&scope=repository%3Aa%3Apull";
    assert_eq!(server.lines(), [manifest, token, manifest, manifest, manifest, token, manifest]);
    assert_eq!(server.seen()[1].header("authorization"), Some("Basic YW5uYTpodXNo"));
}

#[test]
fn an_identity_token_is_exchanged() {
    let server = Server::start(|seen, _| {
        let host = seen.header("host").unwrap_or_default();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n");
        match (seen.line.as_str(), seen.header("authorization")) {
            ("POST /token", None) => ok(br#"{"access_token":"t"}"#),
            (_, Some("Bearer t")) => ok(b"{}"),
            _ => answer("401 Unauthorized", &challenge, b""),
        }
    });
    let secret = Secret::Identity("long lived".into());
    let credentials = Some(Credentials { user: String::new(), secret });
    server.open(Access { credentials, ..access() }).manifest("a", Wanted::Tag("b"), &[]).unwrap();
    let form =
        "grant_type=refresh_token&refresh_token=long%20lived&service=s&scope=repository%3Aa%3Apull&client_id=carboy";
    assert_eq!(server.seen()[1].body, form);
}

/// What a server makes of `Range`.
#[derive(Clone, Copy, PartialEq)]
enum Parts {
    Given,
    Ignored,
}

/// Gives the bytes that a request asks for, cut short as `cuts` says for each request, and a whole answer without `Range`
/// where it gives no parts.
fn cutting(bytes: &'static [u8], parts: Parts, cuts: &'static [usize]) -> Server {
    Server::start(move |seen, before| {
        let from = seen
            .header("range")
            .filter(|_| parts == Parts::Given)
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        let start: usize = from.map_or(0, |from| from.parse().unwrap());
        let part = &bytes[start..];
        let whole = match from {
            None => ok(part),
            Some(_) => {
                let range = format!("Content-Range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                answer("206 Partial Content", &range, part)
            }
        };
        let cut = cuts.get(before).copied().unwrap_or_default();
        whole[..whole.len() - cut].to_vec()
    })
}

fn read(server: &Server, bytes: &[u8], from: u64) -> std::io::Result<(u64, Vec<u8>)> {
    let registry = server.registry();
    let descriptor = Descriptor::new(media::OCI_LAYER, sha256(bytes), bytes.len() as u64);
    let mut blob = registry.blob("a", &descriptor, from).map_err(std::io::Error::other)?;
    let mut read = Vec::new();
    blob.read_to_end(&mut read)?;
    Ok((blob.start(), read))
}

#[test]
fn a_blob_that_is_cut_off_goes_on_where_it_was() {
    const BYTES: &[u8] = b"0123456789abcdef";
    let server = cutting(BYTES, Parts::Given, &[10, 4]);
    assert_eq!(read(&server, BYTES, 0).unwrap(), (0, BYTES.to_vec()));
    let ranges: Vec<_> = server.seen().iter().map(|seen| seen.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=6-".to_owned()), Some("bytes=12-".to_owned())]);
    let server = cutting(BYTES, Parts::Ignored, &[10]);
    assert_eq!(read(&server, BYTES, 0).unwrap(), (0, BYTES.to_vec()), "without parts it is read anew");
    let server = cutting(BYTES, Parts::Given, &[]);
    assert_eq!(read(&server, BYTES, 7).unwrap(), (7, b"789abcdef".to_vec()));
    let server = cutting(BYTES, Parts::Ignored, &[]);
    assert_eq!(read(&server, BYTES, 7).unwrap(), (0, BYTES.to_vec()), "it says that it begins anew");
    let server = cutting(BYTES, Parts::Given, &[10, 10, 10, 10, 10, 10]);
    let error = read(&server, BYTES, 0).unwrap_err();
    let error = error.downcast::<error::Error>().unwrap();
    assert_eq!(error.errno(), Some(error::Errno::CONNRESET), "{error}");
}

#[test]
fn a_blob_of_another_size_is_refused() {
    let server = Server::start(|_, _| ok(b"longer than it is said to be"));
    let registry = server.registry();
    let error = registry.blob("a", &Descriptor::new(media::OCI_LAYER, sha256(b""), 4), 0).err().unwrap();
    assert!(error.to_string().contains("it has 28 bytes"), "{error}");
    let server = Server::start(|_, _| b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nlonger".to_vec());
    let registry = server.registry();
    let mut blob = registry.blob("a", &Descriptor::new(media::OCI_LAYER, sha256(b""), 4), 0).unwrap();
    let error = blob.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("more than the 4 bytes"), "{error}");
}

#[test]
fn a_proxy_is_asked_for_what_it_is_not_left_out_of() {
    let proxy = Server::start(|seen, _| match seen.line.starts_with("CONNECT") {
        true => answer("407 Proxy Authentication Required", "", b""),
        false => ok(b"{}"),
    });
    let address = format!("http://anna:hush@{}", proxy.address);
    let proxies = Proxies { http: address.clone(), https: address, none: "left.test".into() };
    let open = |host: &str| {
        let patience = Patience { attempts: 1, ..access().patience };
        let access = Access { proxies: proxies.clone(), patience, ..access() };
        Registry::open(Endpoint::of(host), access).unwrap()
    };
    let error = open("far.test").manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert!(error.to_string().contains("far.test: the proxy does not connect to it"), "{error}");
    assert_eq!(proxy.lines(), ["CONNECT far.test:443"]);
    assert_eq!(proxy.seen()[0].header("proxy-authorization"), Some("Basic YW5uYTpodXNo"));
    let error = open("left.test").manifest("a", Wanted::Tag("b"), &[]).unwrap_err();
    assert!(error.to_string().ends_with("no host of this name is known"), "{error}");
    assert_eq!(proxy.lines().len(), 1);
}

#[test]
fn a_list_has_pages_and_an_end() {
    let server = Server::start(|seen, _| match seen.line.contains("last=") {
        false => answer("200 OK", "Link: </v2/a/tags/list?last=two>; rel=\"next\"\r\n", br#"{"tags":["one","two"]}"#),
        true => ok(br#"{"tags":["three"]}"#),
    });
    assert_eq!(server.registry().tags("a").unwrap(), ["one", "two", "three"]);
    let circle = Server::start(|_, _| answer("200 OK", "Link: <list?n=1000>; rel=next\r\n", br#"{"tags":null}"#));
    let error = circle.registry().tags("a").unwrap_err();
    assert!(error.to_string().ends_with("the registry's list has no end"), "{error}");
}
