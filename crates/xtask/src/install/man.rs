//! A man page from a program's tables, man(7).

use std::fmt::Write as _;

use super::{Flag, Tables};

/// What the page says that the tables do not.
const ABOUT: [(&str, &str, &str); 2] = [
    (
        "carboy",
        "a container engine that shows what it isolates",
        "Runs a command in namespaces and cgroups of its own, and shows both. It needs no daemon.",
    ),
    (
        "carboy-runtime",
        "an OCI runtime with the commands of runc and crun",
        "Makes containers from bundles, for engines that call a runtime: containerd, Docker, CRI-O, Podman. Under the names \
         runc and crun it speaks as those do.",
    ),
];

/// The page in its section.
pub(super) fn page(tables: &Tables, section: u8) -> String {
    let name = &tables.name;
    let about = ABOUT.iter().find(|(known, ..)| known == name);
    let (_, summary, description) = about.unwrap_or(&("", "a command", ""));
    let upper = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH {} {section} \"\" \"carboy {version}\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR \
         [\\fIOPTIONS\\fR] [\\fIWORDS\\fR]\n.SH DESCRIPTION\n{}\n",
        plain(&upper),
        plain(name),
        plain(summary),
        plain(name),
        plain(description),
    );
    page.push_str(".SH OPTIONS\n");
    page.extend(tables.flags.iter().map(option));
    page.push_str(".SH COMMANDS\n");
    for command in &tables.commands {
        let _ = writeln!(page, ".SS {} {}", plain(&command.name), plain(&command.words));
        for paragraph in command.doc.split("\n\n") {
            let lines: Vec<String> = paragraph.lines().map(plain).collect();
            let _ = writeln!(page, "{}\n.PP", lines.join("\n.br\n"));
        }
        page.extend(command.flags.iter().map(option));
    }
    page.push_str(
        ".SH \"SEE ALSO\"\n.BR carboy (1),\n.BR carboy\\-runtime (8),\n.BR namespaces (7),\n.BR cgroups (7)\n",
    );
    page
}

fn option(flag: &Flag) -> String {
    let spellings: Vec<String> = flag.spellings().map(|spelling| format!("\\fB{}\\fR", plain(&spelling))).collect();
    let value = flag.value.as_ref().map(|value| format!(" \\fI{}\\fR", plain(value))).unwrap_or_default();
    format!(".TP\n{}{value}\n{}\n", spellings.join(", "), plain(&flag.doc))
}

/// Text without what would be a request to the formatter.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_has_its_place() {
        let page = page(&super::super::tests::tables(), 8);
        assert!(page.starts_with(".TH IT\\-RUNS 8"), "{page}");
        assert!(page.contains(
            ".SS make ID\nMake one\n.PP\nIt's new.\n.PP\n.TP\n\\fB\\-b\\fR, \\fB\\-\\-bundle\\fR \\fIDIR\\fR\n"
        ));
        assert!(page.contains(".SS explain run \n"));
    }
}
