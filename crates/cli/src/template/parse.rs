//! The words of actions as a tree.

use serde_json::Value;

use super::functions;
use super::lex::{Piece, Token, Word};
use super::{Span, Wrong};

/// A part of a template that is run.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    Branch(Branch),
    Break,
    Continue,
}

/// `if`, `with`, `range`, to their `end`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) kind: BranchKind,
    pub(super) pipe: Pipe,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchKind {
    If,
    With,
    Range,
}

/// Commands, each with what the one before it gave as its last argument; the result may go into variables.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) span: Span,
    pub(super) variables: Vec<String>,
    pub(super) target: Target,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// It is printed.
    Output,
    /// Into variables that are new.
    New,
    /// Into one that there is.
    Known,
}

/// What is called or looked at first, and what it is given.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) words: Vec<Operand>,
}

/// `.A.B`, `$x.A`, `(…).A`, `name`, `"text"`
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) span: Span,
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Function(String),
    Pipe(Box<Pipe>),
}

/// How deep what is in parentheses or between `if` and `end` may lie within each other.
const DEPTH: usize = 100;

/// The tree of a source.
pub(super) fn nodes(pieces: Vec<Piece>) -> Result<Vec<Node>, Wrong> {
    let variables = vec![String::new()];
    let mut parser = Parser { pieces: pieces.into_iter(), variables, depth: 0, ranges: 0 };
    let (nodes, stop) = parser.list()?;
    match stop {
        None => Ok(nodes),
        Some(Stop::End(span)) => Err(Wrong::syntax(span, "there is nothing for it to end")),
        Some(Stop::Else(span, _)) => Err(Wrong::syntax(span, "there is no if, with or range before it")),
    }
}

/// Whether a field of this name, or the document as a whole, is looked at anywhere.
pub(super) fn asks_for(nodes: &[Node], field: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Action(pipe) => in_pipe(pipe, field),
        Node::Branch(branch) => {
            in_pipe(&branch.pipe, field) || asks_for(&branch.then, field) || asks_for(&branch.otherwise, field)
        }
    })
}

fn in_pipe(pipe: &Pipe, field: &str) -> bool {
    pipe.commands.iter().flat_map(|command| &command.words).any(|operand| match &operand.base {
        Base::Pipe(pipe) => in_pipe(pipe, field),
        Base::Dot => operand.fields.first().is_none_or(|first| first == field),
        Base::Variable(name) if name.is_empty() => operand.fields.first().is_none_or(|first| first == field),
        Base::Variable(_) => operand.fields.first().is_some_and(|first| first == field),
        Base::Literal(_) | Base::Function(_) => false,
    })
}

/// What ends a list of nodes.
enum Stop {
    End(Span),
    /// With the words after it.
    Else(Span, Vec<Word>),
}

struct Parser<I> {
    pieces: I,
    /// The names of those that can be used; the document itself is the one without a name.
    variables: Vec<String>,
    depth: usize,
    ranges: usize,
}

impl<I: Iterator<Item = Piece>> Parser<I> {
    fn list(&mut self) -> Result<(Vec<Node>, Option<Stop>), Wrong> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (span, words) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(span, words) => (span, words),
            };
            let keyword = match words.first().map(|word| &word.token) {
                Some(Token::Name(name)) => name.clone(),
                _ => String::new(),
            };
            let alone = || match words.get(1) {
                Some(word) => Err(Wrong::syntax(word.span, format!("nothing can follow {keyword}"))),
                None => Ok(()),
            };
            match keyword.as_str() {
                "if" | "with" | "range" => nodes.push(Node::Branch(self.branch(span, words)?)),
                "end" => {
                    alone()?;
                    return Ok((nodes, Some(Stop::End(span))));
                }
                "else" => return Ok((nodes, Some(Stop::Else(span, words.into_iter().skip(1).collect())))),
                "break" | "continue" => {
                    alone()?;
                    if self.ranges == 0 {
                        return Err(Wrong::syntax(span, "there is no range around it"));
                    }
                    nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
                }
                "define" | "template" | "block" => {
                    return Err(Wrong::syntax(span, format!("{keyword} is not to be had here")));
                }
                _ => nodes.push(Node::Action(self.whole_pipe(span, words, Place::Action)?)),
            }
        }
        Ok((nodes, None))
    }

    fn branch(&mut self, span: Span, words: Vec<Word>) -> Result<Branch, Wrong> {
        self.deeper(span)?;
        let kind = match words.first().map(|word| &word.token) {
            Some(Token::Name(name)) if name == "range" => BranchKind::Range,
            Some(Token::Name(name)) if name == "with" => BranchKind::With,
            _ => BranchKind::If,
        };
        let place = if kind == BranchKind::Range { Place::Range } else { Place::Action };
        let known = self.variables.len();
        let pipe = self.whole_pipe(span, words.into_iter().skip(1).collect(), place)?;
        self.ranges += usize::from(kind == BranchKind::Range);
        let (then, mut stop) = self.list()?;
        self.ranges -= usize::from(kind == BranchKind::Range);
        let mut otherwise = Vec::new();
        if let Some(Stop::Else(at, words)) = stop {
            if words.is_empty() {
                (otherwise, stop) = self.list()?;
                if let Some(Stop::Else(at, _)) = stop {
                    return Err(Wrong::syntax(at, "there is an else before it"));
                }
            } else {
                // `else if` is an `if` within, whose `end` is that of the whole.
                let chained = matches!((words.first().map(|word| &word.token), kind),
                    (Some(Token::Name(name)), BranchKind::If) if name == "if")
                    || matches!((words.first().map(|word| &word.token), kind),
                    (Some(Token::Name(name)), BranchKind::With) if name == "with");
                if !chained {
                    return Err(Wrong::syntax(at, "nothing of this can follow else"));
                }
                otherwise.push(Node::Branch(self.branch(at, words)?));
                stop = Some(Stop::End(at));
            }
        }
        self.variables.truncate(known);
        self.depth -= 1;
        match stop {
            Some(_) => Ok(Branch { kind, pipe, then, otherwise }),
            None => Err(Wrong::syntax(span, "this has no end")),
        }
    }

    fn deeper(&mut self, span: Span) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > DEPTH { Err(Wrong::syntax(span, "lies too deep within others")) } else { Ok(()) }
    }

    fn whole_pipe(&mut self, span: Span, words: Vec<Word>, place: Place) -> Result<Pipe, Wrong> {
        let mut words = words.into_iter().peekable();
        let pipe = self.pipe(span, &mut words, place)?;
        match words.next() {
            None => Ok(pipe),
            Some(word) => Err(Wrong::syntax(word.span, "nothing opens what this closes")),
        }
    }

    fn pipe(&mut self, span: Span, words: &mut Words, place: Place) -> Result<Pipe, Wrong> {
        let (variables, target) = declaration(words, place)?;
        if target == Target::Known
            && let Some(unknown) = variables.iter().find(|name| !self.variables.contains(name))
        {
            return Err(undefined(span, unknown));
        }
        let mut commands = Vec::new();
        loop {
            let command = self.command(words)?;
            let Some(first) = command.words.first() else {
                let span = words.peek().map_or(span, |word| word.span);
                return Err(Wrong::syntax(span, "there is no command before it"));
            };
            if !commands.is_empty() && !matches!(first.base, Base::Function(_)) && first.fields.is_empty() {
                return Err(Wrong::syntax(first.span, "nothing can be piped into this"));
            }
            commands.push(command);
            match words.peek().map(|word| &word.token) {
                Some(Token::Pipe) => words.next(),
                _ => break,
            };
        }
        if target == Target::New {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe { span, variables, target, commands })
    }

    fn command(&mut self, words: &mut Words) -> Result<Command, Wrong> {
        let mut operands = Vec::new();
        while let Some(word) = words.next_if(|word| !matches!(word.token, Token::Pipe | Token::Close)) {
            if !operands.is_empty() && !word.apart {
                return Err(Wrong::syntax(word.span, "there is no space before it"));
            }
            operands.push(self.operand(word, words)?);
        }
        Ok(Command { words: operands })
    }

    fn operand(&mut self, word: Word, words: &mut Words) -> Result<Operand, Wrong> {
        let mut span = word.span;
        let mut fields = Vec::new();
        let base = match word.token {
            Token::Dot => Base::Dot,
            Token::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            Token::Variable(name) if self.variables.contains(&name) => Base::Variable(name),
            Token::Variable(name) => return Err(undefined(span, &name)),
            Token::Name(name) if functions::is_known(&name) => Base::Function(name),
            Token::Name(name) => return Err(Wrong::syntax(span, format!("there is no function {name}"))),
            Token::Literal(value) => Base::Literal(value),
            Token::Open => {
                self.deeper(span)?;
                let pipe = self.pipe(span, words, Place::Parentheses)?;
                self.depth -= 1;
                match words.next_if(|word| word.token == Token::Close) {
                    Some(close) => span.end = close.span.end,
                    None => return Err(Wrong::syntax(span, "nothing closes it")),
                }
                Base::Pipe(Box::new(pipe))
            }
            Token::Comma | Token::Declare | Token::Assign | Token::Pipe | Token::Close => {
                return Err(Wrong::syntax(span, "cannot stand here"));
            }
        };
        while let Some(word) = words.next_if(|word| !word.apart && matches!(word.token, Token::Field(_))) {
            span.end = word.span.end;
            if let Token::Field(name) = word.token {
                fields.push(name);
            }
        }
        if !fields.is_empty() && matches!(base, Base::Literal(_) | Base::Function(_)) {
            return Err(Wrong::syntax(span, "has no fields"));
        }
        Ok(Operand { span, base, fields })
    }
}

fn undefined(span: Span, name: &str) -> Wrong {
    Wrong::syntax(span, format!("there is no variable ${name} here"))
}

type Words = std::iter::Peekable<std::vec::IntoIter<Word>>;

/// Where a pipe stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Action,
    Range,
    Parentheses,
}

/// `$x :=`, `$x =`, and after range `$i, $x :=`.
fn declaration(words: &mut Words, place: Place) -> Result<(Vec<String>, Target), Wrong> {
    let mut ahead = words.clone();
    let mut names = Vec::new();
    while let Some(Word { token: Token::Variable(name), .. }) = ahead.next() {
        names.push(name);
        match ahead.next() {
            Some(Word { token: Token::Comma, .. }) if place == Place::Range && names.len() == 1 => {}
            Some(Word { token: token @ (Token::Declare | Token::Assign), span, .. }) => {
                if place == Place::Parentheses {
                    return Err(Wrong::syntax(span, "cannot stand in parentheses"));
                }
                *words = ahead;
                let target = if token == Token::Declare { Target::New } else { Target::Known };
                return Ok((names, target));
            }
            _ => break,
        }
    }
    Ok((Vec::new(), Target::Output))
}
