//! Templates over JSON in the language of Go's text/template, in which `docker --format` is written: parse, then run.
//!
//! Fields, variables, pipes, `if`, `with`, `range`, trim markers, comments, Go's own functions and those that Docker adds. What
//! a document of Docker's would have as a struct is an object whose keys begin with a capital letter: a field that it lacks is
//! an error. Of any other object it is a value that is not there. Not to be had are `define`, `template`, `block`, `call`, `js`.
//!
//! <https://pkg.go.dev/text/template>, <https://docs.docker.com/engine/cli/formatting/>

mod functions;
mod lex;
mod parse;
mod printf;
mod run;
mod shown;

use std::fmt;

use serde_json::Value;

use self::parse::Node;
pub(crate) use self::shown::quoted;

/// A template that can be run.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    nodes: Vec<Node>,
}

/// What a template is run over.
#[derive(Clone, Copy)]
pub(crate) struct Data<'d> {
    /// The document.
    pub(crate) value: &'d Value,
    /// What the document can be asked with one word: `{{.Label "team"}}`.
    pub(crate) methods: &'d [Method<'d>],
}

/// A name, and the answer to a word.
pub(crate) type Method<'d> = (&'static str, &'d dyn Fn(&str) -> String);

/// What the functions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What their names say.
    Rows,
    /// Those that would change a column's name give it back.
    Heading,
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, from 1.
    line: usize,
    /// The character in it, from 1.
    column: usize,
    /// The part of the template.
    part: String,
    /// What is wrong with it.
    reason: String,
    /// Whether there is no such field.
    pub(crate) kind: FaultKind,
}

/// The faults that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It is no template.
    Syntax,
    /// The document has no such field.
    Field,
    /// It cannot be done with these values.
    Values,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, part, reason, .. } = self;
        if part.is_empty() {
            write!(f, "{line}:{column}: {reason}")
        } else {
            write!(f, "{line}:{column} <{part}>: {reason}")
        }
    }
}

/// A place in the source, by bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// A fault before it is known in which source.
#[derive(Debug)]
struct Wrong {
    span: Span,
    reason: String,
    kind: FaultKind,
}

impl Wrong {
    fn syntax(span: Span, reason: impl Into<String>) -> Self {
        Self { span, reason: reason.into(), kind: FaultKind::Syntax }
    }

    fn values(span: Span, reason: impl Into<String>) -> Self {
        Self { span, reason: reason.into(), kind: FaultKind::Values }
    }

    fn field(span: Span, reason: impl Into<String>) -> Self {
        Self { span, reason: reason.into(), kind: FaultKind::Field }
    }

    fn at(self, source: &str) -> Fault {
        let before = source.get(..self.span.start).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let part = source.get(self.span.start..self.span.end).unwrap_or_default().to_owned();
        Fault { line, column, part, reason: self.reason, kind: self.kind }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn parse(source: &str) -> Result<Self, Fault> {
        let nodes = lex::pieces(source).and_then(parse::nodes).map_err(|wrong| wrong.at(source))?;
        Ok(Self { source: source.to_owned(), nodes })
    }

    /// What it makes of a document.
    ///
    /// # Errors
    /// Where it asks for what the document does not have, or a function cannot take its values.
    pub(crate) fn run(&self, data: Data<'_>, purpose: Purpose) -> Result<String, Fault> {
        run::run(&self.nodes, data, purpose).map_err(|wrong| wrong.at(&self.source))
    }

    /// Whether it may look at this field of the document.
    pub(crate) fn asks_for(&self, field: &str) -> bool {
        parse::asks_for(&self.nodes, field)
    }
}

#[cfg(test)]
mod tests;
