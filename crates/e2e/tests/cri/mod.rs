//! As much of the CRI as a kubelet uses here: its messages, with the numbers of their fields in `runtime/v1/api.proto`, and
//! calls one at a time. gRPC over HTTP/2 ("gRPC over HTTP2" of grpc.io): a message has its length before it, and the
//! result is in the trailers.

use std::path::Path;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// A message whose fields are told one by one: `Name { field: Type = number kind }`.
macro_rules! messages {
    ($($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {
        $(#[derive(Clone, PartialEq, Message)] pub(crate) struct $name { $($(#[$meta])* pub(crate) $field: $type,)* })*
    };
}

messages! {
    Empty {}
    Version { #[prost(string, tag = "2")] runtime_name: String, }
    Metadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] uid: String,
        #[prost(string, tag = "3")] namespace: String,
    }
    ContainerMetadata { #[prost(string, tag = "1")] name: String, }
    Namespaces {
        #[prost(int32, tag = "1")] network: i32,
        #[prost(int32, tag = "2")] pid: i32,
        #[prost(int32, tag = "3")] ipc: i32,
        #[prost(string, tag = "4")] target_id: String,
    }
    SandboxSecurity { #[prost(message, tag = "1")] namespaces: Option<Namespaces>, }
    LinuxSandbox {
        #[prost(string, tag = "1")] cgroup_parent: String,
        #[prost(message, tag = "2")] security: Option<SandboxSecurity>,
    }
    Sandbox {
        #[prost(message, tag = "1")] metadata: Option<Metadata>,
        #[prost(string, tag = "2")] hostname: String,
        #[prost(string, tag = "3")] log_directory: String,
        #[prost(message, tag = "8")] linux: Option<LinuxSandbox>,
    }
    RunSandbox {
        #[prost(message, tag = "1")] config: Option<Sandbox>,
        #[prost(string, tag = "2")] runtime_handler: String,
    }
    Id { #[prost(string, tag = "1")] id: String, }
    Image { #[prost(string, tag = "1")] image: String, }
    Resources {
        #[prost(int64, tag = "1")] cpu_period: i64,
        #[prost(int64, tag = "2")] cpu_quota: i64,
        #[prost(int64, tag = "3")] cpu_shares: i64,
        #[prost(int64, tag = "4")] memory_limit: i64,
        #[prost(string, tag = "6")] cpuset_cpus: String,
    }
    Profile { #[prost(int32, tag = "1")] kind: i32, }
    Security {
        #[prost(message, tag = "3")] namespaces: Option<Namespaces>,
        #[prost(message, tag = "15")] seccomp: Option<Profile>,
    }
    LinuxContainer {
        #[prost(message, tag = "1")] resources: Option<Resources>,
        #[prost(message, tag = "2")] security: Option<Security>,
    }
    Container {
        #[prost(message, tag = "1")] metadata: Option<ContainerMetadata>,
        #[prost(message, tag = "2")] image: Option<Image>,
        #[prost(string, repeated, tag = "3")] command: Vec<String>,
        #[prost(string, tag = "11")] log_path: String,
        #[prost(message, tag = "15")] linux: Option<LinuxContainer>,
    }
    CreateContainer {
        #[prost(string, tag = "1")] sandbox: String,
        #[prost(message, tag = "2")] config: Option<Container>,
        #[prost(message, tag = "3")] sandbox_config: Option<Sandbox>,
    }
    StopContainer {
        #[prost(string, tag = "1")] id: String,
        #[prost(int64, tag = "2")] timeout: i64,
    }
    ContainerStatus {
        #[prost(int32, tag = "3")] state: i32,
        #[prost(int32, tag = "7")] exit_code: i32,
        #[prost(string, tag = "10")] reason: String,
        #[prost(string, tag = "11")] message: String,
    }
    ContainerStatusAnswer { #[prost(message, tag = "1")] status: Option<ContainerStatus>, }
    Update {
        #[prost(string, tag = "1")] id: String,
        #[prost(message, tag = "2")] linux: Option<Resources>,
    }
    Exec {
        #[prost(string, tag = "1")] id: String,
        #[prost(string, repeated, tag = "2")] command: Vec<String>,
        #[prost(int64, tag = "3")] timeout: i64,
    }
    Executed {
        #[prost(bytes = "vec", tag = "1")] stdout: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")] stderr: Vec<u8>,
        #[prost(int32, tag = "3")] exit_code: i32,
    }
    Number { #[prost(uint64, tag = "1")] value: u64, }
    Usage { #[prost(message, tag = "2")] value: Option<Number>, }
    Stats {
        #[prost(message, tag = "2")] cpu: Option<Usage>,
        #[prost(message, tag = "3")] memory: Option<Usage>,
    }
    StatsAnswer { #[prost(message, tag = "1")] stats: Option<Stats>, }
    Listed { #[prost(message, repeated, tag = "1")] items: Vec<Id>, }
}

/// NamespaceMode: one for each container, the host's, another container's.
pub(crate) const CONTAINER: i32 = 1;
pub(crate) const TARGET: i32 = 3;

/// ContainerState.
pub(crate) const RUNNING: i32 = 1;
pub(crate) const EXITED: i32 = 2;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection with a CRI server.
#[derive(Debug)]
pub(crate) struct Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

impl Client {
    /// Connects to a Unix socket; `None` where nobody listens yet.
    pub(crate) fn connect(socket: &Path) -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let (sender, connection) = h2::client::handshake(UnixStream::connect(socket).await.ok()?).await.ok()?;
            tokio::spawn(connection);
            Some(sender)
        })?;
        Some(Self { runtime, sender })
    }

    /// Calls a method of the runtime service. An error is the server's message.
    pub(crate) fn call<A: Message + Default>(&self, method: &str, request: &impl Message) -> Result<A, String> {
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(request.encoded_len()).unwrap());
        request.encode(&mut body).unwrap();
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, exchange(self.sender.clone(), method, body.freeze())).await
        });
        let answer = answer.map_err(|_| format!("{method} takes longer than {PATIENCE:?}"))??;
        A::decode(answer.get(5..).unwrap_or_default()).map_err(|error| error.to_string())
    }
}

async fn exchange(sender: SendRequest<Bytes>, method: &str, body: Bytes) -> Result<Vec<u8>, String> {
    let lost = |error: h2::Error| error.to_string();
    let uri = format!("http://localhost/runtime.v1.RuntimeService/{method}");
    let request = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    let mut sender = sender.ready().await.map_err(lost)?;
    let (response, mut out) = sender.send_request(request.body(()).unwrap(), false).map_err(lost)?;
    out.send_data(body, true).map_err(lost)?;
    let (head, mut stream) = response.await.map_err(lost)?.into_parts();
    let mut answer = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part.map_err(lost)?;
        stream.flow_control().release_capacity(part.len()).map_err(lost)?;
        answer.extend_from_slice(&part);
    }
    let ends = stream.trailers().await.map_err(lost)?.unwrap_or(head.headers);
    let text = |name: &str| ends.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match text("grpc-status").as_deref() {
        Some("0") => Ok(answer),
        _ => Err(text("grpc-message").unwrap_or_default()),
    }
}
