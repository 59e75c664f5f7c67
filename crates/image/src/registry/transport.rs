//! Single requests of HTTP: over TLS or plain, directly or through a proxy. Follows nothing, repeats nothing.

use std::time::Duration;

use error::{Doing as _, Refused, Result};
use ureq::http::header::{AUTHORIZATION, HeaderValue};
use ureq::http::{Request, Response, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, SocksConnector, TcpConnector};
use ureq::{Agent, Body, Proxy, SendBody};

use super::access::{Access, Endpoint, Trust};
use super::certificates;
use super::exchange::{Ask, Content};
use super::proxy::Proxies;
use super::tls::{Believed, Tls};

/// The most connections that wait for their next use.
const IDLE: usize = 16;

pub(super) struct Transport {
    direct: Agent,
    /// Through the proxy of plain HTTP, and through that of HTTPS.
    http: Option<Agent>,
    https: Option<Agent>,
    proxies: Proxies,
    digestion: Duration,
}

impl Transport {
    pub(super) fn new(endpoint: &Endpoint, access: &Access) -> Result<Self> {
        sys::hosts::by_files_and_dns().doing(|| "choose where names of hosts are looked up")?;
        let tls = tls(endpoint, access)?;
        let agent = |proxy: Option<Proxy>| agent(access, tls.clone(), proxy);
        let (http, https) = access.proxies.parse()?;
        Ok(Self {
            direct: agent(None),
            http: http.map(|proxy| agent(Some(proxy))),
            https: https.map(|proxy| agent(Some(proxy))),
            proxies: access.proxies.clone(),
            digestion: access.patience.digestion,
        })
    }

    fn agent(&self, url: &Uri) -> &Agent {
        let proxied = if url.scheme_str() == Some("http") { &self.http } else { &self.https };
        match proxied {
            Some(agent) if !self.proxies.leaves_out(url) => agent,
            Some(_) | None => &self.direct,
        }
    }

    /// Sends a request to a URL, which may be another than its own, and gives the answer of any status.
    pub(super) fn send(&self, ask: &Ask<'_>, url: &Uri, authorization: Option<&HeaderValue>) -> Result<Sent> {
        let mut request = Request::builder().method(&ask.method).uri(url);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let refused = |error: ureq::http::Error| Refused::new("the request", url.to_string(), error.to_string());
        let agent = self.agent(url);
        Ok(match &ask.content {
            Content::None => agent.run(request.body(()).map_err(refused)?),
            Content::Bytes(bytes) => agent.run(request.body(*bytes).map_err(refused)?),
            Content::Stream { size, open } => {
                let mut content = open()?;
                let request = request.header("content-length", *size).body(SendBody::from_reader(&mut content));
                let patient = agent.configure_request(request.map_err(refused)?);
                agent.run(patient.timeout_per_read(Some(self.digestion)).build())
            }
        })
    }
}

/// An answer, or why there is none.
pub(super) type Sent = std::result::Result<Response<Body>, ureq::Error>;

fn agent(access: &Access, tls: Tls, proxy: Option<Proxy>) -> Agent {
    let named = concat!("carboy/", env!("CARGO_PKG_VERSION"));
    let user_agent = if access.user_agent.is_empty() { named } else { &access.user_agent };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(user_agent)
        .timeout_connect(Some(access.patience.connect))
        .timeout_per_read(Some(access.patience.silence))
        .timeout_per_write(Some(access.patience.silence))
        .max_idle_connections(IDLE)
        .max_idle_connections_per_host(IDLE)
        .build();
    let connector =
        ().chain(SocksConnector::default())
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(tls);
    Agent::with_parts(config, connector, DefaultResolver::default())
}

fn tls(endpoint: &Endpoint, access: &Access) -> Result<Tls> {
    let provider = certificates::provider();
    let of_host = access.certificates.of_host(&endpoint.host, &provider)?;
    let believed = match endpoint.trust {
        Trust::Certified => Believed::Trusted(access.certificates.trusted(&of_host)?),
        Trust::Insecure => Believed::Anybody,
    };
    Tls::new(believed, of_host.client, &provider)
        .map_err(|error| Refused::new("the registry", &endpoint.host, error.to_string()).into())
}
