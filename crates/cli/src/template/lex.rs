//! The source as pieces: text as it is, and actions as words.

use serde_json::{Number, Value};

use super::{Span, Wrong};

/// A piece of the source.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Action(Span, Vec<Word>),
}

/// A word of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) token: Token,
    pub(super) span: Span,
    /// Whether there is space before it.
    pub(super) apart: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `.Name`
    Field(String),
    Dot,
    /// `$`, `$name`; without the sign.
    Variable(String),
    Name(String),
    Literal(Value),
    Pipe,
    Open,
    Close,
    Comma,
    Declare,
    Assign,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The pieces of a source.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece>, Wrong> {
    let mut pieces = Vec::new();
    let mut lexer = Lexer { source, at: 0 };
    let mut trims = false;
    while let Some(offset) = lexer.rest().find("{{") {
        let (text, start) = (lexer.taken(offset), lexer.at);
        lexer.at += 2;
        let text = if trims { text.trim_start_matches(SPACE) } else { text };
        let dashed = lexer.rest().strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACE));
        let text = if dashed { text.trim_end_matches(SPACE) } else { text };
        lexer.at += usize::from(dashed);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let comment = lexer.comment(start)?;
        let mut words = Vec::new();
        trims = loop {
            let apart = lexer.skip_space();
            if apart && lexer.rest().starts_with("-}}") {
                lexer.at += 3;
                break true;
            }
            if lexer.rest().starts_with("}}") {
                lexer.at += 2;
                break false;
            }
            let begin = lexer.at;
            let Some(next) = lexer.next() else {
                return Err(Wrong::syntax(Span { start, end: begin }, "this action has no end"));
            };
            let token = lexer.token(begin, next)?;
            words.push(Word { token, span: Span { start: begin, end: lexer.at }, apart });
        };
        let span = Span { start, end: lexer.at };
        match (comment, words.first()) {
            (true, Some(word)) => return Err(Wrong::syntax(word.span, "nothing can follow a comment but its end")),
            (true, None) => {}
            (false, None) => return Err(Wrong::syntax(span, "there is no command in it")),
            (false, Some(_)) => pieces.push(Piece::Action(span, words)),
        }
    }
    let text = if trims { lexer.rest().trim_start_matches(SPACE) } else { lexer.rest() };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(pieces)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn taken(&mut self, length: usize) -> &'s str {
        let text = self.rest().get(..length).unwrap_or_default();
        self.at += text.len();
        text
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_space(&mut self) -> bool {
        let rest = self.rest();
        let skipped = rest.len() - rest.trim_start_matches(SPACE).len();
        self.at += skipped;
        skipped > 0
    }

    /// Skips a comment; whether there was one.
    fn comment(&mut self, start: usize) -> Result<bool, Wrong> {
        let rest = self.rest().trim_start_matches(SPACE);
        let Some(inside) = rest.strip_prefix("/*") else { return Ok(false) };
        let Some(length) = inside.find("*/") else {
            return Err(Wrong::syntax(Span { start, end: start + 2 }, "this comment has no end"));
        };
        self.skip_space();
        self.at += 2 + length + 2;
        Ok(true)
    }

    fn taken_while(&mut self, belongs: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let length = rest.find(|character| !belongs(character)).unwrap_or(rest.len());
        self.taken(length)
    }

    fn name(&mut self) -> String {
        self.taken_while(|character| character == '_' || character.is_alphanumeric()).to_owned()
    }

    fn token(&mut self, start: usize, first: char) -> Result<Token, Wrong> {
        let follows = self.rest().chars().next();
        let is_name = |character: char| character == '_' || character.is_alphabetic();
        Ok(match first {
            '|' => Token::Pipe,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Assign,
            ':' if follows == Some('=') => {
                self.at += 1;
                Token::Declare
            }
            '.' if follows.is_some_and(is_name) => Token::Field(self.name()),
            '.' if !follows.is_some_and(|next| next.is_ascii_digit()) => Token::Dot,
            '$' => Token::Variable(self.name()),
            '"' | '\'' => self.quoted(start, first)?,
            '`' => self.raw(start)?,
            '+' | '-' | '.' | '0'..='9' => self.number(start)?,
            _ if is_name(first) => {
                self.at = start;
                match self.name().as_str() {
                    "true" => Token::Literal(Value::Bool(true)),
                    "false" => Token::Literal(Value::Bool(false)),
                    "nil" => Token::Literal(Value::Null),
                    name => Token::Name(name.to_owned()),
                }
            }
            _ => {
                let reason = format!("a template has no {first:?}");
                return Err(Wrong::syntax(Span { start, end: self.at }, reason));
            }
        })
    }

    fn raw(&mut self, start: usize) -> Result<Token, Wrong> {
        let text = self.taken_while(|character| character != '`').to_owned();
        match self.next() {
            Some(_) => Ok(Token::Literal(Value::String(text.replace('\r', "")))),
            None => Err(Wrong::syntax(Span { start, end: self.at }, "this text has no end")),
        }
    }

    /// A text, or a character, which is its number.
    fn quoted(&mut self, start: usize, quote: char) -> Result<Token, Wrong> {
        let mut text = String::new();
        loop {
            let span = |lexer: &Self| Span { start, end: lexer.at };
            match self.next() {
                None | Some('\n') => return Err(Wrong::syntax(span(self), "this text has no end")),
                Some('\\') => match self.escape(quote) {
                    Some(character) => text.push(character),
                    None => return Err(Wrong::syntax(span(self), "this escape is none of Go's")),
                },
                Some(end) if end == quote => break,
                Some(character) => text.push(character),
            }
        }
        if quote == '"' {
            return Ok(Token::Literal(Value::String(text)));
        }
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(Token::Literal(u32::from(character).into())),
            _ => Err(Wrong::syntax(Span { start, end: self.at }, "is not one character")),
        }
    }

    fn escape(&mut self, quote: char) -> Option<char> {
        let digits = |lexer: &mut Self, count: usize| {
            let digits = lexer.taken(count);
            u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == count).and_then(char::from_u32)
        };
        Some(match self.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            'x' => return digits(self, 2),
            'u' => return digits(self, 4),
            'U' => return digits(self, 8),
            '0'..='7' => {
                self.at -= 1;
                let octal = self.taken(3);
                return u8::from_str_radix(octal, 8).ok().filter(|_| octal.len() == 3).map(char::from);
            }
            same if same == quote => same,
            _ => return None,
        })
    }

    fn number(&mut self, start: usize) -> Result<Token, Wrong> {
        self.at = start;
        let sign = self.taken_while(|character| matches!(character, '+' | '-')).to_owned();
        let mut text = sign;
        loop {
            text.push_str(
                self.taken_while(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_')),
            );
            let exponent = text.ends_with(['e', 'E']) && !text.contains(['x', 'X']);
            match self.rest().chars().next() {
                Some(sign @ ('+' | '-')) if exponent => {
                    text.push(sign);
                    self.at += 1;
                }
                _ => break,
            }
        }
        number(&text)
            .map(|number| Token::Literal(Value::Number(number)))
            .ok_or_else(|| Wrong::syntax(Span { start, end: self.at }, "is no number"))
    }
}

/// `12`, `-0x1f`, `0b101`, `0o17`, `1_000`, `1.5e3`.
fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let lower = digits.replace('_', "").to_ascii_lowercase();
    let (radix, whole) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|digit| digit.is_ascii_digit()) => {
            (8, lower.as_str())
        }
        _ => (10, lower.as_str()),
    };
    if let Ok(whole) = u64::from_str_radix(whole, radix) {
        return if negative { Some(0_i64.checked_sub_unsigned(whole)?.into()) } else { Some(whole.into()) };
    }
    let float: f64 = lower.parse().ok().filter(|_| radix == 10)?;
    Number::from_f64(if negative { -float } else { float })
}
