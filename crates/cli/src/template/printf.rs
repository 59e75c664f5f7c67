//! Go's `printf`: <https://pkg.go.dev/fmt>. What does not fit its verb is shown within the text, as Go does.

use serde_json::Value;

use super::functions::WIDEST;
use super::shown::{float_shown, quoted, shown};
use crate::report::{scientific, significant};

/// The flags, width and precision of a verb.
#[derive(Debug, Default, Clone, Copy)]
struct How {
    left: bool,
    sign: bool,
    space: bool,
    zero: bool,
    alternate: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The text of a format with these values.
pub(super) fn printf(format: &str, values: &[&Value]) -> String {
    let mut out = String::new();
    let mut rest = format;
    let mut values = values.iter();
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (how, after) = how(after, &mut values);
        let Some(verb) = after.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = after.get(verb.len_utf8()..).unwrap_or_default();
        if verb == '%' {
            out.push('%');
            continue;
        }
        match values.next() {
            Some(value) => out.push_str(&padded(&verbalised(verb, value, how), value, how)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
    }
    out.push_str(rest);
    let extra: Vec<String> = values.map(|value| typed(value)).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// What stands between the sign and the verb.
fn how<'f>(format: &'f str, values: &mut std::slice::Iter<'_, &Value>) -> (How, &'f str) {
    let mut how = How::default();
    let mut rest = format;
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => how.left = true,
            '+' => how.sign = true,
            ' ' => how.space = true,
            '0' => how.zero = true,
            '#' => how.alternate = true,
            _ => break,
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    (how.width, rest) = amount(rest, values);
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = amount(after, values);
        how.precision = Some(precision.unwrap_or(0));
        rest = after;
    }
    (how, rest)
}

fn amount<'f>(format: &'f str, values: &mut std::slice::Iter<'_, &Value>) -> (Option<usize>, &'f str) {
    if let Some(after) = format.strip_prefix('*') {
        let amount = values.next().and_then(|value| value.as_u64()).and_then(|amount| usize::try_from(amount).ok());
        return (amount.map(|amount| amount.min(WIDEST)), after);
    }
    let digits = format.len() - format.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (digits, rest) = format.split_at(digits);
    ((!digits.is_empty()).then(|| digits.parse().map_or(WIDEST, |amount: usize| amount.min(WIDEST))), rest)
}

fn verbalised(verb: char, value: &Value, how: How) -> String {
    let cut = |text: &str| match how.precision {
        Some(length) => text.chars().take(length).collect(),
        None => text.to_owned(),
    };
    match (verb, value) {
        ('T', _) => type_of(value).to_owned(),
        ('v', Value::Number(number)) if number.is_f64() => float('g', number.as_f64().unwrap_or(0.0), how),
        ('v' | 'd', Value::Number(_)) => {
            whole(value).map_or_else(|| mismatch(verb, value), |number| decimal(number, how))
        }
        ('v', Value::String(text)) if how.alternate => quoted(text),
        ('v', _) => shown(value),
        ('s', Value::String(text)) => cut(text),
        ('s', Value::Array(_) | Value::Object(_)) => shown(value),
        ('q', Value::String(text)) => quoted(&cut(text)),
        ('q', Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| verbalised('q', item, how)).collect();
            format!("[{}]", items.join(" "))
        }
        ('t', Value::Bool(value)) => value.to_string(),
        ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ('x' | 'X' | 'o' | 'b' | 'c' | 'q' | 'U', Value::Number(_)) => {
            whole(value).and_then(|number| integral(verb, number, how)).unwrap_or_else(|| mismatch(verb, value))
        }
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Number(number)) if number.is_f64() => {
            float(verb, number.as_f64().unwrap_or(0.0), how)
        }
        _ => mismatch(verb, value),
    }
}

fn whole(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

fn decimal(number: i128, how: How) -> String {
    let digits = number.unsigned_abs().to_string();
    signed(sign_of(number), &format!("{digits:0>width$}", width = how.precision.unwrap_or(0)), how)
}

/// Digits with the sign that they have, or the one that is put before those that have none.
fn signed(sign: &str, digits: &str, how: How) -> String {
    let sign = match (sign, how.sign, how.space) {
        ("", true, _) => "+",
        ("", false, true) => " ",
        (sign, ..) => sign,
    };
    format!("{sign}{digits}")
}

const fn sign_of(number: i128) -> &'static str {
    if number < 0 { "-" } else { "" }
}

fn integral(verb: char, number: i128, how: How) -> Option<String> {
    let amount = number.unsigned_abs();
    let (prefix, digits) = match verb {
        'x' => ("0x", format!("{amount:x}")),
        'X' => ("0X", format!("{amount:X}")),
        'o' => ("0", format!("{amount:o}")),
        'b' => ("0b", format!("{amount:b}")),
        'U' => return Some(format!("U+{amount:04X}")),
        _ => {
            let character = u32::try_from(number).ok().and_then(char::from_u32)?;
            return Some(if verb == 'c' { character.to_string() } else { format!("'{character}'") });
        }
    };
    Some(signed(sign_of(number), &format!("{}{digits}", if how.alternate { prefix } else { "" }), how))
}

fn float(verb: char, number: f64, how: How) -> String {
    let amount = number.abs();
    let digits = match verb {
        'f' | 'F' => format!("{amount:.*}", how.precision.unwrap_or(6)),
        'e' | 'E' => scientific(&format!("{amount:.*e}", how.precision.unwrap_or(6))),
        _ => match how.precision {
            None => float_shown(amount),
            Some(precision) => significant(amount, precision.max(1)),
        },
    };
    let digits = if verb.is_uppercase() { digits.to_uppercase() } else { digits };
    signed(if number.is_sign_negative() { "-" } else { "" }, &digits, how)
}

fn padded(text: &str, value: &Value, how: How) -> String {
    let width = how.width.unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    if how.left {
        return format!("{text}{}", " ".repeat(missing));
    }
    let digits_at = text.find(|first: char| !matches!(first, '+' | '-')).unwrap_or(0);
    if how.zero && value.is_number() && how.precision.is_none_or(|_| value.is_f64()) {
        let (sign, digits) = text.split_at(digits_at);
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    format!("{}{text}", " ".repeat(missing))
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn typed(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { format!("{}={}", type_of(value), shown(value)) }
}

fn mismatch(verb: char, value: &Value) -> String {
    if value.is_null() { format!("%!{verb}(<nil>)") } else { format!("%!{verb}({}={})", type_of(value), shown(value)) }
}
