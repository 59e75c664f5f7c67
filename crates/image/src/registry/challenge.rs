//! What a registry asks for before it answers: the `WWW-Authenticate` header. RFC 9110, section 11; token authentication of
//! the distribution project.

/// The most challenges that are read of one answer; more are not looked at.
const MOST: usize = 16;
/// The most parameters that one challenge has.
const MOST_PARAMETERS: usize = 32;

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user's name and password with each request.
    Basic,
    /// A token that another server gives.
    Bearer(Bearer),
}

/// Where a token is had, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bearer {
    /// The URL of the server that gives it.
    pub realm: String,
    /// How the registry is called there.
    pub service: Option<String>,
    /// What the request needs: `repository:library/debian:pull`.
    pub scope: Option<String>,
    /// Why a token that was shown was no good: `insufficient_scope`.
    pub error: Option<String>,
}

impl Challenge {
    /// The challenges of a header's value, in its order; other schemes, and what is no challenge, are left out.
    #[must_use]
    pub fn parse(value: &str) -> Vec<Self> {
        let mut reader = Reader { rest: value };
        let mut found = Vec::new();
        while found.len() < MOST
            && let Some((scheme, parameters)) = reader.challenge()
        {
            found.extend(Self::of(scheme, parameters));
        }
        found
    }

    fn of(scheme: &str, parameters: Vec<(&str, String)>) -> Option<Self> {
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut bearer = Bearer::default();
        for (name, value) in parameters {
            match name.to_ascii_lowercase().as_str() {
                "realm" => bearer.realm = value,
                "service" => bearer.service = Some(value),
                "scope" => bearer.scope = Some(value),
                "error" => bearer.error = Some(value),
                _ => {}
            }
        }
        (!bearer.realm.is_empty()).then_some(Self::Bearer(bearer))
    }
}

struct Reader<'v> {
    rest: &'v str,
}

impl<'v> Reader<'v> {
    /// A scheme and its parameters. A scheme without `=` behind it begins the next challenge.
    fn challenge(&mut self) -> Option<(&'v str, Vec<(&'v str, String)>)> {
        self.separators();
        let scheme = self.token()?;
        let mut parameters = Vec::new();
        while parameters.len() < MOST_PARAMETERS {
            let before = self.rest;
            self.separators();
            let Some(parameter) = self.parameter() else {
                self.rest = before;
                break;
            };
            parameters.push(parameter);
        }
        // What is neither a parameter nor a scheme, as the token68 of other schemes, is passed over.
        let next = self.rest.trim_start_matches(is_separator);
        if !next.is_empty() && !next.starts_with(is_token) {
            self.rest = next.find(',').and_then(|at| next.get(at..)).unwrap_or_default();
        }
        Some((scheme, parameters))
    }

    fn parameter(&mut self) -> Option<(&'v str, String)> {
        let before = self.rest;
        let found = self.token().and_then(|name| {
            self.rest = self.rest.trim_start_matches(is_space).strip_prefix('=')?.trim_start_matches(is_space);
            Some((name, self.value()?))
        });
        if found.is_none() {
            self.rest = before;
        }
        found
    }

    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return self.token().map(str::to_owned) };
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = quoted.get(at + 1..).unwrap_or_default();
                    return Some(value);
                }
                '\\' => value.push(letters.next()?.1),
                _ => value.push(letter),
            }
        }
        None
    }

    fn token(&mut self) -> Option<&'v str> {
        let end = self.rest.find(|letter| !is_token(letter)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn separators(&mut self) {
        self.rest = self.rest.trim_start_matches(is_separator);
    }
}

const fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '!' | '#'..='\'' | '*' | '+' | '-' | '.' | '^'..='`' | '|' | '~')
}

const fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

const fn is_separator(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer(Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope), error: None })
    }

    #[test]
    fn what_registries_say_is_understood() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let scope = Some("repository:a/b:pull,push");
        let docker_hub = bearer("https://auth.docker.io/token", Some("registry.docker.io"), scope);
        for (value, found) in [
            (docker, vec![docker_hub]),
            ("Basic realm=\"Registry Realm\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            ("BEARER  realm = x , service=y", vec![bearer("x", Some("y"), None)]),
            ("Negotiate, Basic realm=\"a, Bearer realm=b\"", vec![Challenge::Basic]),
            ("Negotiate YII=, Basic realm=a, Bearer realm=b", vec![Challenge::Basic, bearer("b", None, None)]),
            (r#"Bearer realm="a\"b\\c""#, vec![bearer("a\"b\\c", None, None)]),
        ] {
            assert_eq!(Challenge::parse(value), found, "{value}");
        }
    }

    #[test]
    fn what_is_no_challenge_is_none() {
        for value in
            ["", ",", "=", "Bearer", "Bearer realm=", "Bearer realm=\"open", "Digest realm=\"x\"", "\u{fc}=\"", "\""]
        {
            assert_eq!(Challenge::parse(value), [], "{value}");
        }
        let many = "Basic ".repeat(1000);
        assert_eq!(Challenge::parse(&many).len(), MOST);
    }
}
