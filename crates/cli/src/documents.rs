//! What the commands that inspect give: documents as JSON, or each by a template.

use error::{Refused, Result};
use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::format;
use crate::report;
use crate::template::{Data, Purpose, Template};

/// Docker's exit code for a template that is none.
pub(crate) const NO_TEMPLATE: u8 = 64;

/// Documents that are shown together in the end.
pub(crate) struct Documents<'s> {
    source: &'s str,
    form: Form,
    whole: Vec<Value>,
    lines: String,
}

/// How documents are written.
enum Form {
    /// For people.
    Indented,
    /// In one line.
    Compact,
    /// Each by a template.
    Template(Template),
}

impl<'s> Documents<'s> {
    /// None yet; `source` is a template, `json`, or nothing.
    ///
    /// # Errors
    /// Refused, with the place, where the template is none.
    pub(crate) fn new(source: &'s str) -> Result<Self> {
        let form = match source {
            "" => Form::Indented,
            "json" => Form::Compact,
            source => Form::Template(Template::parse(source).map_err(|fault| format::refused(source, &fault))?),
        };
        Ok(Self { source, form, whole: Vec::new(), lines: String::new() })
    }

    /// Adds one.
    ///
    /// # Errors
    /// Refused where the template asks for what it does not have.
    pub(crate) fn add(&mut self, document: Value) -> Result<()> {
        let Form::Template(template) = &self.form else {
            self.whole.push(document);
            return Ok(());
        };
        let made = template.run(Data { value: &document, methods: &[] }, Purpose::Rows).map_err(|fault| {
            let refused: Refused = format::refused(self.source, &fault);
            refused.hint("without --format all fields are shown")
        })?;
        self.lines.push_str(&made);
        self.lines.push('\n');
        Ok(())
    }

    /// Prints them.
    pub(crate) fn show(self) {
        match self.form {
            Form::Indented => report::line(&indented(&self.whole)),
            Form::Compact => report::line(&Value::Array(self.whole).to_string()),
            // Docker says that there is nothing with an empty line.
            Form::Template(_) if self.lines.is_empty() => report::line(""),
            Form::Template(_) => report::text(&self.lines),
        }
    }
}

/// Documents with four blanks for each level, as Docker has them.
fn indented(documents: &[Value]) -> String {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let _ = documents.serialize(&mut Serializer::with_formatter(&mut text, formatter));
    String::from_utf8(text).unwrap_or_default()
}
