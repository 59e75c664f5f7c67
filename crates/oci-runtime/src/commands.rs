//! The commands and their options as tables: an entry gives an option's reading, its line in `--help`, and its place in the
//! man page and the completions. The names are runc's (runc(8)) and crun's (crun(1)).

/// A command.
#[derive(Debug)]
pub(crate) struct Command {
    /// What it is called by.
    pub(crate) name: &'static str,
    /// What the words behind it are.
    pub(crate) words: &'static str,
    /// How many words it needs, and how many it takes.
    pub(crate) count: [usize; 2],
    /// Where its options end.
    pub(crate) end: End,
    /// Its options.
    pub(crate) flags: &'static [&'static [Flag]],
    /// What it does.
    pub(crate) doc: &'static str,
}

/// Where a command's options end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Behind the id: what follows are another's.
    BehindId,
    /// At the first word behind the id, which is a command with options of its own.
    AtCommand,
    /// At `--` or nowhere.
    Never,
}

/// An option.
#[derive(Debug)]
pub(crate) struct Flag {
    /// What stands behind the two dashes.
    pub(crate) long: &'static str,
    /// The letters for one dash.
    pub(crate) short: &'static [char],
    /// What its value is, where it has one.
    pub(crate) value: Option<&'static str>,
    /// What it does.
    pub(crate) doc: &'static str,
}

/// As many words as are there.
const MANY: usize = usize::MAX;

const fn switch(long: &'static str, short: &'static [char], doc: &'static str) -> Flag {
    Flag { long, short, value: None, doc }
}

const fn value(long: &'static str, short: &'static [char], value: &'static str, doc: &'static str) -> Flag {
    Flag { long, short, value: Some(value), doc }
}

/// Those that may stand before the command.
pub(crate) const GLOBAL: &[Flag] = &[
    value("root", &[], "DIR", "where the states of containers are kept"),
    value("log", &[], "PLACE", "where errors are written too: FILE, file:FILE, journald:NAME or syslog:NAME"),
    value("log-format", &[], "FORMAT", "text or json"),
    value("log-level", &[], "LEVEL", "what is told: debug, info, warning or error"),
    switch("debug", &[], "the same as --log-level debug"),
    switch("systemd-cgroup", &[], "have systemd make the groups; linux.cgroupsPath is slice:prefix:name"),
    value("cgroup-manager", &[], "NAME", "who makes the groups: cgroupfs or systemd"),
    value("rootless", &[], "CHOICE", "true, false or auto: how a user's containers are made is found out"),
    value("criu", &[], "PROGRAM", "the program that takes and restores checkpoints"),
    switch("help", &['h', '?'], "tell of the options"),
    switch("usage", &[], "the same as --help"),
    switch("version", &['v', 'V'], "tell the version"),
];

const BUNDLE: &[Flag] = &[value("bundle", &['b'], "DIR", "the folder of the configuration; the current one")];

const CREATE: &[Flag] = &[
    value("config", &['f'], "FILE", "the configuration within the bundle; config.json"),
    value("console-socket", &[], "SOCKET", "who takes the terminal's master side"),
    value("pidfd-socket", &[], "SOCKET", "who takes a handle on the process"),
    value("pid-file", &[], "FILE", "where the process's PID is written"),
    value("preserve-fds", &[], "N", "descriptors from 3 on that the process keeps"),
    switch("no-pivot", &[], "leave the host's root mounted below the container's"),
    switch("no-new-keyring", &[], "keep the caller's session keyring"),
    switch("no-subreaper", &[], "adopt no orphans, which is always so"),
];

const RUN: &[Flag] = &[
    switch("detach", &['d'], "do not wait for the end"),
    switch("keep", &[], "keep the state and the groups after the end"),
];

const EXEC: &[Flag] = &[
    value("process", &['p'], "FILE", "the whole process, as OCI's configuration has it"),
    value("console-socket", &[], "SOCKET", "who takes the terminal's master side"),
    value("pidfd-socket", &[], "SOCKET", "who takes a handle on the process"),
    value("pid-file", &[], "FILE", "where the process's PID is written"),
    value("cwd", &[], "DIR", "the working directory"),
    value("env", &['e'], "NAME=VALUE", "one more variable (repeatable)"),
    switch("tty", &['t'], "give it a terminal"),
    value("user", &['u'], "UID[:GID]", "who runs it"),
    value("additional-gids", &['g'], "GID", "one more group (repeatable)"),
    switch("detach", &['d'], "do not wait for the end"),
    value("cap", &['c'], "NAME", "one more capability (repeatable)"),
    switch("no-new-privs", &[], "let it gain no privileges"),
    value("apparmor", &[], "PROFILE", "its AppArmor profile"),
    value("process-label", &[], "LABEL", "its SELinux label"),
    value("preserve-fds", &[], "N", "descriptors from 3 on that the process keeps"),
    value("cgroup", &[], "[CONTROLLER:]PATH", "a group within the container's (repeatable)"),
    switch("ignore-paused", &[], "also in a container that is paused"),
    switch("no-subreaper", &[], "adopt no orphans, which is always so"),
];

const UPDATE: &[Flag] = &[
    value("resources", &['r'], "FILE", "OCI's linux.resources as JSON, - for standard input"),
    value("blkio-weight", &[], "N", "the share of block devices, 10 to 1000"),
    value("cpu-period", &[], "USEC", "the span that the quota is for"),
    value("cpu-quota", &[], "USEC", "the CPU time within a period, -1 for all there is"),
    value("cpu-burst", &[], "USEC", "the CPU time that can be saved up"),
    value("cpu-share", &[], "N", "the share of the CPUs"),
    value("cpu-rt-period", &[], "USEC", "the same as --cpu-period for real-time processes"),
    value("cpu-rt-runtime", &[], "USEC", "the same as --cpu-quota for real-time processes"),
    value("cpuset-cpus", &[], "LIST", "the CPUs, as 0-3,7"),
    value("cpuset-mems", &[], "LIST", "the memory nodes"),
    value("cpu-idle", &[], "0|1", "whether it runs only where nobody else does"),
    value("memory", &[], "BYTES", "the memory, as 512M; -1 for all there is"),
    value("memory-reservation", &[], "BYTES", "the memory that it is pushed back to when memory is short"),
    value("memory-swap", &[], "BYTES", "memory and swap together"),
    value("kernel-memory", &[], "BYTES", "the kernel's memory for it"),
    value("kernel-memory-tcp", &[], "BYTES", "the kernel's memory for its TCP buffers"),
    value("pids-limit", &[], "N", "the tasks, -1 for any number"),
    value("l3-cache-schema", &[], "SCHEMA", "the share of the L3 cache, linux.intelRdt.l3CacheSchema"),
    value("mem-bw-schema", &[], "SCHEMA", "the share of memory bandwidth, linux.intelRdt.memBwSchema"),
];

/// What `checkpoint` and `restore` have in common; most are CRIU's own, criu(8).
const IMAGES: &[Flag] = &[
    value("image-path", &[], "DIR", "the folder of CRIU's images; ./checkpoint"),
    value("work-path", &[], "DIR", "the folder of CRIU's log; that of the images"),
    switch("tcp-established", &[], "also open TCP connections"),
    switch("ext-unix-sk", &[], "also Unix sockets whose other side is outside"),
    switch("shell-job", &[], "also a process whose session is led from outside"),
    switch("lazy-pages", &[], "memory is fetched when it is needed"),
    switch("file-locks", &[], "also file locks"),
    switch("auto-dedup", &[], "drop pages of former images that newer ones have"),
    value(
        "manage-cgroups-mode",
        &[],
        "MODE",
        "what to write down of the groups: soft, full, strict or ignore; to restore, soft or ignore",
    ),
    value("empty-ns", &[], "network", "leave the network namespace empty"),
];

const CHECKPOINT: &[Flag] = &[
    value("parent-path", &[], "DIR", "the former images, as seen from the folder of the new ones"),
    switch("leave-running", &[], "let the container go on"),
    switch("pre-dump", &[], "only the memory, and let the container go on"),
    value("page-server", &[], "ADDRESS:PORT", "where the memory is sent"),
    value("status-fd", &[], "N", "a descriptor that is told when pages can be fetched"),
    switch("tcp-skip-in-flight", &[], "leave out TCP connections that are not open yet"),
    switch("link-remap", &[], "also files that have no name any more"),
];

const RESTORE: &[Flag] = &[
    value("console-socket", &[], "SOCKET", "who takes the terminal's master side"),
    value("pid-file", &[], "FILE", "where the process's PID is written"),
    switch("detach", &['d'], "do not wait for the end"),
    switch("no-subreaper", &[], "adopt no orphans, which is always so"),
    switch("no-pivot", &[], "not supported"),
    value("lsm-profile", &[], "TYPE:NAME", "another profile of AppArmor or SELinux"),
    value("lsm-mount-context", &[], "CONTEXT", "another SELinux context of mounts"),
];

const FORMAT: &[Flag] = &[value("format", &['f'], "FORMAT", "table or json")];
/// The letter is that of `--config` there.
const TEXT: &[Flag] = &[value("format", &[], "FORMAT", "table for people, or json")];
const LIST: &[Flag] = &[switch("quiet", &['q'], "only the ids")];
const REGEX: &[Flag] = &[switch("regex", &['r'], "the id is an extended regular expression: all that match")];
const KILL: &[Flag] = &[switch("all", &['a'], "all processes, not only the first")];
const DELETE: &[Flag] = &[switch("force", &['f'], "kill it first if it runs; one that is unknown is no error")];
const EVENTS: &[Flag] =
    &[value("interval", &[], "TIME", "how often, as 5s, 500ms or 1m"), switch("stats", &[], "once, what it uses")];
const SPEC: &[Flag] = &[
    value("file", &['f'], "FILE", "where it is written; config.json in the bundle"),
    switch("rootless", &[], "one that an ordinary user can run"),
];

const fn of_id(name: &'static str, flags: &'static [&'static [Flag]], doc: &'static str) -> Command {
    Command { name, words: "ID", count: [1, 1], end: End::Never, flags, doc }
}

/// Every command, in the order of `--help`.
pub(crate) const COMMANDS: &[Command] = &[
    of_id("create", &[BUNDLE, CREATE], "Make a container from a bundle, up to where its program is to be started"),
    of_id("start", &[], "Start the program of a container that was made"),
    of_id("run", &[BUNDLE, CREATE, RUN], "Make a container and start its program"),
    Command {
        name: "exec",
        words: "ID [COMMAND [ARG...]]",
        count: [1, MANY],
        end: End::AtCommand,
        flags: &[EXEC],
        doc: "Run one more process in a container",
    },
    of_id("explain", &[BUNDLE, CREATE, TEXT], "Print every step that create and start would take, and take none"),
    of_id("state", &[], "Print the state of a container, as JSON"),
    Command { name: "list", words: "", count: [0, 0], end: End::Never, flags: &[FORMAT, LIST], doc: "List containers" },
    Command {
        name: "kill",
        words: "ID [SIGNAL]",
        count: [1, 2],
        end: End::Never,
        flags: &[KILL, REGEX],
        doc: "Send a signal to a container's first process, or to all",
    },
    of_id("delete", &[DELETE, REGEX], "Remove what there is of a container"),
    of_id("pause", &[], "Stop every process of a container where it stands"),
    of_id("resume", &[], "Let the processes of a paused container go on"),
    Command {
        name: "ps",
        words: "ID [PS-OPTION...]",
        count: [1, MANY],
        end: End::BehindId,
        flags: &[FORMAT],
        doc: "List the processes of a container",
    },
    of_id("events", &[EVENTS], "Print what a container uses, and at once when it lacks memory"),
    of_id("update", &[UPDATE], "Change the limits of a container"),
    Command {
        name: "mounts",
        words: "add|remove ID FILE",
        count: [3, 3],
        end: End::Never,
        flags: &[],
        doc: "Mount more in a container, or less: FILE has a list like the configuration's mounts, - is standard input",
    },
    of_id("checkpoint", &[IMAGES, CHECKPOINT], "Write the processes of a container to files, with CRIU"),
    of_id("restore", &[BUNDLE, IMAGES, RESTORE], "Bring a container back from the files of a checkpoint"),
    Command {
        name: "features",
        words: "",
        count: [0, 0],
        end: End::Never,
        flags: &[],
        doc: "Print what this runtime can do, as JSON",
    },
    Command {
        name: "spec",
        words: "",
        count: [0, 0],
        end: End::Never,
        flags: &[BUNDLE, SPEC],
        doc: "Write a configuration to begin with",
    },
    Command {
        name: "help",
        words: "[COMMAND]",
        count: [0, 1],
        end: End::Never,
        flags: &[FORMAT],
        doc: "Tell of a command and its options",
    },
    Command { name: "version", words: "", count: [0, 0], end: End::Never, flags: &[], doc: "Tell the version" },
];

impl Command {
    /// The command of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.name == name)
    }

    /// Its options, without those of all commands.
    pub(crate) fn own(&self) -> impl Iterator<Item = &'static Flag> + use<> {
        self.flags.iter().flat_map(|table| table.iter())
    }
}

/// The option of this name, as a command has it or, where `None`, as it may stand before the command.
pub(crate) fn flag(command: Option<&Command>, is: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
    let own = command.into_iter().flat_map(Command::own);
    own.chain(GLOBAL).find(|flag| is(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_has_an_option_or_a_letter_twice() {
        for command in COMMANDS {
            let mut names: Vec<&str> = command.own().map(|flag| flag.long).collect();
            let mut letters: Vec<char> = command.own().chain(GLOBAL).flat_map(|flag| flag.short).copied().collect();
            let counts = (names.len(), letters.len());
            names.sort_unstable();
            names.dedup();
            letters.sort_unstable();
            letters.dedup();
            assert_eq!((names.len(), letters.len()), counts, "{}", command.name);
        }
    }
}
