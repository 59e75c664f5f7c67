//! What proves to a registry who the user is: a password, or a token that another server gives for it. Token authentication
//! and OAuth 2 as the distribution project describes them.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error::{Refused, Result};
use serde::Deserialize;
use ureq::http::header::{CONTENT_TYPE, HeaderValue};
use ureq::http::{Method, Uri};

use super::access::{Credentials, Secret, Trust};
use super::challenge::{Bearer, Challenge};
use super::exchange::{Ask, Content, Token};
use super::{Registry, answer, url};

/// The largest answer of a token server, in bytes.
const LARGEST: usize = 1 << 20;
/// How long a token holds whose server does not say it.
const SHORTEST: Duration = Duration::from_secs(60);
/// So long before its end a token is not shown any more.
const MARGIN: Duration = Duration::from_secs(10);

/// What a token server answers.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Registry {
    /// What is shown for these scopes, as far as it is known what the registry wants.
    pub(super) fn proof(&self, scopes: &[String]) -> Result<Option<HeaderValue>> {
        let (challenge, token) = {
            let known = self.known();
            (known.challenge.clone(), known.tokens.get(scopes).cloned())
        };
        match (challenge, &self.access.credentials) {
            (Some(_), Some(Credentials { secret: Secret::Registry(token), .. })) => bearer(token).map(Some),
            (None, _) | (Some(Challenge::Basic), None) => Ok(None),
            (Some(Challenge::Basic), Some(credentials)) => Ok(basic(credentials)),
            (Some(Challenge::Bearer(asked)), _) => {
                if let Some(token) = token.filter(|token| token.until > Instant::now()) {
                    return Ok(Some(token.value));
                }
                let token = self.token(&asked, scopes)?;
                let value = token.value.clone();
                self.known().tokens.insert(scopes.to_vec(), token);
                Ok(Some(value))
            }
        }
    }

    /// A token that was shown and not accepted is not shown again.
    pub(super) fn forget(&self, scopes: &[String], shown: &HeaderValue) {
        let mut known = self.known();
        if known.tokens.get(scopes).is_some_and(|token| token.value == *shown) {
            known.tokens.remove(scopes);
        }
    }

    /// Gets a token.
    fn token(&self, asked: &Bearer, scopes: &[String]) -> Result<Token> {
        let realm = self.realm(asked)?;
        let scopes = wanted(asked, scopes);
        let ask = match &self.access.credentials {
            Some(Credentials { secret: Secret::Identity(token), .. }) => {
                return self.exchanged(asked, &scopes, token, realm);
            }
            credentials => {
                let account = credentials.as_ref().map(|credentials| credentials.user.as_str());
                let service = asked.service.as_deref().map(|service| ("service", service));
                let pairs = service.into_iter().chain(account.map(|account| ("account", account)));
                let pairs: Vec<_> = pairs.chain(scopes.iter().map(|scope| ("scope", scope.as_str()))).collect();
                Ask::get(url::parse(&url::with_query(&realm.to_string(), &pairs))?, Vec::new())
            }
        };
        let proof = self.access.credentials.as_ref().and_then(basic);
        self.given(&ask, proof.as_ref())
    }

    /// A token for an identity token, by OAuth 2.
    fn exchanged(&self, asked: &Bearer, scopes: &[String], identity: &str, realm: Uri) -> Result<Token> {
        let scope = scopes.join(" ");
        let form = url::query(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", identity),
            ("service", asked.service.as_deref().unwrap_or_default()),
            ("scope", &scope),
            ("client_id", "carboy"),
        ]);
        let ask = Ask::get(realm, Vec::new()).method(Method::POST);
        let ask =
            ask.header(CONTENT_TYPE, "application/x-www-form-urlencoded").content(Content::Bytes(form.as_bytes()));
        self.given(&ask, None)
    }

    fn given(&self, ask: &Ask<'_>, proof: Option<&HeaderValue>) -> Result<Token> {
        let asked_at = Instant::now();
        let mut answer = self.patiently(ask, proof)?;
        if !answer.status().is_success() {
            return Err(self.not_let_in(answer));
        }
        let refused = |reason| Refused::new("the token server", answer::host(&ask.url), reason);
        let given: Given =
            serde_json::from_slice(&answer.bytes(LARGEST)?).map_err(|_| refused("its answer is no token"))?;
        let token = given.token.or(given.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| refused("its answer has no token"))?;
        let holds = given.expires_in.map_or(SHORTEST, Duration::from_secs).max(SHORTEST);
        let until = asked_at.checked_add(holds.saturating_sub(MARGIN)).unwrap_or(asked_at);
        Ok(Token { value: bearer(&token)?, until })
    }

    /// The token server's URL. What proves who the user is does not travel in the clear to a server that a registry with a
    /// certificate names.
    fn realm(&self, asked: &Bearer) -> Result<Uri> {
        let refused = |reason: &str| Refused::new("the token server", asked.realm.as_str(), reason);
        let realm = url::parse(&asked.realm).map_err(|_| refused("is no URL of HTTP"))?;
        if realm.scheme_str() == Some("http") && self.endpoint.trust == Trust::Certified {
            let hint = "the registry is set up wrongly: whoever runs it can mend that";
            return Err(refused("is reached by plain HTTP, where others can read along").hint(hint).into());
        }
        Ok(realm)
    }
}

/// What the request needs, or what the registry asked for where that is not known.
fn wanted(asked: &Bearer, scopes: &[String]) -> Vec<String> {
    let named = asked.scope.iter().flat_map(|scope| scope.split_ascii_whitespace());
    if scopes.is_empty() { named.map(str::to_owned).collect() } else { scopes.to_vec() }
}

/// A user's name and password. RFC 7617.
fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let Secret::Password(password) = &credentials.secret else { return None };
    let encoded = STANDARD.encode(format!("{}:{password}", credentials.user));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A token. RFC 6750.
fn bearer(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Refused::new("the token", "", "has characters that no header can hold"))?;
    value.set_sensitive(true);
    Ok(value)
}
