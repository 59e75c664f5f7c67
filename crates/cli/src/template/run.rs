//! A template run over a document.

use std::borrow::Cow;

use serde_json::Value;

use super::functions;
use super::parse::{Base, Branch, BranchKind, Command, Node, Operand, Pipe, Target};
use super::shown::{self, shown};
use super::{Data, Purpose, Span, Wrong};

/// A value; `None` where a map does not have it.
pub(super) type Known<'d> = Option<Cow<'d, Value>>;

/// What the nodes make of a document.
pub(super) fn run(nodes: &[Node], data: Data<'_>, purpose: Purpose) -> Result<String, Wrong> {
    let document = Some(Cow::Borrowed(data.value));
    let mut run = Run { data, purpose, variables: vec![(String::new(), document.clone())], out: String::new() };
    run.list(nodes, &document)?;
    Ok(run.out)
}

/// Whether a range goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Next,
    Out,
}

struct Run<'d> {
    data: Data<'d>,
    purpose: Purpose,
    variables: Vec<(String, Known<'d>)>,
    out: String,
}

impl<'d> Run<'d> {
    fn list(&mut self, nodes: &[Node], dot: &Known<'d>) -> Result<Flow, Wrong> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.target == Target::Output {
                        match value {
                            Some(value) => self.out.push_str(&shown(&value)),
                            None => self.out.push_str(shown::ABSENT),
                        }
                    }
                }
                Node::Branch(branch) => match self.branch(branch, dot)? {
                    Flow::On => {}
                    flow => return Ok(flow),
                },
                Node::Break => return Ok(Flow::Out),
                Node::Continue => return Ok(Flow::Next),
            }
        }
        Ok(Flow::On)
    }

    fn branch(&mut self, branch: &Branch, dot: &Known<'d>) -> Result<Flow, Wrong> {
        let known = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if branch.kind == BranchKind::Range {
            self.variables.truncate(known);
            self.range(branch, value, dot)
        } else if !value.as_deref().is_some_and(shown::is_true) {
            self.list(&branch.otherwise, dot)
        } else if branch.kind == BranchKind::With {
            self.list(&branch.then, &value)
        } else {
            self.list(&branch.then, dot)
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, branch: &Branch, value: Known<'d>, dot: &Known<'d>) -> Result<Flow, Wrong> {
        let known = self.variables.len();
        let mut items = items(value, branch.pipe.span)?.peekable();
        if items.peek().is_none() {
            return self.list(&branch.otherwise, dot);
        }
        for (key, item) in items {
            self.step(branch, key, &item);
            let flow = self.list(&branch.then, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Out {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// Gives the variables of a range what they have in this step: the item, or its place and the item.
    fn step(&mut self, branch: &Branch, key: Value, item: &Known<'d>) {
        let values = match branch.pipe.variables.len() {
            2 => vec![Some(Cow::Owned(key)), item.clone()],
            _ => vec![item.clone()],
        };
        for (name, value) in branch.pipe.variables.iter().zip(values) {
            self.set(name, value, branch.pipe.target);
        }
    }

    fn set(&mut self, name: &str, value: Known<'d>, target: Target) {
        let known = self.variables.iter_mut().rfind(|(known, _)| target == Target::Known && known == name);
        match known {
            Some((_, known)) => *known = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Known<'d>) -> Result<Known<'d>, Wrong> {
        let mut value = None;
        for (place, command) in pipe.commands.iter().enumerate() {
            let piped = (place > 0).then_some(value);
            value = self.command(command, piped, dot)?;
        }
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.target);
        }
        Ok(value)
    }

    fn command(&mut self, command: &Command, piped: Option<Known<'d>>, dot: &Known<'d>) -> Result<Known<'d>, Wrong> {
        let Some((first, rest)) = command.words.split_first() else { return Ok(piped.flatten()) };
        match &first.base {
            Base::Function(name) if name == "and" || name == "or" => self.either(name, (rest, piped), dot),
            Base::Function(name) => {
                let mut given = self.operands(rest, dot)?;
                given.extend(piped);
                functions::call(name, &given, self.purpose).map_err(|reason| Wrong::values(first.span, reason))
            }
            _ if rest.is_empty() && piped.is_none() => self.operand(first, dot),
            _ => {
                let mut given = self.operands(rest, dot)?;
                given.extend(piped);
                self.method(first, dot, &given)
            }
        }
    }

    /// `and` and `or` look at no more than they must.
    fn either(
        &mut self,
        name: &str,
        (operands, piped): (&[Operand], Option<Known<'d>>),
        dot: &Known<'d>,
    ) -> Result<Known<'d>, Wrong> {
        let mut value = None;
        for operand in operands {
            value = self.operand(operand, dot)?;
            if value.as_deref().is_some_and(shown::is_true) == (name == "or") {
                return Ok(value);
            }
        }
        Ok(piped.unwrap_or(value))
    }

    fn operands(&mut self, operands: &[Operand], dot: &Known<'d>) -> Result<Vec<Known<'d>>, Wrong> {
        operands.iter().map(|operand| self.operand(operand, dot)).collect()
    }

    fn operand(&mut self, operand: &Operand, dot: &Known<'d>) -> Result<Known<'d>, Wrong> {
        let base = self.base(operand, dot)?;
        self.fields(operand, base, &operand.fields)
    }

    fn base(&mut self, operand: &Operand, dot: &Known<'d>) -> Result<Known<'d>, Wrong> {
        Ok(match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => {
                self.variables.iter().rfind(|(known, _)| known == name).and_then(|(_, value)| value.clone())
            }
            Base::Literal(value) => Some(Cow::Owned(value.clone())),
            Base::Pipe(pipe) => self.pipe(pipe, dot)?,
            Base::Function(name) => {
                functions::call(name, &[], self.purpose).map_err(|reason| Wrong::values(operand.span, reason))?
            }
        })
    }

    fn fields(&self, operand: &Operand, mut value: Known<'d>, names: &[String]) -> Result<Known<'d>, Wrong> {
        for name in names {
            value = match value {
                Some(Cow::Borrowed(value)) => field(value, name, operand.span)?.map(Cow::Borrowed),
                Some(Cow::Owned(value)) => field(&value, name, operand.span)?.cloned().map(Cow::Owned),
                None => {
                    return Err(Wrong::values(
                        operand.span,
                        format!("there is nothing that could have a field {name}"),
                    ));
                }
            };
        }
        Ok(value)
    }

    /// What is given words must be a method of the document.
    fn method(&mut self, operand: &Operand, dot: &Known<'d>, given: &[Known<'d>]) -> Result<Known<'d>, Wrong> {
        let refused = || Wrong::values(operand.span, "takes nothing");
        let Some((name, path)) = operand.fields.split_last() else { return Err(refused()) };
        let base = self.base(operand, dot)?;
        let receiver = self.fields(operand, base, path)?;
        let is_document = matches!(receiver, Some(Cow::Borrowed(value)) if std::ptr::eq(value, self.data.value));
        let method = self.data.methods.iter().find(|(method, _)| is_document && method == name);
        let Some((_, answer)) = method else { return Err(refused()) };
        match given {
            [Some(word)] if word.is_string() => Ok(Some(Cow::Owned(answer(word.as_str().unwrap_or_default()).into()))),
            _ => Err(Wrong::values(operand.span, "takes one text")),
        }
    }
}

/// What a range goes through, each with its place or key.
type Items<'d> = Box<dyn Iterator<Item = (Value, Known<'d>)> + 'd>;

fn items(value: Known<'_>, span: Span) -> Result<Items<'_>, Wrong> {
    Ok(match value.unwrap_or(Cow::Owned(Value::Null)) {
        Cow::Borrowed(Value::Array(items)) => {
            Box::new(items.iter().enumerate().map(|(place, item)| (place.into(), Some(Cow::Borrowed(item)))))
        }
        Cow::Borrowed(Value::Object(fields)) => {
            Box::new(fields.iter().map(|(key, item)| (key.as_str().into(), Some(Cow::Borrowed(item)))))
        }
        value => match value.into_owned() {
            Value::Null => Box::new(std::iter::empty()),
            Value::Array(items) => {
                Box::new(items.into_iter().enumerate().map(|(place, item)| (place.into(), Some(Cow::Owned(item)))))
            }
            Value::Object(fields) => {
                Box::new(fields.into_iter().map(|(key, item)| (key.into(), Some(Cow::Owned(item)))))
            }
            Value::Number(number) if number.is_i64() => {
                let places = 0..number.as_i64().unwrap_or(0);
                Box::new(places.map(|place| (place.into(), Some(Cow::Owned(place.into())))))
            }
            other => {
                return Err(Wrong::values(span, format!("nothing goes through {}", shown::described(&other))));
            }
        },
    })
}

/// A field of a value; `None` where a map does not have it.
fn field<'v>(value: &'v Value, name: &str, span: Span) -> Result<Option<&'v Value>, Wrong> {
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(value) => Ok(Some(value)),
            None if shown::is_struct(fields) => Err(Wrong::field(span, format!("there is no field {name}"))),
            None => Ok(None),
        },
        Value::Null => Err(Wrong::values(span, format!("null has no field {name}"))),
        other => Err(Wrong::field(span, format!("{} has no field {name}", shown::described(other)))),
    }
}
