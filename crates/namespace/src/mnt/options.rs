//! Mount options: the words of mount(8) and the OCI specification, sorted into attributes of the mount, propagation, and
//! options of the file system.

use std::collections::BTreeSet;

use sys::mount::{Attributes, Propagation, Reach};

/// What the options of one mount ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Attributes to set on the mount.
    pub set: Attributes,
    /// Attributes to clear on the mount.
    pub clear: Attributes,
    /// Attributes to set on the mount and all below it.
    pub set_below: Attributes,
    /// Attributes to clear on the mount and all below it.
    pub clear_below: Attributes,
    /// The mount is a view of another place, of one mount or of all below it too.
    pub bind: Option<Reach>,
    /// The propagation.
    pub propagation: Option<(Propagation, Reach)>,
    /// Whose ids the files have.
    pub id_map: Option<IdMap>,
    /// What is done besides, or in another way.
    pub manners: BTreeSet<Manner>,
    /// The folder from which the source is reached, on the same mount and through no symbolic link: others can write to
    /// what is below it.
    pub below: Option<String>,
    /// What is left for the file system itself.
    pub data: Vec<(String, Option<String>)>,
}

/// That the files of a mount have other owners than on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// For this mount, or for all below it too.
    pub reach: Reach,
    /// crun's ranges behind the word, `uids=0-1000-10#10-2000-5;gids=0-1000-10`; empty for none.
    pub ranges: String,
}

/// What is done with a mount besides mounting it, or in which other way it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// `tmpcopyup`: it begins with a copy of what it covers.
    CopyUp,
    /// `copy-symlink`: where the source is a symbolic link, one like it is made.
    CopyLink,
    /// `src-nofollow`: a source that is a symbolic link is mounted itself.
    SourceItself,
    /// `dest-nofollow`: a destination that is a symbolic link is covered itself.
    DestinationItself,
    /// `remount`: what is mounted there already is changed.
    Remount,
}

/// What stands before the folder that a source is reached from: a word of carboy's own, which others pass over.
pub const BELOW: &str = "x-carboy.below=";

const MANNERS: [(&str, Manner); 5] = [
    ("tmpcopyup", Manner::CopyUp),
    ("copy-symlink", Manner::CopyLink),
    ("src-nofollow", Manner::SourceItself),
    ("dest-nofollow", Manner::DestinationItself),
    ("remount", Manner::Remount),
];

/// The words that every file system takes, each with the word that takes it back.
const OF_EVERY_FILE_SYSTEM: [(&str, &str); 4] =
    [("sync", "async"), ("dirsync", ""), ("lazytime", "nolazytime"), ("mand", "nomand")];

/// The words that ask for what is so anyway. Whether a file system counts the versions of its files (`iversion`) is the
/// kernel's own choice and to be seen by its NFS server alone; it says of no mount what `silent` would keep it from saying.
const ALWAYS_SO: [&str; 8] =
    ["defaults", "loud", "silent", "iversion", "noiversion", "norelatime", "async", "nolazytime"];

/// The words that are for readers of fstab(5).
const OF_FSTAB: [&str; 3] = ["auto", "noauto", "_netdev"];

/// The words for attributes: the attribute, and whether the word sets or clears it.
const ATTRIBUTES: [(&str, Attributes, Turned); 17] = [
    ("ro", Attributes::READ_ONLY, Turned::On),
    ("rw", Attributes::READ_ONLY, Turned::Off),
    ("nosuid", Attributes::NOSUID, Turned::On),
    ("suid", Attributes::NOSUID, Turned::Off),
    ("nodev", Attributes::NODEV, Turned::On),
    ("dev", Attributes::NODEV, Turned::Off),
    ("noexec", Attributes::NOEXEC, Turned::On),
    ("exec", Attributes::NOEXEC, Turned::Off),
    ("nodiratime", Attributes::NODIRATIME, Turned::On),
    ("diratime", Attributes::NODIRATIME, Turned::Off),
    ("nosymfollow", Attributes::NOSYMFOLLOW, Turned::On),
    ("symfollow", Attributes::NOSYMFOLLOW, Turned::Off),
    ("noatime", Attributes::NOATIME, Turned::On),
    ("atime", Attributes::NOATIME, Turned::Off),
    ("strictatime", Attributes::STRICTATIME, Turned::On),
    ("nostrictatime", Attributes::STRICTATIME, Turned::Off),
    ("relatime", Attributes::NONE, Turned::On),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turned {
    On,
    Off,
}

const PROPAGATIONS: [(&str, Propagation); 4] = [
    ("private", Propagation::Private),
    ("slave", Propagation::Slave),
    ("shared", Propagation::Shared),
    ("unbindable", Propagation::Unbindable),
];

/// Sorts the words. What is no word of mount(8) is an option of the file system.
#[must_use]
pub fn parse<S: AsRef<str>>(words: &[S]) -> Options {
    let mut options = Options::default();
    for word in words {
        options.add(word.as_ref());
    }
    options
}

/// The propagation that a word names, with `r` before it for all mounts below too.
#[must_use]
pub fn propagation(word: &str) -> Option<(Propagation, Reach)> {
    let find = |word: &str| PROPAGATIONS.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    find(word)
        .map(|value| (value, Reach::One))
        .or_else(|| word.strip_prefix('r').and_then(find).map(|value| (value, Reach::Recursive)))
}

/// Every word that is no option of a file system, sorted: what a runtime says that it knows.
#[must_use]
pub fn words() -> Vec<String> {
    let with_r = |word: &str| [word.to_owned(), format!("r{word}")];
    let alone = ALWAYS_SO.into_iter().chain(["bind", "rbind", "idmap", "ridmap", "rnorelatime"]).map(str::to_owned);
    let of_all = OF_EVERY_FILE_SYSTEM.iter().flat_map(|(word, back)| [*word, *back]).map(str::to_owned);
    let manners = MANNERS.iter().map(|(word, _)| (*word).to_owned());
    let propagations = PROPAGATIONS.iter().flat_map(|(word, _)| with_r(word));
    let attributes = ATTRIBUTES.iter().flat_map(|(word, ..)| with_r(word));
    let all = alone.chain(of_all).chain(manners).chain(propagations).chain(attributes);
    let words: BTreeSet<String> = all.filter(|word| !word.is_empty()).collect();
    words.into_iter().collect()
}

impl Options {
    /// Whether this was asked for.
    #[must_use]
    pub fn has(&self, manner: Manner) -> bool {
        self.manners.contains(&manner)
    }

    /// The attributes of a mount that has none yet.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes(self.set.0 & !self.clear_below.0 | self.set_below.0)
    }

    fn add(&mut self, word: &str) {
        let find = |word: &str| ATTRIBUTES.iter().find(|(name, ..)| *name == word);
        if let Some((kept, _)) = OF_EVERY_FILE_SYSTEM.iter().find(|(_, back)| !back.is_empty() && *back == word) {
            self.data.retain(|(key, _)| key != kept);
        } else if word == "bind" {
            self.bind = Some(self.bind.unwrap_or(Reach::One));
        } else if word == "rbind" {
            self.bind = Some(Reach::Recursive);
        } else if let Some((_, manner)) = MANNERS.iter().find(|(name, _)| *name == word) {
            self.manners.insert(*manner);
        } else if let Some(folder) = word.strip_prefix(BELOW) {
            self.below = Some(folder.to_owned());
        } else if let Some(found) = id_map(word) {
            self.id_map = Some(found);
        } else if let Some(found) = propagation(word) {
            self.propagation = Some(found);
        } else if let Some((_, attribute, turned)) = find(word) {
            turn((&mut self.set, &mut self.clear), *attribute, *turned);
        } else if word == "rnorelatime" {
            turn((&mut self.set_below, &mut self.clear_below), Attributes::NONE, Turned::Off);
        } else if let Some((_, attribute, turned)) = word.strip_prefix('r').and_then(find) {
            turn((&mut self.set_below, &mut self.clear_below), *attribute, *turned);
        } else if !says_nothing_to_the_kernel(word) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (word, None),
            };
            self.data.push((key.to_owned(), value));
        }
    }
}

/// Whether mount(8) would keep a word for itself, and there is nothing to do for it.
fn says_nothing_to_the_kernel(word: &str) -> bool {
    let comment = word.starts_with("x-") || word.starts_with("comment=");
    word.is_empty() || comment || ALWAYS_SO.contains(&word) || OF_FSTAB.contains(&word)
}

fn id_map(word: &str) -> Option<IdMap> {
    let (word, ranges) = word.split_once('=').unwrap_or((word, ""));
    let reach = match word {
        "idmap" => Reach::One,
        "ridmap" => Reach::Recursive,
        _ => return None,
    };
    Some(IdMap { reach, ranges: ranges.to_owned() })
}

/// The last word wins. The access-time words share one field, which the kernel wants cleared before it is set.
fn turn((set, clear): (&mut Attributes, &mut Attributes), attribute: Attributes, turned: Turned) {
    let field = if attribute.0 & Attributes::ATIME.0 != 0 || attribute == Attributes::NONE {
        Attributes::ATIME
    } else {
        attribute
    };
    set.0 &= !field.0;
    *clear = clear.with(field);
    if turned == Turned::On {
        set.0 |= attribute.0;
        if field == attribute {
            clear.0 &= !field.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_wins() {
        assert_eq!(parse(&["ro", "rw"]).set, Attributes::NONE);
        assert_eq!(parse(&["rw", "ro"]).set, Attributes::READ_ONLY);
    }

    #[test]
    fn words_of_the_file_system_are_kept_with_their_values() {
        let options = parse(&["nosuid", "size=64m", "newinstance"]);
        assert_eq!(options.set, Attributes::NOSUID);
        assert_eq!(options.data, [("size".to_owned(), Some("64m".to_owned())), ("newinstance".to_owned(), None)]);
    }

    #[test]
    fn recursive_words_are_told_apart() {
        let options = parse(&["rbind", "rro", "rslave"]);
        assert_eq!(options.bind, Some(Reach::Recursive));
        assert_eq!(options.set_below, Attributes::READ_ONLY);
        assert_eq!(options.propagation, Some((Propagation::Slave, Reach::Recursive)));
        assert_eq!(options.set, Attributes::NONE);
    }

    #[test]
    fn words_that_every_file_system_takes_are_for_it_until_they_are_taken_back() {
        assert_eq!(parse(&["sync", "lazytime", "async"]).data, [("lazytime".to_owned(), None)]);
        assert_eq!(parse(&["async", "nomand", "silent", "iversion", "defaults"]), Options::default());
    }

    #[test]
    fn comments_and_words_for_readers_of_fstab_are_left_out_and_others_are_not() {
        let options = parse(&["x-systemd.automount", "comment=mine", "noauto", "_netdev", "X-mount.mkdir", "rsync"]);
        let data: Vec<&str> = options.data.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(data, ["X-mount.mkdir", "rsync"]);
    }

    #[test]
    fn a_map_of_ids_is_for_one_mount_or_for_all_below_it_and_may_have_ranges() {
        assert_eq!(parse(&["idmap"]).id_map, Some(IdMap { reach: Reach::One, ranges: String::new() }));
        let options = parse(&["ridmap=uids=0-1-10;gids=0-1-10"]);
        let ranges = "uids=0-1-10;gids=0-1-10".to_owned();
        assert_eq!(options.id_map, Some(IdMap { reach: Reach::Recursive, ranges }));
    }

    #[test]
    fn what_is_done_in_another_way_is_no_option_of_the_file_system() {
        let options = parse(&["bind", "copy-symlink", "src-nofollow", "dest-nofollow", "tmpcopyup", "remount"]);
        assert_eq!((options.manners.len(), options.data.len()), (5, 0));
        assert!(options.has(Manner::CopyUp));
    }

    #[test]
    fn a_new_mount_has_the_attributes_of_the_recursive_words_too() {
        assert_eq!(parse(&["nosuid", "rro"]).attributes(), Attributes::NOSUID.with(Attributes::READ_ONLY));
        assert_eq!(parse(&["ro", "rrw"]).attributes(), Attributes::NONE);
    }

    #[test]
    fn every_word_that_is_told_is_known() {
        for word in words() {
            assert_eq!(
                parse(&[&word]).data.len(),
                usize::from(OF_EVERY_FILE_SYSTEM.iter().any(|(kept, _)| *kept == word))
            );
        }
        assert!(words().contains(&"rnorelatime".to_owned()) && words().is_sorted());
    }

    #[test]
    fn an_access_time_word_clears_the_whole_field() {
        let options = parse(&["noatime"]);
        assert_eq!(options.set, Attributes::NOATIME);
        assert_eq!(options.clear, Attributes::ATIME);
    }
}
