//! URLs as far as registries need them: where one stands from another's point of view, and whether two are of one host.

use error::{Refused, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::Uri;

/// What stands in a query as it is. RFC 3986, section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value of a query or of a form.
pub(super) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, UNRESERVED).to_string()
}

/// A query or a form of these pairs.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

/// A URL with these pairs added to its query.
pub(super) fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{}", query(pairs))
}

/// Parses an absolute URL of HTTP.
pub(super) fn parse(url: &str) -> Result<Uri> {
    let refused = |reason: &str| Refused::new("the URL", url, reason);
    let parsed: Uri = url.parse().map_err(|_| refused("is not valid"))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err(refused("is neither of http nor of https").into());
    }
    let authority = parsed.authority().map(ureq::http::uri::Authority::as_str).unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return Err(refused("has no host, or a user before it").into());
    }
    Ok(parsed)
}

/// What a `Location` or a link says, seen from the URL whose answer it stands in. RFC 3986, section 5, without dots.
pub(super) fn resolve(base: &Uri, said: &str) -> Result<Uri> {
    let said = said.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str().unwrap_or("https");
    let authority = base.authority().map(ureq::http::uri::Authority::as_str).unwrap_or_default();
    if said.starts_with("http://") || said.starts_with("https://") {
        return parse(said);
    }
    if let Some(rest) = said.strip_prefix("//") {
        return parse(&format!("{scheme}://{rest}"));
    }
    if said.starts_with('/') {
        return parse(&format!("{scheme}://{authority}{said}"));
    }
    if said.starts_with('?') {
        return parse(&format!("{scheme}://{authority}{}{said}", base.path()));
    }
    let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    parse(&format!("{scheme}://{authority}{folder}/{said}"))
}

/// Whether two URLs are of one server: scheme, host and port.
pub(super) fn is_same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |url: &Uri| {
        let scheme = url.scheme_str().unwrap_or_default().to_owned();
        let port = url.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
        (scheme, url.host().unwrap_or_default().to_ascii_lowercase(), port)
    };
    origin(one) == origin(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved() {
        let base = parse("https://a.example:5000/v2/x/blobs/uploads/?n=1").unwrap();
        for (said, is) in [
            ("/v2/y?_state=a%2Fb", "https://a.example:5000/v2/y?_state=a%2Fb"),
            ("http://b.example/z", "http://b.example/z"),
            ("//c.example/z", "https://c.example/z"),
            ("id?x=1#part", "https://a.example:5000/v2/x/blobs/uploads/id?x=1"),
            ("?last=b", "https://a.example:5000/v2/x/blobs/uploads/?last=b"),
        ] {
            assert_eq!(resolve(&base, said).unwrap().to_string(), is);
        }
        for said in ["http://user@b.example/", "https:///", "http:// b/"] {
            assert!(resolve(&base, said).is_err(), "{said}");
        }
    }

    #[test]
    fn one_server_is_told_from_another() {
        let is_same = |one: &str, other: &str| is_same_origin(&parse(one).unwrap(), &parse(other).unwrap());
        assert!(is_same("https://a.example/x", "https://A.example:443/y"));
        assert!(!is_same("https://a.example/x", "http://a.example/x"));
        assert!(!is_same("https://a.example/x", "https://a.example:444/x"));
        assert!(!is_same("https://a.example/x", "https://b.a.example/x"));
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(
            with_query("http://a/?x=1", &[("scope", "repository:a/b:pull,push")]),
            "http://a/?x=1&scope=repository%3Aa%2Fb%3Apull%2Cpush"
        );
    }
}
