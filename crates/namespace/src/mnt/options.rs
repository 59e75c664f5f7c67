//! Mount options: the words of mount(8) and the OCI specification, sorted into attributes of the mount, propagation, and
//! options of the file system.

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
    /// What is left for the file system itself.
    pub data: Vec<(String, Option<String>)>,
}

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
    let alone = ["async", "bind", "defaults", "loud", "nomand", "norelatime", "rbind"].map(str::to_owned);
    let with_r = |word: &str| [word.to_owned(), format!("r{word}")];
    let propagations = PROPAGATIONS.iter().flat_map(|(word, _)| with_r(word));
    let attributes = ATTRIBUTES.iter().flat_map(|(word, ..)| with_r(word));
    let mut words: Vec<String> = alone.into_iter().chain(propagations).chain(attributes).collect();
    words.sort_unstable();
    words
}

impl Options {
    fn add(&mut self, word: &str) {
        let find = |word: &str| ATTRIBUTES.iter().find(|(name, ..)| *name == word);
        match word {
            "" | "defaults" | "async" | "nomand" | "norelatime" | "loud" => return,
            "bind" => return self.bind = Some(self.bind.unwrap_or(Reach::One)),
            "rbind" => return self.bind = Some(Reach::Recursive),
            _ => {}
        }
        if let Some(found) = propagation(word) {
            self.propagation = Some(found);
        } else if let Some((_, attribute, turned)) = find(word) {
            turn((&mut self.set, &mut self.clear), *attribute, *turned);
        } else if let Some((_, attribute, turned)) = word.strip_prefix('r').and_then(find) {
            turn((&mut self.set_below, &mut self.clear_below), *attribute, *turned);
        } else {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (word, None),
            };
            self.data.push((key.to_owned(), value));
        }
    }
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
    fn an_access_time_word_clears_the_whole_field() {
        let options = parse(&["noatime"]);
        assert_eq!(options.set, Attributes::NOATIME);
        assert_eq!(options.clear, Attributes::ATIME);
    }
}
