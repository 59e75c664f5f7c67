//! The functions: Go's own, and those that Docker adds.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::Purpose;
use super::printf::printf;
use super::run::Known;
use super::shown::{self, shown};

const KNOWN: [&str; 25] = [
    "and", "eq", "ge", "gt", "html", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad",
    "print", "printf", "println", "slice", "split", "title", "truncate", "upper", "urlquery",
];

/// Those that leave a column's name as it is.
const NOT_FOR_HEADINGS: [&str; 7] = ["join", "json", "lower", "split", "title", "truncate", "upper"];

/// The widest that something is made.
pub(super) const WIDEST: usize = 1_000_000;

/// Whether there is such a function.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// What a function gives.
///
/// # Errors
/// The reason why it cannot take its values, as a clause.
pub(super) fn call<'d>(name: &str, given: &[Known<'d>], purpose: Purpose) -> Result<Known<'d>, String> {
    if purpose == Purpose::Heading
        && NOT_FOR_HEADINGS.contains(&name)
        && let Some(Some(heading)) = given.first()
        && heading.is_string()
    {
        return Ok(Some(heading.clone()));
    }
    if name == "index" {
        return index(given);
    }
    let null = Value::Null;
    let given: Vec<&Value> = given.iter().map(|value| value.as_deref().unwrap_or(&null)).collect();
    value_of(name, &given).map(|value| Some(Cow::Owned(value)))
}

fn value_of(name: &str, given: &[&Value]) -> Result<Value, String> {
    Ok(match (name, given) {
        ("not", [value]) => (!shown::is_true(value)).into(),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut equal = false;
            for other in others {
                equal = equal || equals(first, other)?;
            }
            equal.into()
        }
        ("ne", [one, other]) => (!equals(one, other)?).into(),
        ("lt", [one, other]) => (compared(one, other)? == Ordering::Less).into(),
        ("le", [one, other]) => (compared(one, other)? != Ordering::Greater).into(),
        ("gt", [one, other]) => (compared(one, other)? == Ordering::Greater).into(),
        ("ge", [one, other]) => (compared(one, other)? != Ordering::Less).into(),
        ("len", [value]) => length(value)?.into(),
        ("slice", [value, bounds @ ..]) if bounds.len() <= 3 => slice(value, bounds)?,
        ("print", values) => print(values).into(),
        ("println", values) => {
            let words: Vec<String> = values.iter().map(|value| shown(value)).collect();
            format!("{}\n", words.join(" ")).into()
        }
        ("printf", [format, values @ ..]) => printf(text(format)?, values).into(),
        ("html", values) => html(&print(values)).into(),
        ("urlquery", values) => urlquery(&print(values)).into(),
        ("json", [value]) => value.to_string().into(),
        ("split", [value, separator]) => split(text(value)?, text(separator)?),
        ("join", [value, separator]) => join(value, text(separator)?)?.into(),
        ("title", [value]) => title(text(value)?).into(),
        ("lower", [value]) => text(value)?.to_lowercase().into(),
        ("upper", [value]) => text(value)?.to_uppercase().into(),
        ("pad", [value, before, after]) => pad(text(value)?, count(before)?, count(after)?)?.into(),
        ("truncate", [value, length]) => truncated(text(value)?, count(length)?).into(),
        _ => return Err(format!("{name} does not take {} values", given.len())),
    })
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("it wants a text, and this is {}", shown::described(value)))
}

fn count(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("it wants a number of 0 or more, and this is {}", shown(value)))
}

fn equals(one: &Value, other: &Value) -> Result<bool, String> {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => Ok(compared(one, other)? == Ordering::Equal),
        (Value::String(one), Value::String(other)) => Ok(one == other),
        (Value::Bool(one), Value::Bool(other)) => Ok(one == other),
        (Value::Null, other) | (other, Value::Null) => Ok(other.is_null()),
        _ => Err(unlike(one, other)),
    }
}

fn compared(one: &Value, other: &Value) -> Result<Ordering, String> {
    let ordering = match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64().zip(other.as_f64()).and_then(|(one, other)| one.partial_cmp(&other)),
        },
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    };
    ordering.ok_or_else(|| unlike(one, other))
}

fn unlike(one: &Value, other: &Value) -> String {
    format!("{} and {} cannot be compared", shown::described(one), shown::described(other))
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => Ok(text.len()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(fields) => Ok(fields.len()),
        other => Err(format!("{} has no length", shown::described(other))),
    }
}

/// `index x 1 "k"` is `x[1]["k"]`. Of a map of texts what is not there is an empty text.
fn index<'d>(given: &[Known<'d>]) -> Result<Known<'d>, String> {
    let Some((first, keys)) = given.split_first() else { return Err("index does not take 0 values".to_owned()) };
    let mut value = first.clone();
    for key in keys {
        let key = key.as_deref().unwrap_or(&Value::Null);
        value = match value {
            Some(Cow::Borrowed(value)) => item(value, key)?,
            Some(Cow::Owned(value)) => item(&value, key)?.map(|item| Cow::Owned(item.into_owned())),
            None => return Err("there is nothing in what is not there".to_owned()),
        };
    }
    Ok(value)
}

fn item<'v>(value: &'v Value, key: &Value) -> Result<Known<'v>, String> {
    let place = |length: usize| {
        let place = count(key)?;
        if place < length { Ok(place) } else { Err(format!("there is no {place} in a length of {length}")) }
    };
    Ok(match value {
        Value::Array(items) => items.get(place(items.len())?).map(Cow::Borrowed),
        Value::String(text) => text.as_bytes().get(place(text.len())?).map(|byte| Cow::Owned((*byte).into())),
        Value::Object(fields) => match fields.get(text(key)?) {
            Some(value) => Some(Cow::Borrowed(value)),
            None if fields.values().all(Value::is_string) => Some(Cow::Owned("".into())),
            None => None,
        },
        Value::Null => Some(Cow::Owned("".into())),
        other => return Err(format!("{} has no items", shown::described(other))),
    })
}

fn slice(value: &Value, bounds: &[&Value]) -> Result<Value, String> {
    let whole = length(value)?;
    let mut ends = [0, whole];
    for (end, bound) in ends.iter_mut().zip(bounds) {
        *end = count(bound)?;
    }
    let [start, end] = ends;
    let outside = || format!("there is no {start} to {end} in a length of {whole}");
    match value {
        Value::String(text) if bounds.len() < 3 => Ok(text.get(start..end).ok_or_else(outside)?.into()),
        Value::Array(items) => Ok(items.get(start..end).ok_or_else(outside)?.into()),
        other => Err(format!("{} has no such parts", shown::described(other))),
    }
}

/// Between two of which none is a text there is a space.
fn print(values: &[&Value]) -> String {
    let mut text = String::new();
    let mut after_text = true;
    for value in values {
        if !after_text && !value.is_string() {
            text.push(' ');
        }
        text.push_str(&shown(value));
        after_text = value.is_string();
    }
    text
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\0' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn urlquery(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

fn split(text: &str, separator: &str) -> Value {
    if separator.is_empty() {
        return text.chars().map(String::from).collect();
    }
    text.split(separator).collect()
}

fn join(value: &Value, separator: &str) -> Result<String, String> {
    let mut words: Vec<String> = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Object(fields) => fields.values().map(shown).collect(),
        other => return Err(format!("it wants a list, and this is {}", shown::described(other))),
    };
    if value.is_object() {
        words.sort();
    }
    Ok(words.join(separator))
}

fn title(text: &str) -> String {
    // Go's strings.Title: of other scripts blanks alone stand between words.
    let separates = |character: char| match character {
        '_' => false,
        ascii if ascii.is_ascii() => !ascii.is_ascii_alphanumeric(),
        other => other.is_whitespace(),
    };
    let mut before = ' ';
    let mut titled = String::with_capacity(text.len());
    for character in text.chars() {
        if separates(before) {
            titled.extend(character.to_uppercase())
        } else {
            titled.push(character)
        }
        before = character;
    }
    titled
}

fn pad(text: &str, before: usize, after: usize) -> Result<String, String> {
    if before > WIDEST || after > WIDEST {
        return Err(format!("it makes nothing wider than {WIDEST}"));
    }
    Ok(if text.is_empty() { String::new() } else { format!("{}{text}{}", " ".repeat(before), " ".repeat(after)) })
}

/// So many bytes at most, without a part of a character.
fn truncated(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}
