//! The layout of the kernel's structures, as the kernel itself tells it: /sys/kernel/btf/vmlinux,
//! Documentation/bpf/btf.rst. Pure; any bytes can be read.

use std::collections::BTreeMap;

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNCTION: u32 = 12;
/// How deep structures without a name lie in others.
const DEEPEST: usize = 8;

/// Types by their numbers, and those that were asked for by their names.
#[derive(Debug)]
pub(crate) struct Btf<'t> {
    types: &'t [u8],
    strings: &'t [u8],
    /// Where each type begins; number 0 is `void`.
    starts: Vec<usize>,
    structures: BTreeMap<&'static str, Vec<usize>>,
    functions: BTreeMap<&'static str, u32>,
}

/// One type's head.
#[derive(Debug, Clone, Copy)]
struct Head {
    name: usize,
    kind: u32,
    members: usize,
    /// Whether members have their width beside their place.
    has_widths: bool,
}

impl<'t> Btf<'t> {
    /// Reads the list of types, and notes the structures and functions of these names.
    pub(crate) fn parse(bytes: &'t [u8], structures: &[&'static str], functions: &[&'static str]) -> Option<Self> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        let header = |at| Some(usize::try_from(word(bytes, at)?).ok()).flatten();
        let begin = header(4).filter(|_| magic == MAGIC)?;
        let part = |from: usize, length: usize| {
            let from = begin.checked_add(from)?;
            bytes.get(from..from.checked_add(length)?)
        };
        let (types, strings) = (part(header(8)?, header(12)?)?, part(header(16)?, header(20)?)?);
        let mut btf = Self { types, strings, starts: vec![0], structures: BTreeMap::new(), functions: BTreeMap::new() };
        let mut at = 0;
        while at < types.len() {
            let head = btf.head(at)?;
            let number = btf.starts.len();
            if head.kind == STRUCT
                && let Some(name) = structures.iter().find(|name| btf.is_called(head.name, name))
            {
                btf.structures.entry(name).or_default().push(number);
            } else if head.kind == FUNCTION
                && let Some(name) = functions.iter().find(|name| btf.is_called(head.name, name))
            {
                btf.functions.insert(name, u32::try_from(number).ok()?);
            }
            btf.starts.push(at);
            at = at.checked_add(length(&head)?)?;
        }
        Some(btf)
    }

    /// The number of a function that was asked for.
    pub(crate) fn function(&self, name: &str) -> Option<u32> {
        self.functions.get(name).copied()
    }

    /// Where a member lies in a structure that was asked for, in bytes. Of several with one name the first that has it.
    pub(crate) fn offset(&self, structure: &str, member: &str) -> Option<i16> {
        let numbers = self.structures.get(structure)?;
        let bits = numbers.iter().find_map(|number| self.member(*number, member, 0))?;
        if bits % 8 == 0 { i16::try_from(bits / 8).ok() } else { None }
    }

    /// Where a member lies, in bits; also one in a structure or union without a name.
    fn member(&self, number: usize, wanted: &str, depth: usize) -> Option<u32> {
        let start = *self.starts.get(number).filter(|_| number > 0 && depth < DEEPEST)?;
        let head = self.head(start).filter(|head| matches!(head.kind, STRUCT | UNION))?;
        for member in 0..head.members {
            let at = start + 12 + member * 12;
            let (name, of, place) = (word(self.types, at)?, word(self.types, at + 4)?, word(self.types, at + 8)?);
            let place = if head.has_widths { place & 0x00ff_ffff } else { place };
            let name = usize::try_from(name).ok()?;
            if self.is_called(name, wanted) {
                return Some(place);
            }
            let is_nameless = self.strings.get(name) == Some(&0);
            let inner = || self.member(usize::try_from(of).ok()?, wanted, depth + 1);
            if let Some(within) = Some(()).filter(|()| is_nameless).and_then(|()| inner()) {
                return place.checked_add(within);
            }
        }
        None
    }

    fn head(&self, at: usize) -> Option<Head> {
        let (name, info) = (word(self.types, at)?, word(self.types, at + 4)?);
        Some(Head {
            name: usize::try_from(name).ok()?,
            kind: info >> 24 & 31,
            members: usize::try_from(info & 0xffff).ok()?,
            has_widths: info >> 31 == 1,
        })
    }

    fn is_called(&self, name: usize, wanted: &str) -> bool {
        let text = self.strings.get(name..).unwrap_or_default();
        text.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// How long a type is, with what follows its head; `None` for a kind that is not known.
const fn length(head: &Head) -> Option<usize> {
    Some(
        12 + match head.kind {
            // int, variable, declaration's tag
            1 | 14 | 17 => 4,
            // array
            3 => 12,
            // structures, enumerations of 64 bits, sections
            STRUCT | UNION | 15 | 19 => 12 * head.members,
            // enumerations, parameters
            6 | 13 => 8 * head.members,
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        },
    )
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `struct task { int pid; union { struct ns *ns; }; }`, `struct ns` and the function `walk`.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0task\0pid\0ns\0walk\0";
        let words: &[u32] = &[
            1,
            1 << 24,
            4,
            32, // 1: int
            5,
            STRUCT << 24 | 2,
            16,
            10,
            1,
            0,
            0,
            3,
            64, // 2: struct task
            0,
            UNION << 24 | 1,
            8,
            14,
            4,
            0, // 3: union
            0,
            2 << 24,
            5, // 4: pointer to struct ns
            14,
            STRUCT << 24,
            0, // 5: struct ns
            17,
            FUNCTION << 24,
            0, // 6: walk
        ];
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut file = MAGIC.to_ne_bytes().to_vec();
        file.extend([1, 0]);
        let [types_long, strings_long] = [types.len(), strings.len()].map(|length| u32::try_from(length).unwrap());
        for word in [24, 0, types_long, types_long, strings_long] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(types);
        file.extend(strings);
        file
    }

    #[test]
    fn members_are_found_also_within_what_has_no_name() {
        let file = sample();
        let btf = Btf::parse(&file, &["task", "ns"], &["walk"]).unwrap();
        assert_eq!((btf.offset("task", "pid"), btf.offset("task", "ns")), (Some(0), Some(8)));
        assert_eq!((btf.function("walk"), btf.function("task")), (Some(6), None));
        assert_eq!((btf.offset("task", "pi"), btf.offset("ns", "pid"), btf.offset("int", "pid")), (None, None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_and_any_damage_can_be_read(bytes: Vec<u8>, at in 0_usize..200, value: u8) {
            let mut damaged = sample();
            let last = damaged.len() - 1;
            damaged[at.min(last)] = value;
            for file in [bytes, damaged] {
                if let Some(btf) = Btf::parse(&file, &["task", "ns"], &["walk"]) {
                    let _ = (btf.offset("task", "ns"), btf.function("walk"));
                }
            }
        }
    }
}
