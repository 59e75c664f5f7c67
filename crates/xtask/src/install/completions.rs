//! Completions for bash, zsh and fish from a program's tables: commands first, then the options of the command that is
//! there; a file's name where an option has a value.

use std::fmt::Write as _;

use super::{Flag, Tables, Words};

/// A name as shells take it for a function's.
fn function(name: &str) -> String {
    name.replace('-', "_")
}

/// The commands of one word: those of two complete as their first does.
fn commands(tables: &Tables) -> impl Iterator<Item = &Words> {
    tables.commands.iter().filter(|command| !command.name.contains(' '))
}

fn spellings<'f>(flags: impl Iterator<Item = &'f Flag>) -> String {
    let all: Vec<String> = flags.flat_map(Flag::spellings).filter(|spelling| !spelling.contains('?')).collect();
    all.join(" ")
}

/// bash(1) "Programmable Completion".
pub(super) fn bash(tables: &Tables) -> String {
    let name = &tables.name;
    let function = function(name);
    let names: Vec<&str> = commands(tables).map(|command| command.name.as_str()).collect();
    let names = names.join(" ");
    let global = spellings(tables.flags.iter());
    let with_value: Vec<String> =
        tables.flags.iter().filter(|flag| flag.value.is_some()).flat_map(Flag::spellings).collect();
    // A pattern without any alternative would match the empty word.
    let with_value = if with_value.is_empty() { "--".to_owned() } else { with_value.join("|") };
    let mut cases = String::new();
    for command in commands(tables) {
        let _ = writeln!(cases, "        {}) words='{}' ;;", command.name, spellings(command.flags.iter()));
    }
    format!(
        "# Completions of {name} for bash.\n_{function}() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}} command= words at\n    \
         for ((at = 1; at < COMP_CWORD; at++)); do\n        case ${{COMP_WORDS[at]}} in\n            {with_value}) ((at++)) ;;\n            \
         -*) ;;\n            *) command=${{COMP_WORDS[at]}}; break ;;\n        esac\n    done\n    case $command in\n        \
         '') words='{names}' ;;\n{cases}    esac\n    [[ $word == -* ]] && words+=' {global}'\n    \
         COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n    \
         [[ -n $command && $word != -* ]] && COMPREPLY=($(compgen -f -- \"$word\"))\n}}\n\
         complete -o filenames -F _{function} {name}\n"
    )
}

/// zsh's `_arguments`, zshcompsys(1).
pub(super) fn zsh(tables: &Tables) -> String {
    let name = &tables.name;
    let quoted = |text: &str| text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let option = |flag: &Flag| {
        let value = flag.value.as_ref().map(|value| format!(":{}:_files", quoted(value))).unwrap_or_default();
        let lines = flag.spellings().filter(|spelling| !spelling.contains('?'));
        lines.map(|spelling| format!(" '*{spelling}[{}]{value}'", quoted(&flag.doc))).collect::<String>()
    };
    let global: String = tables.flags.iter().map(option).collect();
    let (mut described, mut cases) = (String::new(), String::new());
    for command in commands(tables) {
        let _ = writeln!(described, "    '{}:{}'", command.name, quoted(command.summary()));
        let own: String = command.flags.iter().map(option).collect();
        let _ = writeln!(cases, "    ({}) _arguments{own}{global} '*:file:_files' ;;", command.name);
    }
    format!(
        "#compdef {name}\nlocal -a commands\ncommands=(\n{described})\n_arguments -C{global} '1:command:->command' '*::word:->word'\n\
         case $state in\n  (command) _describe command commands ;;\n  (word) case $words[1] in\n{cases}  esac ;;\nesac\n"
    )
}

/// fish's `complete`.
pub(super) fn fish(tables: &Tables) -> String {
    let name = &tables.name;
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let names: Vec<&str> = commands(tables).map(|command| command.name.as_str()).collect();
    let none = format!("not __fish_seen_subcommand_from {}", names.join(" "));
    let line = |condition: &str, flag: &Flag| {
        let letters: String =
            flag.letters.iter().filter(|letter| *letter != "?").map(|letter| format!(" -s {letter}")).collect();
        let value = if flag.value.is_some() { " -r" } else { "" };
        format!("complete -c {name}{condition}{letters} -l {}{value} -d '{}'\n", flag.long, quoted(&flag.doc))
    };
    let mut text = format!("# Completions of {name} for fish.\n");
    text.extend(tables.flags.iter().map(|flag| line("", flag)));
    for command in commands(tables) {
        let summary = quoted(command.summary());
        let _ = writeln!(text, "complete -c {name} -f -n '{none}' -a {} -d '{summary}'", command.name);
        let within = format!(" -n '__fish_seen_subcommand_from {}'", command.name);
        text.extend(command.flags.iter().map(|flag| line(&within, flag)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::install::tests::tables;

    /// What bash would offer for these words, the last of which is being typed.
    fn offered(words: &[&str]) -> String {
        let script = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _it_runs; echo \"${{COMPREPLY[*]}}\"",
            bash(&tables()),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn bash_offers_commands_and_then_their_options() {
        assert_eq!(offered(&["it-runs", "m"]), "make");
        assert_eq!(offered(&["it-runs", "make", "--b"]), "--bundle");
        assert_eq!(offered(&["it-runs", "-h", "make", "--"]), "--bundle --help");
        assert_eq!(offered(&["it-runs", "make", "/etc/hostna"]), "/etc/hostname");
    }

    #[test]
    fn brackets_and_quotes_are_no_syntax() {
        let zsh = zsh(&tables());
        assert!(zsh.contains(r"'*--bundle[its \[folder\]\: the '\''current'\'' one]:DIR:_files'"), "{zsh}");
        let fish = fish(&tables());
        assert!(fish.contains(r"-s b -l bundle -r -d 'its [folder]: the \'current\' one'"), "{fish}");
    }
}
