//! Layers made by chance: an overlay of what each became alone shows what a directory shows that took one after another.

use proptest::prelude::*;

use crate::archive::Archive;
use crate::shown::shown;
use crate::stack::{Stack, one_after_another};

#[derive(Debug, Clone)]
enum Said {
    Directory(String),
    File(String),
    Symlink(String, String),
    HardLink(String, String),
    Whiteout(String),
    Opaque(String),
}

/// Few names, so that layers speak of the same files.
fn path(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(names), 1..4).prop_map(|names| names.join("/"))
}

fn said(names: &'static [&'static str]) -> impl Strategy<Value = Said> {
    prop_oneof![
        3 => path(names).prop_map(Said::Directory),
        5 => path(names).prop_map(Said::File),
        1 => (path(names), "[lm]", path(&["a", "b"])).prop_map(|(at, name, to)| Said::Symlink(format!("{at}/{name}"), to)),
        1 => ("[lm]", path(&["a", "b"])).prop_map(|(name, to)| Said::Symlink(name, to)),
        2 => (path(names), path(names))
            .prop_filter("a link to itself brings nothing", |(name, to)| name != to)
            .prop_map(|(name, to)| Said::HardLink(name, to)),
    ]
}

/// A layer removes, or speaks of files by way of symbolic links: what one that does both means depends on its order.
fn layer() -> impl Strategy<Value = Vec<Said>> {
    const PLAIN: &[&str] = &["a", "b", "c"];
    let removing = prop_oneof![
        3 => said(PLAIN),
        1 => path(PLAIN).prop_map(Said::Whiteout),
        1 => path(PLAIN).prop_map(Said::Opaque),
    ];
    let through = said(&["a", "b", "l", "m"]);
    prop_oneof![3 => prop::collection::vec(removing, 0..7), 1 => prop::collection::vec(through, 0..5)]
}

fn archive(number: usize, layer: &[Said]) -> Archive {
    layer.iter().enumerate().fold(Archive::new(), |archive, (at, said)| match said {
        Said::Directory(path) => {
            let mut entry = crate::raw(b'5', path);
            (entry.mode, entry.mtime) = (0o700 + u32::try_from(number).unwrap(), 1_600_000_000 + at as u64);
            archive.add(entry)
        }
        Said::File(path) => archive.file(path, &format!("{number} {at}")),
        Said::Symlink(path, target) => archive.symlink(path, &format!("/{target}")),
        Said::HardLink(path, target) => archive.hard_link(path, target),
        Said::Whiteout(path) => {
            let (above, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(above, name)| (above, name));
            archive.file(&format!("{above}/.wh.{name}"), "")
        }
        Said::Opaque(path) => archive.file(&format!("{path}/.wh..wh..opq"), ""),
    })
}

/// A name that a layer hides counts in the layer below it as before.
fn without_link_counts(shown: &str) -> String {
    shown
        .split(' ')
        .scan(false, |after, word| Some((std::mem::replace(after, word == "links"), word)))
        .filter(|(after, _)| !after)
        .map(|(_, word)| word)
        .collect::<Vec<_>>()
        .join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn an_overlay_and_a_copy_show_what_a_directory_does_that_took_one_layer_after_another(
        layers in prop::collection::vec(layer(), 1..5),
    ) {
        let archives: Vec<_> =
            layers.iter().enumerate().map(|(number, layer)| archive(number, layer).finish()).collect();
        // A file in the place of a folder, a link to nothing: some stacks are none.
        if let Ok(expected) = one_after_another(&archives) {
            let stack = Stack::try_of(archives).unwrap();
            let found = without_link_counts(&shown(stack.mounted()));
            prop_assert_eq!(&found, &without_link_counts(&expected), "{:?}", stack.settled);
            let [copy, changed] = stack.copied().map(|shown| without_link_counts(&shown));
            prop_assert_eq!(&copy, &found, "a copy of the layers");
            prop_assert_eq!(&changed, &copy, "what has changed, as a layer");
        }
    }
}
