//! The words of `network`: Docker's subcommands and flags.

use std::net::IpAddr;

use engine::containers::Removal;
use engine::network::{Driver, Ipv6, NewNetwork, NewSubnet, Reach};
use engine::options::Connection;
use error::{Error, Refused, RefusedKind, Result};
use jiff::Timestamp;
use lexopt::Parser;
use network::IpNet;

use crate::command::Command;
use crate::flags::{End, Flag, Given, Read, Usage, wrong_words};
use crate::help;
use crate::value::label::Labelled;
use crate::value::{self, connection, moment, name, quantity};

/// What `network` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Make one.
    Create(Box<NewNetwork>),
    /// List them.
    List(List),
    /// Print everything about these, by a template where there is one.
    Inspect(Inspect),
    /// Remove these.
    Remove(Remove),
    /// Remove those on which no container is.
    Prune(Prune),
    /// Put a container on one.
    Connect(Box<Connect>),
    /// Take a container off one.
    Disconnect(Disconnect),
    /// Put back what the firewall has lost.
    Reload,
    /// Let these through the firewalls of others.
    Open(Vec<String>),
}

/// What `network ls` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Whether ids alone are shown.
    pub(crate) quiet: bool,
    /// Whether ids are shown whole.
    pub(crate) whole: bool,
    /// How they are written.
    pub(crate) format: String,
    /// Which of them.
    pub(crate) filters: Vec<Filter>,
}

/// What `network inspect` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inspect {
    /// A template, `json`, or nothing.
    pub(crate) format: String,
    /// The networks.
    pub(crate) names: Vec<String>,
}

/// What `network rm` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remove {
    /// Whether one that is not there is removed already.
    pub(crate) force: bool,
    /// The networks.
    pub(crate) names: Vec<String>,
}

/// What `network prune` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prune {
    /// Whether nobody is asked.
    pub(crate) force: bool,
    /// Which of them.
    pub(crate) filters: Vec<Filter>,
}

/// What `network connect` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Connect {
    /// The network, and what the container is to be in it.
    pub(crate) connection: Connection,
    /// The container.
    pub(crate) container: String,
}

/// What `network disconnect` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disconnect {
    pub(crate) network: String,
    pub(crate) container: String,
    /// Whether it is taken off, too, where it cannot be told of.
    pub(crate) removal: Removal,
}

/// What a network must be to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    /// With no container on it, or with one.
    Dangling(bool),
    /// Of this driver.
    Driver(String),
    /// With this in its id.
    Id(String),
    /// With a label or without it.
    Label(Labelled),
    /// With this in its name.
    Name(String),
    /// Known on this host, as all are, or elsewhere.
    Scope(String),
    /// Made by carboy itself, or by somebody.
    Builtin(bool),
    /// Made before.
    Until(Timestamp),
}

/// `carboy network`, which has commands of its own.
pub(crate) const NETWORK: Usage<()> = Usage {
    command: "network",
    words: "create|ls|inspect|rm|prune|connect|disconnect|reload|open [WORDS]",
    doc: "Make, list and remove networks, and put containers on them\n\n\
          create      make a network\n\
          ls          list networks\n\
          inspect     print everything about networks, as JSON\n\
          rm          remove networks\n\
          prune       remove the networks on which no container is\n\
          connect     put a container on a network\n\
          disconnect  take a container off a network\n\
          reload      put back the rules of the firewall\n\
          open        let networks through the firewalls of others\n\n\
          carboy network COMMAND --help tells of its flags.",
    flags: &[],
    end: End::FirstWord,
};

/// What is collected of a new network before its parts are put together.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    network: NewNetwork,
    subnets: Vec<IpNet>,
    gateways: Vec<IpAddr>,
    ranges: Vec<IpNet>,
    without_ipv4: bool,
}

pub(crate) const CREATE: Usage<Draft> = Usage {
    command: "network create",
    words: "NETWORK",
    doc: "Make a network, and print its id",
    flags: &[&[
        Flag::value("driver", "DRIVER", driver, "what it is made of: bridge, macvlan or ipvlan (bridge)").short('d'),
        Flag::values("subnet", "ADDRESSES", subnet, "its addresses: 192.0.2.0/24 (some that are free)"),
        Flag::values("gateway", "ADDRESS", gateway, "the host's address in a subnet (its first)"),
        Flag::values("ip-range", "ADDRESSES", range, "give out none but these of a subnet: 192.0.2.128/25"),
        Flag::switch(
            "internal",
            |draft: &mut Draft, on| draft.network.reach = if on { Reach::Internal } else { Reach::World },
            "let those on it reach each other alone",
        ),
        Flag::switch(
            "ipv6",
            |draft: &mut Draft, on| draft.network.ipv6 = Some(if on { Ipv6::Routed } else { Ipv6::Off }),
            "let the host forward its IPv6, too; =false for no IPv6 at all",
        ),
        Flag::switch("ipv4", |draft: &mut Draft, on| draft.without_ipv4 = !on, "have IPv4, which every network has"),
        Flag::value("mtu", "BYTES", mtu, "its largest packet (as the kernel has it)"),
        Flag::values("label", "NAME[=VALUE]", label, "write something on it"),
        Flag::values(
            "opt",
            "NAME=VALUE",
            option,
            "an option of its driver: com.docker.network.driver.mtu, com.docker.network.bridge.name, parent",
        )
        .short('o'),
        Flag::switch("attachable", |_, _| {}, "as every network is here"),
        Flag::values("aux-address", "NAME=ADDRESS", aux_address, "is not to be had: --ip-range keeps addresses free"),
    ]],
    end: End::Never,
};

pub(crate) const LIST: Usage<List> = Usage {
    command: "network ls",
    words: "",
    doc: "List networks",
    flags: &[&[
        Flag::switch("quiet", |list: &mut List, on| list.quiet = on, "show ids alone").short('q'),
        Flag::switch("no-trunc", |list: &mut List, on| list.whole = on, "show ids whole"),
        Flag::value("format", "FORMAT", list_format, "show them by a Go template, table TEMPLATE, json or raw"),
        Flag::values(
            "filter",
            "NAME=VALUE",
            |list: &mut List, given| filter(&mut list.filters, given),
            "show those alone with name=, id=, driver=, label=, scope=, type=custom or builtin, dangling=true or false",
        )
        .short('f'),
    ]],
    end: End::Never,
};

pub(crate) const INSPECT: Usage<Inspect> = Usage {
    command: "network inspect",
    words: "NETWORK...",
    doc: "Print everything about networks, as JSON",
    flags: &[&[
        Flag::value("format", "FORMAT", inspect_format, "show them by a Go template, or json: {{.IPAM.Config}}")
            .short('f'),
        Flag::switch("verbose", |_, _| {}, "as without it: there is no more to tell").short('v'),
    ]],
    end: End::Never,
};

pub(crate) const REMOVE: Usage<Remove> = Usage {
    command: "network rm",
    words: "NETWORK...",
    doc: "Remove networks on which no container is",
    flags: &[&[
        Flag::switch("force", |rm: &mut Remove, on| rm.force = on, "pass over those that are not there").short('f')
    ]],
    end: End::Never,
};

pub(crate) const PRUNE: Usage<Prune> = Usage {
    command: "network prune",
    words: "",
    doc: "Remove the networks that somebody has made and no container uses",
    flags: &[&[
        Flag::switch("force", |prune: &mut Prune, on| prune.force = on, "do not ask").short('f'),
        Flag::values(
            "filter",
            "NAME=VALUE",
            prune_filter,
            "remove those alone with label=, label!= or made until= a date or 24h ago",
        ),
    ]],
    end: End::Never,
};

pub(crate) const CONNECT: Usage<Connect> = Usage {
    command: "network connect",
    words: "NETWORK CONTAINER",
    doc: "Put a container on a network, also while it runs",
    flags: &[&[
        Flag::value("ip", "ADDRESS", ipv4, "its address there"),
        Flag::value("ip6", "ADDRESS", ipv6, "its IPv6 address there"),
        Flag::value("mac-address", "ADDRESS", mac, "its hardware address there"),
        Flag::values("alias", "NAME", alias, "be known there by this name, too"),
        Flag::values("link", "CONTAINER[:NAME]", link, "know a container by this name"),
        Flag::values("driver-opt", "NAME=VALUE", driver_option, "is not to be had: no driver has one for a container"),
    ]],
    end: End::Never,
};

pub(crate) const DISCONNECT: Usage<bool> = Usage {
    command: "network disconnect",
    words: "NETWORK CONTAINER",
    doc: "Take a container off a network, also while it runs",
    flags: &[&[
        Flag::switch("force", |force: &mut bool, on| *force = on, "also where the network is damaged").short('f')
    ]],
    end: End::Never,
};

pub(crate) const RELOAD: Usage<()> = Usage {
    command: "network reload",
    words: "",
    doc: "Put back the rules of the firewall, after somebody has taken them away",
    flags: &[],
    end: End::Never,
};

pub(crate) const OPEN: Usage<()> = Usage {
    command: "network open",
    words: "NETWORK...",
    doc: "Let what is forwarded for networks through the firewalls of others, until they are removed",
    flags: &[],
    end: End::Never,
};

fn list_format(list: &mut List, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut list.format);
    Ok(())
}

fn inspect_format(inspect: &mut Inspect, given: Given<'_>) -> Result<()> {
    given.value.clone_into(&mut inspect.format);
    Ok(())
}

fn driver(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    let driver = Driver::ALL.into_iter().find(|driver| driver.word() == given.value);
    let refused = || given.refused("is no driver of networks here").hint("use bridge, macvlan or ipvlan");
    draft.network.driver = Some(driver.ok_or_else(|| declined(refused().into()))?);
    Ok(())
}

/// Where Docker's command line looks at no value of a flag, its daemon does.
fn declined(error: Error) -> Error {
    match error {
        Error::Refused(refused) => refused.kind(RefusedKind::Declined).into(),
        other => other,
    }
}

fn subnet(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.subnets.push(net(given).map_err(declined)?);
    Ok(())
}

fn range(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.ranges.push(net(given).map_err(declined)?);
    Ok(())
}

/// An address and the length of a prefix, with nothing behind that prefix.
fn net(given: Given<'_>) -> Result<IpNet> {
    let Ok(net) = given.value.parse::<IpNet>() else {
        let refused = given.refused("is no range of addresses");
        return Err(refused.hint("use an address and the length of its prefix: 192.0.2.0/24").into());
    };
    if net != net.trunc() {
        let refused = given.refused("is an address in a range, and no range");
        return Err(refused.hint(format!("use {}", net.trunc())).into());
    }
    Ok(net)
}

fn gateway(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.gateways.push(connection::address(given).map_err(declined)?);
    Ok(())
}

fn mtu(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    let bytes = quantity::whole(given)?;
    draft.network.options.insert(MTU.to_owned(), bytes.to_string());
    Ok(())
}

/// Docker's option for the largest packet.
const MTU: &str = "com.docker.network.driver.mtu";

fn label(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.labels.extend([value::label::label(given)?]);
    Ok(())
}

fn option(draft: &mut Draft, given: Given<'_>) -> Result<()> {
    draft.network.options.extend([name::pair(given)?]);
    Ok(())
}

fn aux_address(_: &mut Draft, given: Given<'_>) -> Result<()> {
    Err(given.refused("cannot be kept free by itself").hint("use --ip-range, and addresses that it leaves out").into())
}

fn ipv4(connect: &mut Connect, given: Given<'_>) -> Result<()> {
    connect.connection.ipv4 = Some(connection::address(given)?);
    Ok(())
}

fn ipv6(connect: &mut Connect, given: Given<'_>) -> Result<()> {
    connect.connection.ipv6 = Some(connection::address(given)?);
    Ok(())
}

fn mac(connect: &mut Connect, given: Given<'_>) -> Result<()> {
    connect.connection.mac = Some(connection::mac(given)?);
    Ok(())
}

fn alias(connect: &mut Connect, given: Given<'_>) -> Result<()> {
    connect.connection.aliases.push(connection::alias(given)?);
    Ok(())
}

fn link(connect: &mut Connect, given: Given<'_>) -> Result<()> {
    connect.connection.links.push(connection::link(given)?);
    Ok(())
}

fn driver_option(_: &mut Connect, given: Given<'_>) -> Result<()> {
    Err(given.refused("is no option that a driver has for a container").hint("leave it out").into())
}

fn filter(filters: &mut Vec<Filter>, given: Given<'_>) -> Result<()> {
    let hint = "use name=PART, id=PART, driver=bridge, label=NAME=VALUE, scope=local, type=custom or dangling=true";
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.refused("is not NAME=VALUE").hint(hint).into());
    };
    filters.push(match (name, value) {
        ("dangling", "true" | "1") => Filter::Dangling(true),
        ("dangling", "false" | "0") => Filter::Dangling(false),
        ("driver", driver) => Filter::Driver(driver.to_owned()),
        ("id", part) => Filter::Id(part.to_owned()),
        ("name", part) => Filter::Name(part.to_owned()),
        ("scope", scope) => Filter::Scope(scope.to_owned()),
        ("type", "builtin") => Filter::Builtin(true),
        ("type", "custom") => Filter::Builtin(false),
        ("label", _) => Filter::Label(Labelled::of_filter(name, value).ok_or_else(|| given.refused("names no label"))?),
        _ => return Err(given.declined("is no filter of networks").hint(hint).into()),
    });
    Ok(())
}

fn prune_filter(prune: &mut Prune, given: Given<'_>) -> Result<()> {
    let hint = "use until=24h, label=NAME=VALUE or label!=NAME";
    let Some((name, value)) = given.value.split_once('=') else {
        return Err(given.refused("is not NAME=VALUE").hint(hint).into());
    };
    prune.filters.push(match name {
        "until" => {
            let until = moment::read(value).ok_or_else(|| given.refused("holds no moment").hint(moment::HINT))?;
            Filter::Until(until)
        }
        _ => {
            let labelled = Labelled::of_filter(name, value);
            Filter::Label(labelled.ok_or_else(|| given.declined("is no filter of what is pruned").hint(hint))?)
        }
    });
    Ok(())
}

impl Draft {
    /// The network with its subnets, each with the gateway and the range that it holds.
    ///
    /// # Errors
    /// Refused where they do not go together.
    fn finish(mut self, name: &str) -> Result<NewNetwork> {
        const TAKEN: [&str; 4] = ["none", "host", "default", "private"];
        if !name::is_networks(name) || TAKEN.contains(&name) {
            let refused = Refused::new("the name", name, "is no name for a network");
            return Err(refused
                .hint("use a-z A-Z 0-9 _ . - with a letter or digit first, and no word of --network")
                .into());
        }
        if self.without_ipv4 {
            return Err(Refused::new("--ipv4", "false", "every network has IPv4 here").hint("leave it out").into());
        }
        for (index, one) in self.subnets.iter().enumerate() {
            if let Some(other) = self.subnets.iter().skip(index + 1).find(|other| network::subnet::overlap(one, other))
            {
                let refused = Refused::new("--subnet", other.to_string(), format!("overlaps with {one}"));
                return Err(refused.hint("give subnets that have no address in common").into());
            }
        }
        let mut subnets: Vec<NewSubnet> =
            self.subnets.iter().map(|net| NewSubnet { net: *net, gateway: None, range: None }).collect();
        for gateway in self.gateways {
            let of = subnets.iter_mut().find(|subnet| subnet.net.contains(&gateway));
            put("--gateway", gateway, of.map(|subnet| &mut subnet.gateway))?;
        }
        for range in self.ranges {
            let of = subnets.iter_mut().find(|subnet| subnet.net.contains(&range));
            put("--ip-range", range, of.map(|subnet| &mut subnet.range))?;
        }
        self.network.subnets = subnets;
        name.clone_into(&mut self.network.name);
        Ok(self.network)
    }
}

/// Puts a gateway or a range into the subnet that holds it, which has one at most.
fn put<T: ToString + Copy>(flag: &str, value: T, place: Option<&mut Option<T>>) -> Result<()> {
    let refused = |reason: String| Refused::new(flag, value.to_string(), reason);
    match place {
        None => Err(refused("is in no subnet".to_owned()).hint("give its subnet, too, by --subnet").into()),
        Some(Some(other)) => {
            let reason = format!("is in the same subnet as {}", other.to_string());
            Err(refused(reason).hint(format!("give {flag} once for a subnet")).into())
        }
        Some(place) => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// The tables of all of them, for those who make man pages and completions.
pub(crate) fn tables() -> [serde_json::Value; 10] {
    [
        help::table(&NETWORK),
        help::table(&CREATE),
        help::table(&LIST),
        help::table(&INSPECT),
        help::table(&REMOVE),
        help::table(&PRUNE),
        help::table(&CONNECT),
        help::table(&DISCONNECT),
        help::table(&RELOAD),
        help::table(&OPEN),
    ]
}

/// Reads the words after `network`.
///
/// # Errors
/// Refused, naming the command or the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let words = match NETWORK.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&NETWORK))),
        Read::Words(words) => words,
    };
    let (word, words) = words.split_first().map_or(("", &[][..]), |(word, rest)| (word.as_str(), rest));
    let parser = &mut Parser::from_args(words);
    match word {
        "create" => words_of(&CREATE, parser, |draft, words| match one(words) {
            Some(name) => Ok(Network::Create(Box::new(draft.finish(&name).map_err(declined)?))),
            None => {
                let refused = wrong_words("network create", "", "it needs the name of one network");
                Err(refused.hint("for example: carboy network create back").into())
            }
        }),
        "ls" | "list" => {
            words_of(&LIST, parser, |list, words| none(LIST.command, &words).map(|()| Network::List(list)))
        }
        "inspect" => words_of(&INSPECT, parser, |inspect, words| {
            Ok(Network::Inspect(Inspect { names: some(INSPECT.command, words)?, ..inspect }))
        }),
        "rm" | "remove" => words_of(&REMOVE, parser, |remove, words| {
            Ok(Network::Remove(Remove { names: some(REMOVE.command, words)?, ..remove }))
        }),
        "prune" => words_of(&PRUNE, parser, |prune, words| none(PRUNE.command, &words).map(|()| Network::Prune(prune))),
        "connect" => words_of(&CONNECT, parser, |mut connect, words| {
            (connect.connection.network, connect.container) = pair(CONNECT.command, words)?;
            Ok(Network::Connect(Box::new(connect)))
        }),
        "disconnect" => words_of(&DISCONNECT, parser, |force, words| {
            let (network, container) = pair(DISCONNECT.command, words)?;
            let removal = if force { Removal::Forced } else { Removal::Unforced };
            Ok(Network::Disconnect(Disconnect { network, container, removal }))
        }),
        "reload" => words_of(&RELOAD, parser, |(), words| none(RELOAD.command, &words).map(|()| Network::Reload)),
        "open" => words_of(&OPEN, parser, |(), words| some(OPEN.command, words).map(Network::Open)),
        "" => Ok(Command::Help(help::of_command(&NETWORK))),
        _ => {
            let refused = wrong_words("network", word, "it has no such command");
            Err(refused.hint("use create, ls, inspect, rm, prune, connect, disconnect, reload or open").into())
        }
    }
}

fn words_of<T: Default>(
    usage: &Usage<T>,
    parser: &mut Parser,
    network: impl FnOnce(T, Vec<String>) -> Result<Network>,
) -> Result<Command> {
    let mut target = T::default();
    match usage.read(parser, &mut target)? {
        Read::Help => Ok(Command::Help(help::of_command(usage))),
        Read::Words(words) => network(target, words).map(Command::Network),
    }
}

fn none(command: &str, words: &[String]) -> Result<()> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(wrong_words(command, word, "it takes no words").into()),
    }
}

fn some(command: &str, words: Vec<String>) -> Result<Vec<String>> {
    if words.is_empty() {
        let refused = wrong_words(command, "", "it needs the name of a network");
        return Err(refused.hint("carboy network ls lists them").into());
    }
    Ok(words)
}

fn one(words: Vec<String>) -> Option<String> {
    <[String; 1]>::try_from(words).ok().map(|[word]| word)
}

fn pair(command: &str, words: Vec<String>) -> Result<(String, String)> {
    match <[String; 2]>::try_from(words) {
        Ok([network, container]) => Ok((network, container)),
        Err(words) => {
            let refused = wrong_words(command, words.join(" "), "it needs a network and a container");
            Err(refused.hint(format!("for example: carboy {command} back web")).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> String {
        match read(&mut Parser::from_args(words)) {
            Ok(Command::Help(text)) => format!("help: {}", text.lines().next().unwrap_or_default()),
            Ok(command) => format!("{command:?}"),
            Err(error) => format!("{error}\n  {}", error.hint().unwrap_or("-")),
        }
    }

    #[test]
    fn a_command_of_networks_is_read_with_its_flags() {
        let all = "create|ls|inspect|rm|prune|connect|disconnect|reload|open";
        for (words, expected) in [
            (&[][..], format!("help: Usage: carboy network {all} [WORDS]")),
            (&["ls", "--help"], "help: Usage: carboy network ls [FLAGS]".to_owned()),
            (&["create", "--internal", "back"], "name: \"back\", driver: None, subnets: [], reach: Internal".to_owned()),
            (
                &["create", "-d", "macvlan", "--subnet", "192.0.2.0/24", "-o", "parent=eth0", "--mtu=1400", "lan"],
                "driver: Some(Macvlan), subnets: [NewSubnet { net: 192.0.2.0/24, gateway: None, range: None }], reach: World, \
                 ipv6: None, labels: {}, options: {\"com.docker.network.driver.mtu\": \"1400\", \"parent\": \"eth0\"}"
                    .to_owned(),
            ),
            (
                &[
                    "create",
                    "--ipv6",
                    "--subnet=192.0.2.0/24",
                    "--subnet=fd00::/64",
                    "--gateway=fd00::9",
                    "--gateway=192.0.2.9",
                    "--ip-range=192.0.2.128/25",
                    "--label=a=b",
                    "--attachable",
                    "--ipv4=true",
                    "back",
                ],
                "subnets: [NewSubnet { net: 192.0.2.0/24, gateway: Some(192.0.2.9), range: Some(192.0.2.128/25) }, \
                 NewSubnet { net: fd00::/64, gateway: Some(fd00::9), range: None }], reach: World, ipv6: Some(Routed), \
                 labels: {\"a\": \"b\"}"
                    .to_owned(),
            ),
            (
                &["list", "-q", "--no-trunc", "-f", "type=custom", "-f", "dangling=1", "-f", "label=a=b"],
                "List { quiet: true, whole: true, format: \"\", filters: [Builtin(false), Dangling(true), Label(".to_owned(),
            ),
            (
                &["inspect", "-f", "json", "a", "b"],
                "Inspect(Inspect { format: \"json\", names: [\"a\", \"b\"] })".to_owned(),
            ),
            (&["rm", "-f", "a", "b"], "Remove(Remove { force: true, names: [\"a\", \"b\"] })".to_owned()),
            (&["prune", "-f", "--filter", "label!=a"], "Prune(Prune { force: true, filters: [Label(".to_owned()),
            (
                &["connect", "--ip=192.0.2.5", "--ip6=fd00::5", "--alias=db", "--link=web:www", "back", "sql"],
                "Connect { connection: Connection { network: \"back\", ipv4: Some(192.0.2.5), ipv6: Some(fd00::5), mac: None, \
                 aliases: [\"db\"], links: [Link { container: \"web\", alias: \"www\" }] }, container: \"sql\" }"
                    .to_owned(),
            ),
            (
                &["disconnect", "-f", "back", "sql"],
                "Disconnect { network: \"back\", container: \"sql\", removal: Forced }".to_owned(),
            ),
            (&["reload"], "Network(Reload)".to_owned()),
            (&["open", "a", "b"], "Network(Open([\"a\", \"b\"]))".to_owned()),
        ] {
            assert!(shown(words).contains(&expected), "{words:?}: {}", shown(words));
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "the snapshot stands beside what gives it")]
    fn what_is_wrong_with_a_command_of_networks_is_one_clear_line() {
        let lines = [
            &["mend"][..],
            &["create"],
            &["create", "a", "b"],
            &["create", "host"],
            &["create", "a/b"],
            &["create", "-d", "overlay", "a"],
            &["create", "--subnet", "192.0.2.1/24", "a"],
            &["create", "--subnet", "192.0.2.0", "a"],
            &["create", "--subnet=192.0.2.0/24", "--subnet=192.0.2.128/25", "a"],
            &["create", "--gateway=192.0.2.1", "a"],
            &["create", "--subnet=192.0.2.0/24", "--gateway=192.0.2.1", "--gateway=192.0.2.2", "a"],
            &["create", "--subnet=192.0.2.0/25", "--ip-range=192.0.2.0/24", "a"],
            &["create", "--ipv4=false", "a"],
            &["create", "--mtu=big", "a"],
            &["create", "--label", "=b", "a"],
            &["create", "-o", "parent", "a"],
            &["create", "--aux-address", "a=192.0.2.5", "a"],
            &["ls", "a"],
            &["ls", "-f", "size=1"],
            &["ls", "-f", "type=own"],
            &["rm"],
            &["inspect"],
            &["prune", "--filter", "until=soon"],
            &["prune", "--filter", "name=a"],
            &["connect", "back"],
            &["connect", "--ip=fd00::1", "back", "web"],
            &["connect", "--driver-opt=a=b", "back", "web"],
            &["disconnect", "back", "web", "db"],
            &["reload", "back"],
        ];
        insta::assert_snapshot!(lines.map(shown).join("\n"), @r"
        cannot use network mend: it has no such command
          use create, ls, inspect, rm, prune, connect, disconnect, reload or open
        cannot use network create: it needs the name of one network
          for example: carboy network create back
        cannot use network create: it needs the name of one network
          for example: carboy network create back
        cannot use the name host: is no name for a network
          use a-z A-Z 0-9 _ . - with a letter or digit first, and no word of --network
        cannot use the name a/b: is no name for a network
          use a-z A-Z 0-9 _ . - with a letter or digit first, and no word of --network
        cannot use --driver overlay: is no driver of networks here
          use bridge, macvlan or ipvlan
        cannot use --subnet 192.0.2.1/24: is an address in a range, and no range
          use 192.0.2.0/24
        cannot use --subnet 192.0.2.0: is no range of addresses
          use an address and the length of its prefix: 192.0.2.0/24
        cannot use --subnet 192.0.2.128/25: overlaps with 192.0.2.0/24
          give subnets that have no address in common
        cannot use --gateway 192.0.2.1: is in no subnet
          give its subnet, too, by --subnet
        cannot use --gateway 192.0.2.2: is in the same subnet as 192.0.2.1
          give --gateway once for a subnet
        cannot use --ip-range 192.0.2.0/24: is in no subnet
          give its subnet, too, by --subnet
        cannot use --ipv4 false: every network has IPv4 here
          leave it out
        cannot use --mtu big: is not a whole number from 0 up
          -
        cannot use --label =b: has no key
          use KEY=VALUE or KEY
        cannot use --opt parent: is not KEY=VALUE
          -
        cannot use --aux-address a=192.0.2.5: cannot be kept free by itself
          use --ip-range, and addresses that it leaves out
        cannot use network ls a: it takes no words
          -
        cannot use --filter size=1: is no filter of networks
          use name=PART, id=PART, driver=bridge, label=NAME=VALUE, scope=local, type=custom or dangling=true
        cannot use --filter type=own: is no filter of networks
          use name=PART, id=PART, driver=bridge, label=NAME=VALUE, scope=local, type=custom or dangling=true
        cannot use network rm: it needs the name of a network
          carboy network ls lists them
        cannot use network inspect: it needs the name of a network
          carboy network ls lists them
        cannot use --filter until=soon: holds no moment
          use a date as 2026-11-26T14:05:54Z, seconds since 1970, or how long ago as 10m
        cannot use --filter name=a: is no filter of what is pruned
          use until=24h, label=NAME=VALUE or label!=NAME
        cannot use network connect back: it needs a network and a container
          for example: carboy network connect back web
        cannot use --ip fd00::1: is no such address
          use one address: 192.0.2.7, or 2001:db8::7 where it is of IPv6
        cannot use --driver-opt a=b: is no option that a driver has for a container
          leave it out
        cannot use network disconnect back web db: it needs a network and a container
          for example: carboy network disconnect back web
        cannot use network reload back: it takes no words
          -
        ");
    }
}
