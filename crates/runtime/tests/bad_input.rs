//! Configurations that are wrong in every way that could be thought of: thousands of them, made from the one that has every
//! field. Each is read, or refused with the path of a field of the document and in few words; none makes anything panic.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at what goes wrong")]

use std::path::Path;

use bumpalo::Bump;
use carboy_runtime::facts::{Facts, Site};
use carboy_runtime::process::{Filter, Terms};
use cgroup::{GroupPath, Hierarchies};
use error::{Error, Result};
use oci::Config;
use serde_json::{Value, json};

const FULL: &[u8] = include_bytes!("../../oci/src/tests/full.json");
/// What a person can read of an error.
const LONGEST: usize = 1000;
const LONG: usize = 1 << 20;
/// Of as many places, one gets what takes long to read.
const ONE_OF: usize = 8;

fn full() -> Value {
    serde_json::from_slice(FULL).unwrap()
}

/// The same without what depends on the host or is planned nowhere.
fn plannable() -> Value {
    let mut document = full();
    document["mounts"][1] = json!({"destination": "/data", "source": "/", "options": ["rbind", "rro", "rprivate"]});
    let resources = document["linux"]["resources"].as_object_mut().unwrap();
    resources.retain(|name, _| ["devices", "pids"].contains(&name.as_str()));
    document["process"]["args"] = json!(["true"]);
    document["linux"]["personality"]["flags"] = json!([]);
    document["linux"].as_object_mut().unwrap().retain(|name, _| !["memoryPolicy", "intelRdt"].contains(&name.as_str()));
    document["process"].as_object_mut().unwrap().retain(|name, _| {
        !["scheduler", "execCPUAffinity", "apparmorProfile", "selinuxLabel"].contains(&name.as_str())
    });
    document
}

/// From a text to a plan, as far as nothing is done.
struct Reader {
    facts: Facts,
}

impl Reader {
    fn new(document: &Value) -> Self {
        let config = Config::parse(document.to_string().as_bytes()).unwrap();
        let group = GroupPath::parse("the group", "/carboy-bad-input").unwrap();
        let site = Site { hierarchies: Hierarchies::read().unwrap(), group, systemd: None };
        Self { facts: Facts::read(&config, site, Vec::new(), Path::new("/nowhere")).unwrap() }
    }

    fn read(&self, text: &[u8]) -> Result<()> {
        let config = Config::parse(text)?;
        config.check()?;
        let profile = config.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let filter = profile.map(Filter::of).transpose()?;
        let terms = Terms { filter: filter.as_ref(), ..Terms::default() };
        let arena = Bump::new();
        carboy_runtime::plan::plan(&config, &self.facts, &terms, &arena).map(drop)
    }

    /// Reads it, and looks at the refusal: whether it names a field.
    fn try_out(&self, what: &str, text: &[u8]) -> Option<String> {
        const ROOTS: [&str; 9] =
            ["ociVersion", "process", "root", "hostname", "domainname", "mounts", "linux", "hooks", "annotations"];
        let refused = match self.read(text) {
            Ok(()) => return None,
            Err(Error::Refused(refused)) => refused,
            Err(other) => panic!("{what}: {other:?}"),
        };
        let root = refused.field.split(['.', '[']).next().unwrap_or_default();
        let said = refused.to_string();
        let is_place = |field: &str| ROOTS.contains(&root) || field == "config.json" || field.contains(" /");
        assert!(is_place(&refused.field), "{what}: {said}");
        assert!(said.len() < LONGEST, "{what}: a message of {} bytes", said.len());
        Some(refused.field)
    }
}

/// Every place of a document, by its pointer (RFC 6901).
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    if !pointer.is_empty() {
        found.push(pointer.to_owned());
    }
    let mut below = |name: &str, value: &Value| {
        places(value, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| below(&index.to_string(), value)),
        _ => {}
    }
}

fn all_places(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    places(document, "", &mut found);
    found
}

/// The path by which an error names a place: `linux.uidMappings[0].size`.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(part),
            Err(_) => path.push_str(&format!(".{}", part.replace("~1", "/").replace("~0", "~"))),
        }
    }
    path
}

fn with(document: &Value, pointer: &str, value: Value) -> Vec<u8> {
    let mut changed = document.clone();
    *changed.pointer_mut(pointer).unwrap() = value;
    serde_json::to_vec(&changed).unwrap()
}

fn without(document: &Value, pointer: &str) -> Vec<u8> {
    let mut changed = document.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match changed.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
        _ => {}
    }
    serde_json::to_vec(&changed).unwrap()
}

fn each_base(each: impl Fn(&Reader, &Value)) {
    let reader = Reader::new(&plannable());
    assert_eq!(reader.try_out("the document itself", plannable().to_string().as_bytes()), None);
    each(&reader, &plannable());
    each(&reader, &full());
}

#[test]
fn a_field_that_is_missing_is_missed_by_its_name_or_not_needed() {
    each_base(|reader, document| {
        for place in all_places(document) {
            reader.try_out(&place, &without(document, &place));
        }
    });
    let reader = Reader::new(&plannable());
    for place in ["/process/cwd", "/process/args", "/root/path", "/mounts/0/destination", "/linux/namespaces/0/type"] {
        let field = reader.try_out(place, &without(&plannable(), place));
        assert_eq!(field.as_deref(), Some(path(place).as_str()));
    }
}

#[test]
fn a_value_of_another_type_is_refused_by_its_path() {
    each_base(|reader, document| {
        for place in all_places(document) {
            let right = document.pointer(&place).unwrap();
            for wrong in
                [json!(true), json!(7), json!(-7), json!(1.5), json!("word"), json!([]), json!({}), json!([[1]])]
            {
                // A list in place of an object is its fields in their order, as far as it goes: serde's other form of them.
                let is_list = wrong.is_array() && right.is_object();
                if is_list || std::mem::discriminant(&wrong) == std::mem::discriminant(right) {
                    continue;
                }
                let field = reader.try_out(&format!("{place} {wrong}"), &with(document, &place, wrong.clone()));
                let at = path(&place);
                let named = field.as_ref().is_some_and(|field| field.starts_with(&at) || at.starts_with(field));
                assert!(named, "{place} {wrong}: {field:?}");
            }
            reader.try_out(&format!("{place} null"), &with(document, &place, Value::Null));
        }
    });
}

#[test]
fn numbers_beyond_every_limit_and_words_that_nobody_knows_are_refused_or_harmless() {
    let numbers = [
        "-1",
        "0",
        "255",
        "65536",
        "2147483648",
        "4294967296",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1e30",
        "1e400",
    ];
    let words = [
        "",
        ".",
        "..",
        "../..",
        "/",
        "//",
        "\0",
        "a\0b",
        "\u{feff}",
        "=",
        "A=",
        "%s%n",
        "SCMP_ACT_",
        "é\u{301}",
        "-1",
        "\n",
    ];
    let (reader, document) = (Reader::new(&plannable()), plannable());
    for place in all_places(&document) {
        match document.pointer(&place).unwrap() {
            Value::Number(_) => numbers.iter().for_each(|number| {
                let text = String::from_utf8(with(&document, &place, json!("@@"))).unwrap();
                reader.try_out(&format!("{place} {number}"), text.replace("\"@@\"", number).as_bytes());
            }),
            Value::String(_) => words.iter().for_each(|word| {
                reader.try_out(&format!("{place} {word:?}"), &with(&document, &place, json!(word)));
            }),
            Value::Array(items) if !items.is_empty() => {
                let doubled: Vec<_> = items.iter().chain(items).cloned().collect();
                reader.try_out(&format!("{place} doubled"), &with(&document, &place, json!(doubled)));
                let many = vec![items[0].clone(); 500];
                reader.try_out(&format!("{place} often"), &with(&document, &place, json!(many)));
            }
            _ => {}
        }
    }
}

#[test]
fn a_text_of_a_megabyte_is_read_or_refused_in_few_words() {
    let long = "a".repeat(LONG);
    let document = plannable();
    let reader = Reader::new(&document);
    for (turn, place) in all_places(&document).iter().enumerate() {
        let long = if turn % ONE_OF == 0 { &long[..] } else { &long[..LONG / 64] };
        if document.pointer(place).unwrap().is_string() {
            reader.try_out(place, &with(&document, place, json!(long)));
            reader.try_out(place, &with(&document, place, json!(format!("/{long}"))));
        }
    }
    for place in ["", "/linux/sysctl", "/linux/timeOffsets"] {
        let mut changed = document.clone();
        changed.pointer_mut(place).unwrap()[&long] = json!(long);
        reader.try_out(place, changed.to_string().as_bytes());
    }
}

#[test]
fn a_document_nested_without_end_overflows_no_stack() {
    let document = plannable();
    let reader = Reader::new(&document);
    for depth in [100, 50_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let end = open.repeat(depth);
            for text in [nested.clone(), end] {
                reader.try_out("nested alone", text.as_bytes());
                for place in
                    ["/process", "/process/args/0", "/linux/seccomp/syscalls", "/annotations", "/mounts/0/options"]
                {
                    let holder = String::from_utf8(with(&document, place, json!("@@"))).unwrap();
                    reader.try_out(place, holder.replace("\"@@\"", &text).as_bytes());
                }
                let unknown = document.to_string().replacen('{', &format!("{{\"unknown\":{text},"), 1);
                reader.try_out("an unknown field", unknown.as_bytes());
            }
        }
    }
}

#[test]
fn a_document_that_ends_anywhere_is_refused() {
    let document = plannable();
    let reader = Reader::new(&document);
    let text = document.to_string();
    for end in 0..text.len() {
        assert!(reader.try_out("cut", &text.as_bytes()[..end]).is_some(), "read to {end}");
    }
    for at in (0..text.len()).step_by(ONE_OF) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = 0xff;
        reader.try_out("no UTF-8", &bytes);
    }
}

#[test]
fn what_contradicts_itself_is_refused_by_one_of_its_fields() {
    let document = plannable();
    let reader = Reader::new(&document);
    type Case = (&'static str, &'static str, fn(&mut Value));
    let cases: [Case; 9] = [
        ("process.rlimits[0].soft", "/process/rlimits/0", |limit| limit["soft"] = json!(9999)),
        ("linux.namespaces[1].type", "/linux/namespaces", |list| list[1] = json!({"type": "mount"})),
        ("linux.uidMappings[1]", "/linux/uidMappings/1", |mapping| mapping["containerID"] = json!(5)),
        ("linux.uidMappings", "/linux/namespaces", |list| {
            list.as_array_mut().unwrap().retain(|kind| kind["type"] != "user")
        }),
        ("hostname", "/linux/namespaces", |list| {
            list.as_array_mut().unwrap().retain(|kind| kind["type"] != "uts");
        }),
        ("linux.sysctl", "/linux/sysctl", |sysctl| sysctl["vm.overcommit_memory"] = json!("1")),
        ("linux.seccomp.listenerMetadata", "/linux/seccomp", |profile| {
            drop(profile.as_object_mut().unwrap().remove("listenerPath"))
        }),
        ("linux.seccomp.syscalls", "/linux/seccomp/syscalls", |rules| {
            let mut other = rules[1].clone();
            other["action"] = json!("SCMP_ACT_KILL");
            other.as_object_mut().unwrap().remove("errnoRet");
            rules.as_array_mut().unwrap().push(other);
        }),
        ("linux.rootfsPropagation", "/linux/rootfsPropagation", |word| *word = json!("everywhere")),
    ];
    for (field, place, change) in cases {
        let mut changed = document.clone();
        change(changed.pointer_mut(place).unwrap());
        assert_eq!(reader.try_out(place, changed.to_string().as_bytes()).as_deref(), Some(field));
    }
}
