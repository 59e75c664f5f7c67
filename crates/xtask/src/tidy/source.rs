//! A Rust source file as a flat list of tokens with their lines.
//!
//! Comments are gone and documentation is skipped, so that a rule sees code only; a token knows whether it belongs to
//! tests (`#[cfg(test)]`, `#[test]`, a `tests` or `benches` folder, the `e2e` crate).

use std::ops::Range;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below the workspace's folder, with slashes.
    pub(crate) path: String,
    /// The folder's name below `crates`; empty outside.
    pub(crate) krate: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    /// Modules that this file declares for tests only: `#[cfg(test)] mod kernel;`.
    pub(crate) test_modules: Vec<String>,
    /// Why the text is not Rust, if it is not.
    pub(crate) broken: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ident,
    Punct,
    Literal,
    Open,
    Close,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Whether it belongs to tests.
    pub(crate) test: bool,
}

/// A function: where its parts stand in the token list.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// `pub` without a restriction.
    pub(crate) public: bool,
    pub(crate) test: bool,
    /// Between the parentheses.
    pub(crate) parameters: Range<usize>,
    /// Between the braces; empty for a declaration.
    pub(crate) body: Range<usize>,
    /// The last name of the `impl` header around it: the type.
    pub(crate) implements: Option<String>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut parts = path.split('/');
        let krate = if parts.next() == Some("crates") { parts.next().unwrap_or_default() } else { "" }.to_owned();
        let of_tests = krate == "e2e" || path.split('/').any(|part| part == "tests" || part == "benches");
        let mut tokens = Vec::new();
        let broken = match TokenStream::from_str(text) {
            Ok(stream) => {
                flatten(stream, &mut tokens);
                None
            }
            Err(error) => Some(error.to_string()),
        };
        let test_modules = mark_tests(&mut tokens);
        if of_tests {
            mark_all(&mut tokens);
        }
        Self { path: path.to_owned(), krate, text: text.to_owned(), tokens, test_modules, broken }
    }

    /// The file's name.
    pub(crate) fn file(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The tokens that are not for tests, with their places in the list.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &Token)> {
        self.tokens.iter().enumerate().filter(|(_, token)| !token.test)
    }

    /// The text of the token at `index`; empty outside the list.
    pub(crate) fn at(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    /// The text of the token `back` before `index`; empty before the first.
    pub(crate) fn before(&self, index: usize, back: usize) -> &str {
        index.checked_sub(back).map_or("", |index| self.at(index))
    }

    /// Whether the tokens from `index` on read as `words`.
    pub(crate) fn reads(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.at(index + offset) == *word)
    }

    /// The place of the delimiter that closes the one at `open`.
    pub(crate) fn closing(&self, open: usize) -> usize {
        closing(&self.tokens, open)
    }

    /// Every function with a name.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let impls = self.impls();
        let starts =
            self.tokens.iter().enumerate().filter(|(_, token)| token.text == "fn" && token.kind == Kind::Ident);
        starts.filter_map(|(index, _)| self.function(index, &impls)).collect()
    }

    fn function(&self, index: usize, impls: &[(Range<usize>, String)]) -> Option<Function> {
        let name = self.tokens.get(index + 1).filter(|token| token.kind == Kind::Ident)?;
        let mut angle = 0_usize;
        let open = (index + 2..self.tokens.len()).find(|place| {
            match self.at(*place) {
                "<" => angle += 1,
                ">" if self.before(*place, 1) != "-" => angle = angle.saturating_sub(1),
                _ => {}
            }
            angle == 0 && self.at(*place) == "("
        })?;
        let close = self.closing(open);
        let end = (close..self.tokens.len()).find(|place| matches!(self.at(*place), "{" | ";"))?;
        let body = if self.at(end) == "{" { end + 1..self.closing(end) } else { end..end };
        let mut first = index;
        while matches!(self.before(first, 1), "const" | "async" | "unsafe" | "extern" | "\"C\"") {
            first -= 1;
        }
        let around = impls.iter().rfind(|(range, _)| range.contains(&index));
        Some(Function {
            name: name.text.clone(),
            line: name.line,
            public: self.before(first, 1) == "pub",
            test: name.test,
            parameters: open + 1..close,
            body,
            implements: around.map(|(_, name)| name.clone()),
        })
    }

    /// The `impl` blocks with the last name of their header.
    fn impls(&self) -> Vec<(Range<usize>, String)> {
        let mut found = Vec::new();
        for (index, token) in self.tokens.iter().enumerate() {
            let starts_item = index == 0 || matches!(self.before(index, 1), "}" | ";" | "{" | "]" | "unsafe");
            if token.text != "impl" || !starts_item {
                continue;
            }
            let Some(open) = (index..self.tokens.len()).find(|place| self.at(*place) == "{") else { continue };
            let header = self.tokens.get(index..open).unwrap_or_default();
            let name = header.iter().rfind(|token| token.kind == Kind::Ident).map(|token| token.text.clone());
            found.push((open..self.closing(open), name.unwrap_or_default()));
        }
        found
    }
}

/// What is between a string literal's quotes; `None` for numbers and characters.
pub(crate) fn string(token: &Token) -> Option<&str> {
    if token.kind != Kind::Literal || token.text.starts_with('\'') || token.text.starts_with("b'") {
        return None;
    }
    let start = token.text.find('"')? + 1;
    let end = token.text.rfind('"')?;
    token.text.get(start..end)
}

/// Marks every token as one of tests.
pub(crate) fn mark_all(tokens: &mut [Token]) {
    for token in tokens {
        token.test = true;
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |kind, text: String, line| tokens.push(Token { kind, text, line, test: false });
        match tree {
            TokenTree::Ident(ident) => push(Kind::Ident, ident.to_string(), line),
            TokenTree::Punct(punct) => push(Kind::Punct, punct.as_char().to_string(), line),
            TokenTree::Literal(literal) => push(Kind::Literal, literal.to_string(), line),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(Kind::Open, open.to_owned(), line);
                let end = group.span_close().start().line;
                let inside = group.stream();
                // Documentation stays as an empty attribute: its text is prose.
                if !is_doc(&inside) {
                    flatten(inside, tokens);
                }
                tokens.push(Token { kind: Kind::Close, text: close.to_owned(), line: end, test: false });
            }
        }
    }
}

fn is_doc(stream: &TokenStream) -> bool {
    let mut trees = stream.clone().into_iter();
    matches!(trees.next(), Some(TokenTree::Ident(ident)) if ident == "doc")
        && matches!(trees.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '=')
}

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close if depth <= 1 => return index,
            Kind::Close => depth -= 1,
            Kind::Ident | Kind::Punct | Kind::Literal => {}
        }
    }
    tokens.len()
}

/// Marks the items behind `#[test]` and `#[cfg(test)]`; returns the names of test modules in files of their own.
fn mark_tests(tokens: &mut [Token]) -> Vec<String> {
    let mut modules = Vec::new();
    for index in 0..tokens.len() {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        if text(index) != "#" || text(index + 1) != "[" {
            continue;
        }
        let close = closing(tokens, index + 1);
        let attribute: Vec<&str> = (index + 2..close).map(text).collect();
        let for_tests = attribute == ["test"]
            || (attribute.first() == Some(&"cfg") && attribute.contains(&"test") && !attribute.contains(&"not"));
        if !for_tests {
            continue;
        }
        let mut end = close + 1;
        while end < tokens.len() && !matches!(text(end), "{" | ";") {
            end = if matches!(text(end), "(" | "[") { closing(tokens, end) } else { end } + 1;
        }
        let name = (close..end).find(|at| text(*at) == "mod").map(|at| text(at + 1).to_owned());
        let last = if text(end) == "{" { closing(tokens, end) } else { end };
        if text(end) == ";" {
            modules.extend(name);
        }
        let last = last.min(tokens.len().saturating_sub(1));
        mark_all(tokens.get_mut(index..=last).unwrap_or_default());
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_with_its_visibility_parameters_and_type() {
        let source = Source::new(
            "crates/runtime/src/a.rs",
            "impl<T: Fn(u8) -> u8> Thing<T> { pub const fn make<F: Fn(u8) -> u8>(pid: u32) -> u8 { 7 } }\nfn inner() {}",
        );
        let functions = source.functions();
        let make = functions.first().unwrap();
        assert_eq!((make.name.as_str(), make.public, make.line), ("make", true, 1));
        assert_eq!(make.implements.as_deref(), Some("T"));
        assert_eq!(source.at(make.parameters.start), "pid");
        assert_eq!(source.at(make.body.start), "7");
        assert!(!functions.last().unwrap().public);
        assert_eq!(functions.last().unwrap().line, 2);
    }

    #[test]
    fn tests_are_marked_and_documentation_is_skipped() {
        let source = Source::new(
            "crates/runtime/src/a.rs",
            "/// \"memory.max\"\nfn code() {}\n#[cfg(test)]\nmod kernel;\n#[cfg(test)]\nmod tests { fn inside() {} }\nfn after() {}",
        );
        let code: Vec<&str> = source.code().map(|(_, token)| token.text.as_str()).collect();
        assert!(code.contains(&"code") && code.contains(&"after"));
        assert!(!code.contains(&"inside") && !code.iter().any(|text| text.contains("memory")));
        assert_eq!(source.test_modules, ["kernel"]);
    }

    #[test]
    fn only_strings_have_a_content() {
        let source = Source::new("a.rs", "f(c\"one\", r#\"two\"#, 3, 'x', b'\"')");
        let found: Vec<&str> = source.tokens.iter().filter_map(string).collect();
        assert_eq!(found, ["one", "two"]);
    }
}
