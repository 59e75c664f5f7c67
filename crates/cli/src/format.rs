//! `--format` of the commands that list: a template for each row, `table` and a template, `table`, `json`, `raw`.
//!
//! <https://docs.docker.com/engine/cli/formatting/>

use error::{Refused, Result};
use serde_json::{Map, Value};

use crate::columns;
use crate::template::{Data, Fault, FaultKind, Method, Purpose, Template};

/// How the rows of a command can be written.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The template of its own table.
    pub(crate) table: &'static str,
    /// What `raw` stands for; empty where that is no word of the command's.
    pub(crate) raw: &'static str,
    /// The fields of a row, and the name of the column of each.
    pub(crate) fields: &'static [(&'static str, &'static str)],
}

/// How rows are written.
#[derive(Debug)]
pub(crate) struct Format {
    source: String,
    template: Template,
    heading: Option<String>,
}

/// Docker's word for rows with a line of their columns' names.
const TABLE: &str = "table";

/// What `{{.Label "x"}}` asks a column's name of: the last part of the word, as Docker has it.
const LABEL: Method<'static> = ("Label", &|word| word.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " "));

impl Format {
    /// The format that `source` means; nothing is the command's own table.
    ///
    /// # Errors
    /// Refused, with the place, where the template is none or asks for a field that no row has.
    pub(crate) fn new(source: &str, rows: &Rows) -> Result<Self> {
        let (is_table, text) = match source {
            "" | TABLE => (true, rows.table.to_owned()),
            "json" => (false, "{{json .}}".to_owned()),
            "raw" if !rows.raw.is_empty() => (false, rows.raw.to_owned()),
            _ => {
                let table = source.strip_prefix(TABLE);
                let text = table.unwrap_or(source).trim_matches(' ');
                (table.is_some(), text.replace("\\t", "\t").replace("\\n", "\n"))
            }
        };
        let template = Template::parse(&text).map_err(|fault| refused(&text, &fault))?;
        let fields = rows.fields.iter().map(|(field, heading)| ((*field).to_owned(), (*heading).into()));
        let fields = Value::Object(fields.collect::<Map<_, _>>());
        let made = template.run(Data { value: &fields, methods: &[LABEL] }, Purpose::Heading);
        if let Err(fault) = &made
            && fault.kind == FaultKind::Field
        {
            let names: Vec<&str> = rows.fields.iter().map(|(field, _)| *field).collect();
            return Err(refused(&text, fault).hint(format!("the fields are {}", names.join(", "))).into());
        }
        let heading = is_table.then(|| made.unwrap_or_default());
        Ok(Self { source: text, template, heading })
    }

    /// Whether it may show this field.
    pub(crate) fn asks_for(&self, field: &str) -> bool {
        self.template.asks_for(field)
    }

    /// One row, with its end.
    ///
    /// # Errors
    /// Refused, with the place, where a function cannot take what the row has.
    pub(crate) fn row(&self, data: Data<'_>) -> Result<String> {
        let mut row = self.template.run(data, Purpose::Rows).map_err(|fault| refused(&self.source, &fault))?;
        row.push('\n');
        Ok(row)
    }

    /// The whole of these rows; of a table, with the names of its columns.
    pub(crate) fn whole(&self, rows: &str) -> String {
        match &self.heading {
            Some(heading) => columns::aligned(&format!("{heading}\n{rows}"), columns::NARROWEST),
            None => rows.to_owned(),
        }
    }
}

/// A template that cannot be had.
pub(crate) fn refused(source: &str, fault: &Fault) -> Refused {
    Refused::new("--format", source, format!("at {fault}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROWS: Rows = Rows {
        table: "{{.ID}}\t{{.Names}}",
        raw: "id: {{.ID}}\nnames: {{.Names}}\n",
        fields: &[("ID", "CONTAINER ID"), ("Names", "NAMES"), ("Labels", "LABELS")],
    };

    fn made(source: &str) -> String {
        let rows =
            [json!({"ID": "1", "Names": "web", "Labels": "a=b"}), json!({"ID": "2", "Names": "db", "Labels": ""})];
        let format = match Format::new(source, &ROWS) {
            Ok(format) => format,
            Err(error) => return error.to_string(),
        };
        let label = |word: &str| format!("<{word}>");
        let methods: &[Method<'_>] = &[("Label", &label)];
        let rows: Result<String> = rows.iter().map(|value| format.row(Data { value, methods })).collect();
        rows.map_or_else(|error| error.to_string(), |rows| format.whole(&rows))
    }

    #[test]
    fn rows_are_written_as_docker_writes_them() {
        let table = "CONTAINER ID   NAMES\n1              web\n2              db\n";
        for source in
            ["", "table", "table {{.ID}}\t{{.Names}}", "table {{.ID}}\\t{{.Names}}", "table{{.ID}}\t{{.Names}}"]
        {
            assert_eq!(made(source), table, "{source}");
        }
        assert_eq!(made("{{.Names}}"), "web\ndb\n");
        assert_eq!(made("{{.ID}}\\n{{.Names}}"), "1\nweb\n2\ndb\n");
        assert_eq!(made("json").lines().next(), Some(r#"{"ID":"1","Labels":"a=b","Names":"web"}"#));
        assert_eq!(made("raw"), "id: 1\nnames: web\n\nid: 2\nnames: db\n\n");
        assert_eq!(
            made("table {{upper .Names}}\t{{.Label \"com.x.my-team\"}}").lines().next(),
            Some("NAMES     my team")
        );
        assert_eq!(made("table {{.Names}}"), "NAMES\nweb\ndb\n");
        assert_eq!(made("ID"), "ID\nID\n");
    }

    #[test]
    fn a_template_that_cannot_be_had_is_named_with_the_place() {
        assert_eq!(made("{{.Nmes}}"), "cannot use --format {{.Nmes}}: at 1:3 <.Nmes>: there is no field Nmes");
        assert_eq!(made("{{.ID"), "cannot use --format {{.ID: at 1:1 <{{.ID>: this action has no end");
        assert_eq!(
            made("{{index (split .ID \"\") 3}}"),
            "cannot use --format {{index (split .ID \"\") 3}}: at 1:3 <index>: there is no 3 in a length of 1"
        );
    }
}
