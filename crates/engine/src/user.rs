//! Who a container's process is, from the passwd(5) and group(5) of the container's own root. The host's are never asked.
//!
//! Docker's rules: a number is an id even where a user has it as a name; a number that no entry has is taken as it is; a
//! line that does not parse is as none.

use error::{Refused, Result};

/// A user's number inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ContainerUid(pub u32);

/// A group's number inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ContainerGid(pub u32);

/// Who a container's process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// Its user.
    pub uid: ContainerUid,
    /// Its group.
    pub gid: ContainerGid,
    /// Further groups, ascending, with `gid` first.
    pub additional_gids: Vec<ContainerGid>,
    /// Its home: the passwd entry's, or `/`.
    pub home: String,
    /// Its name, where passwd has one.
    pub name: Option<String>,
}

/// The largest id that is taken, as Docker's.
const LARGEST_ID: u32 = i32::MAX.unsigned_abs();

struct User<'f> {
    name: &'f [u8],
    uid: u32,
    gid: u32,
    home: &'f [u8],
}

struct Group<'f> {
    name: &'f [u8],
    gid: u32,
    members: &'f [u8],
}

/// Finds who `user` is: `NAME[:GROUP]` or `UID[:GID]`, and user 0 if it is empty; `group_add` are further groups by name
/// or number. `passwd` and `group` are the files' contents, empty where the root has none.
///
/// # Errors
/// Refused for a name that the files do not have, and for a number out of range.
pub fn resolve(user: &str, group_add: &[String], passwd: &[u8], group: &[u8]) -> Result<ResolvedUser> {
    let (user_word, group_word) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
    let group_word = group_word.filter(|word| !word.is_empty());
    let wanted = if user_word.is_empty() { Some(0) } else { number("--user", user_word)? };
    let found = users(passwd).find(|entry| match wanted {
        Some(uid) => entry.uid == uid,
        None => entry.name == user_word.as_bytes(),
    });
    let uid = match (&found, wanted) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) => {
            let refused = Refused::new("--user", user_word, "has no matching entries in passwd file");
            return Err(refused.hint("use a user of the container's /etc/passwd, or a number").into());
        }
    };
    let gid = match group_word {
        Some(word) => self::gid("--user", word, group)?,
        None => found.as_ref().map_or(0, |entry| entry.gid),
    };
    let mut further = Vec::new();
    if let (Some(entry), None) = (&found, group_word) {
        let member = |group: &Group<'_>| group.members.split(|byte| *byte == b',').any(|name| name == entry.name);
        further.extend(groups(group).filter(member).map(|group| group.gid));
    }
    for word in group_add {
        further.push(self::gid("--group-add", word, group)?);
    }
    further.sort_unstable();
    further.dedup();
    further.retain(|other| *other != gid);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let home = found.as_ref().map(|entry| text(entry.home)).filter(|home| !home.is_empty());
    Ok(ResolvedUser {
        uid: ContainerUid(uid),
        gid: ContainerGid(gid),
        additional_gids: std::iter::once(gid).chain(further).map(ContainerGid).collect(),
        home: home.unwrap_or_else(|| "/".to_owned()),
        name: found.map(|entry| text(entry.name)),
    })
}

/// A group's number by its word.
fn gid(field: &str, word: &str, file: &[u8]) -> Result<u32> {
    if let Some(gid) = number(field, word)? {
        return Ok(gid);
    }
    let found = groups(file).find(|group| group.name == word.as_bytes());
    found.map(|group| group.gid).ok_or_else(|| {
        Refused::new(field, word, "has no matching entries in group file")
            .hint("use a group of the container's /etc/group, or a number")
            .into()
    })
}

/// The number that a word is; `None` where it is a name.
fn number(field: &str, word: &str) -> Result<Option<u32>> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let number = word.parse::<u32>().ok().filter(|number| *number <= LARGEST_ID);
    number.map(Some).ok_or_else(|| {
        let reason = "is out of the range of user and group numbers";
        Refused::new(field, word, reason).hint(format!("use a number from 0 to {LARGEST_ID}")).into()
    })
}

/// The fields of the lines that have any; those that are missing are empty.
fn lines<const FIELDS: usize>(file: &[u8]) -> impl Iterator<Item = [&[u8]; FIELDS]> {
    file.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| line.first().is_some_and(|byte| *byte != b'#'))
        .map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            std::array::from_fn(|_| fields.next().unwrap_or_default())
        })
}

fn id(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn users(file: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(file).filter_map(|[name, _, uid, gid, _, home]| Some(User { name, uid: id(uid)?, gid: id(gid)?, home }))
}

fn groups(file: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(file).filter_map(|[name, _, gid, members]| Some(Group { name, gid: id(gid)?, members }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# comment:x:1:1::/:\n\nbroken\nweb:x:33:33:www:/srv/web:/bin/sh\n\
        1000:x:7:7:a name of digits:/seven:\nann:x:1000:1000::/home/ann:\nnohome:x:50:50:::\nlast:x:60:60::/last:/bin/sh";
    const GROUP: &[u8] = b"root:x:0:\nweb:x:33:\nstaff:x:50:ann,web\nvideo:x:44:ann\nann:x:1000:\n";

    fn who(user: &str) -> String {
        match resolve(user, &[], PASSWD, GROUP) {
            Ok(ResolvedUser { uid, gid, additional_gids, home, name }) => {
                let groups: Vec<u32> = additional_gids.iter().map(|gid| gid.0).collect();
                format!("{}:{} {groups:?} {home} {}", uid.0, gid.0, name.unwrap_or_default())
            }
            Err(error) => format!("{error}"),
        }
    }

    #[test]
    fn a_user_is_found_by_name_or_number_with_groups_and_home() {
        for (user, expected) in [
            ("", "0:0 [0] /root root"),
            ("root", "0:0 [0] /root root"),
            ("0", "0:0 [0] /root root"),
            ("ann", "1000:1000 [1000, 44, 50] /home/ann ann"),
            ("1000", "1000:1000 [1000, 44, 50] /home/ann ann"),
            ("web", "33:33 [33, 50] /srv/web web"),
            ("ann:staff", "1000:50 [50] /home/ann ann"),
            ("ann:", "1000:1000 [1000, 44, 50] /home/ann ann"),
            (":staff", "0:50 [50] /root root"),
            ("1000:44", "1000:44 [44] /home/ann ann"),
            ("4242", "4242:0 [0] / "),
            ("4242:4243", "4242:4243 [4243] / "),
            ("nohome", "50:50 [50] / nohome"),
            ("last", "60:60 [60] /last last"),
        ] {
            assert_eq!(who(user), expected, "{user}");
        }
    }

    #[test]
    fn a_name_that_the_root_does_not_have_is_refused() {
        assert_eq!(who("bob"), "cannot use --user bob: has no matching entries in passwd file");
        assert_eq!(who("ann:wheel"), "cannot use --user wheel: has no matching entries in group file");
        assert_eq!(who("broken"), "cannot use --user broken: has no matching entries in passwd file");
        assert_eq!(who("-1"), "cannot use --user -1: is out of the range of user and group numbers");
        assert_eq!(who("4294967295"), "cannot use --user 4294967295: is out of the range of user and group numbers");
    }

    #[test]
    fn groups_can_be_added_by_name_or_number() {
        let add = ["video".to_owned(), "7".to_owned(), "0".to_owned(), "44".to_owned()];
        let user = resolve("", &add, PASSWD, GROUP).unwrap();
        assert_eq!(user.additional_gids, [0, 7, 44].map(ContainerGid));
        let error = resolve("", &["wheel".to_owned()], PASSWD, GROUP).unwrap_err();
        assert_eq!(error.to_string(), "cannot use --group-add wheel: has no matching entries in group file");
    }

    #[test]
    fn a_root_without_passwd_knows_numbers_only() {
        let user = resolve("", &[], b"", b"").unwrap();
        assert_eq!((user.uid.0, user.gid.0, user.home.as_str(), user.name), (0, 0, "/", None));
        assert!(resolve("root", &[], b"", b"").is_err());
    }
}
