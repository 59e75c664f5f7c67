//! The firewall that the kernel had before nftables, by the programs of iptables' legacy form: their texts are the only
//! form of it that is the same in every kernel. iptables-save(8), iptables-restore(8).
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use error::{Doing, Refused, Result};
use procfs::Proc;

/// Where programs of the system are.
const FOLDERS: [&str; 5] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/run/current-system/sw/bin"];
/// How often a change is tried while others change what it is about.
const TRIES: usize = 5;

/// A family of addresses, with a firewall of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4, by iptables.
    Ipv4,
    /// IPv6, by ip6tables.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    const fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables",
            Self::Ipv6 => "ip6tables",
        }
    }

    /// The name of the program that shows it.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables-legacy",
            Self::Ipv6 => "ip6tables-legacy",
        }
    }

    /// Whether an address is one of it.
    #[must_use]
    pub const fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }

    /// The addresses of the loopback.
    #[must_use]
    pub const fn loopback(self) -> &'static str {
        match self {
            Self::Ipv4 => "127.0.0.0/8",
            Self::Ipv6 => "::1/128",
        }
    }

    /// The tables that this network namespace has. None is loaded by this.
    ///
    /// # Errors
    /// A kernel error.
    pub fn tables(self) -> Result<Vec<String>> {
        Proc::open()?.legacy_tables(match self {
            Self::Ipv4 => "ip_tables_names",
            Self::Ipv6 => "ip6_tables_names",
        })
    }
}

/// The programs for one family.
#[derive(Debug)]
pub struct Programs {
    family: Family,
    save: PathBuf,
    restore: PathBuf,
}

impl Programs {
    /// Those of this host, if it has them.
    #[must_use]
    pub fn find(family: Family) -> Option<Self> {
        let [save, restore] = ["save", "restore"].map(|what| {
            let names = [format!("{}-{what}", family.program()), format!("{}-{what}", family.word())];
            let all = names.iter().flat_map(|name| FOLDERS.map(|folder| Path::new(folder).join(name)));
            all.into_iter().find(|path| is_legacy(path))
        });
        Some(Self { family, save: save?, restore: restore? })
    }

    /// Whose they are.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// What there is of all tables that this network namespace has.
    ///
    /// # Errors
    /// Refused, with what the program says.
    pub fn save(&self) -> Result<Saved> {
        let output = Command::new(&self.save).env_clear().stdin(Stdio::null()).output();
        let output = output.doing(|| format!("run {}", self.save.display()))?;
        self.check(&self.save, &output)?;
        Ok(Saved::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Has what a text says done, all of a table at once.
    ///
    /// # Errors
    /// Refused, with what the program says.
    pub fn restore(&self, text: &str) -> Result<()> {
        let doing = || format!("run {}", self.restore.display());
        let mut command = Command::new(&self.restore);
        command.args(["--wait", "--noflush"]).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().doing(doing)?;
        // What it has not read when it ends is of no interest to it.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output().doing(doing)?;
        self.check(&self.restore, &output)
    }

    /// Reads what there is and has what is wrong with it changed; again where somebody else has changed it meanwhile.
    ///
    /// # Errors
    /// Refused, with what the programs say.
    pub fn change(&self, plan: impl Fn(&Saved) -> Option<String>) -> Result<()> {
        let mut done = Ok(());
        for _ in 0..TRIES {
            let Some(text) = plan(&self.save()?) else { return Ok(()) };
            done = self.restore(&text);
            if done.is_ok() {
                break;
            }
        }
        done
    }

    fn check(&self, program: &Path, output: &Output) -> Result<()> {
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first: String = said.lines().next().unwrap_or("it says nothing").chars().take(300).collect();
        let refused = Refused::new("the firewall of", self.family.word(), first);
        Err(refused.hint(format!("{} -S shows it; {} was run", self.family.program(), program.display())).into())
    }
}

/// Whether it is a program that speaks with the older firewall: those that speak with nftables are links to one with that in
/// its name.
fn is_legacy(path: &Path) -> bool {
    let real = std::fs::canonicalize(path);
    real.is_ok_and(|real| real.file_name().is_some_and(|name| !name.to_string_lossy().contains("nft")))
}

/// What iptables-save(8) tells.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Saved(Vec<Table>);

/// A table.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Each with its policy; `-` where it has none.
    chains: Vec<(String, String)>,
    /// As they are told, behind `-A `.
    rules: Vec<String>,
}

impl Saved {
    /// What a text says. Lines that are none of it are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                tables.push(Table { name: name.to_owned(), ..Table::default() });
            }
            let Some(table) = tables.last_mut() else { continue };
            if let Some(chain) = line.strip_prefix(':') {
                let mut words = chain.split(' ').map(str::to_owned);
                table.chains.push((words.next().unwrap_or_default(), words.next().unwrap_or_default()));
            } else if let Some(rule) = line.strip_prefix("-A ") {
                table.rules.push(rule.to_owned());
            }
        }
        Self(tables)
    }

    /// The tables.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.0.iter()
    }

    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.0.iter().find(|table| table.name == name)
    }
}

impl Table {
    /// The names of its chains.
    pub fn chains(&self) -> impl Iterator<Item = &str> {
        self.chains.iter().map(|(name, _)| name.as_str())
    }

    /// The policy of a chain, `-` for one of its users'; none where there is no such chain.
    #[must_use]
    pub fn policy(&self, chain: &str) -> Option<&str> {
        self.chains.iter().find(|(name, _)| name == chain).map(|(_, policy)| policy.as_str())
    }

    /// The rules of a chain: of each what stands behind the chain's name.
    pub fn rules(&self, chain: &str) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(move |rule| rule.strip_prefix(chain)?.strip_prefix(' '))
    }
}

/// The words of a rule, those in quotes without them.
#[must_use]
pub fn words(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut quoted, mut escaped) = (false, false);
    for letter in rule.chars() {
        match letter {
            _ if escaped => {
                escaped = false;
                word.get_or_insert_default().push(letter);
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                let _ = word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// A link's name that iptables takes for that link alone.
///
/// # Errors
/// Refused for one with letters that mean something to iptables.
pub fn plain(link: &str) -> Result<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !link.is_empty() && link.bytes().all(is_plain) {
        return Ok(link);
    }
    let refused = Refused::new("the bridge", link, "has a name with letters that mean something to iptables");
    Err(refused.hint("name it with letters, digits, -, _ and . alone: com.docker.network.bridge.name").into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_saved_is_known_by_table_and_chain() {
        let saved = Saved::parse(
            "# Generated by iptables-save\n*raw\n:PREROUTING ACCEPT [1:2]\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n:A - [0:0]\n:AB - [0:0]\n\
             -A FORWARD -j A\n-A A -i b -j DROP\n-A AB -j RETURN\nCOMMIT\n",
        );
        let filter = saved.table("filter").unwrap();
        assert_eq!((filter.policy("FORWARD"), filter.policy("A"), filter.policy("B")), (Some("DROP"), Some("-"), None));
        assert_eq!(filter.rules("A").collect::<Vec<_>>(), ["-i b -j DROP"]);
        assert_eq!((saved.table("nat"), saved.table("raw").unwrap().rules("PREROUTING").count()), (None, 0));
    }

    #[test]
    fn words_in_quotes_are_one() {
        assert_eq!(
            words(r#"-m comment --comment "a \"b\" c" -j X"#),
            ["-m", "comment", "--comment", "a \"b\" c", "-j", "X"]
        );
        assert_eq!(words("  \"\"  ! -i b"), ["", "!", "-i", "b"]);
    }

    #[test]
    fn a_links_name_that_means_something_to_iptables_is_refused() {
        assert!(["cb-1a2b", "br.1_0"].into_iter().all(|name| plain(name).is_ok()));
        assert!(["", "br+", "!br", "\"br", "a b"].into_iter().all(|name| plain(name).is_err()));
    }

    proptest! {
        #[test]
        fn any_text_is_understood_or_passed_over(text in "[-*:A# a\"\\\\\n]{0,80}") {
            let _ = Saved::parse(&text);
            let _ = words(&text);
        }
    }
}
