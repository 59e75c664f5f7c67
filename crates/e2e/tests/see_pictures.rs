//! `see --svg` and `compare --svg`: documents that any reader of XML takes, complete in themselves, with every word in its place.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use carboy_e2e::group::Parent;
use carboy_e2e::looked_at::{removed, started, unique};
use carboy_e2e::{Carboy, ended};
use roxmltree::{Document, Node};

/// A process name that no document likes.
const NAMED: &str = r#"printf '<b>"&\033]' > /proc/self/comm; echo ready; read line"#;

fn picture(carboy: &Carboy, words: &[&str]) -> String {
    let ended = ended(&mut carboy.command(words));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
    ended.stdout
}

fn number(node: Node<'_, '_>, name: &str) -> u32 {
    node.attribute(name).and_then(|value| value.parse().ok()).unwrap()
}

/// Every word that stands in a picture, after a look at whether it does so within the picture's edges and needs nothing else.
fn words(picture: &str) -> Vec<String> {
    let document = Document::parse(picture).unwrap();
    let root = document.root_element();
    let (width, height) = (number(root, "width"), number(root, "height"));
    assert_eq!(root.attribute("viewBox").unwrap(), format!("0 0 {width} {height}"));
    for refers in ["href", "url(", "@import", "<script"] {
        assert!(!picture.contains(refers), "{refers} in {picture}");
    }
    assert!(picture.contains("prefers-color-scheme:dark"));
    let mut words = Vec::new();
    for text in root.descendants().filter(|node| node.has_tag_name("text")) {
        let shown: String = text.children().filter(Node::is_text).filter_map(|node| node.text()).collect();
        let (x, y) = (number(text, "x"), number(text, "y"));
        let half = u32::try_from(shown.chars().count()).unwrap() * number(text, "font-size") * 28 / 100;
        let (left, right) = match text.attribute("text-anchor") {
            None => (x, x + 2 * half),
            Some("middle") => (x.checked_sub(half).unwrap(), x + half),
            Some(_) => (x.checked_sub(2 * half).unwrap(), x),
        };
        assert!(left < right || shown.is_empty(), "{shown}");
        assert!(right <= width && y <= height, "{shown:?} leaves {width} x {height} at {right}, {y}");
        words.push(shown);
    }
    words
}

#[test]
fn pictures_show_who_shares_what_and_one_container_in_full() {
    let carboy = Carboy::new();
    let name = unique(&carboy);
    let other = format!("{name}-with-a-name-that-is-far-too-long-for-the-column-of-names");
    let parent = Parent::limited(&name, 32 << 20);
    let flags = ["--cgroup-parent", &name, "-m", "512m"];
    let first = started(&carboy, &name, &flags, NAMED);
    let net = format!("container:{name}");
    let second = started(&carboy, &other, &["--net", &net, "-v", "/:/host", "-v", "/tmp:/host/tmp"], NAMED);

    let matrix = picture(&carboy, &["see", "--svg"]);
    let shown = words(&matrix);
    let limits = format!("memory 32 MiB ▲/{name}");
    for word in ["host", "user", "time", "limits that bind", name.as_str(), &limits] {
        assert!(shown.iter().any(|text| text == word), "no {word} in {shown:?}");
    }
    assert!(matrix.contains(&format!("shared with {name}<")), "{matrix}");

    let two = words(&picture(&carboy, &["compare", &name, &other, "--svg"]));
    assert!(two.contains(&name) && two.contains(&limits), "{two:?}");

    let passport = words(&picture(&carboy, &["see", &name, "--svg"]));
    let binds = format!("32 MiB at /{name} ◀ binds");
    for word in ["pid", "its own", "the host's", "32 MiB effective", "512 MiB by its own group", &binds] {
        assert!(passport.iter().any(|text| text == word), "no {word} in {passport:?}");
    }
    let passport = words(&picture(&carboy, &["see", &other, "--svg"]));
    assert!(passport.iter().any(|text| text.ends_with('…')), "the long name is cut: {passport:?}");
    let host_root = |text: &&String| text.starts_with("on /host, writable, ") && text.contains("more below it");
    assert!(passport.iter().any(|text| host_root(&text)), "{passport:?}");

    let process = picture(&carboy, &["see", &format!("{name}:1"), "--svg"]);
    assert!(words(&process).iter().any(|text| text.starts_with("<b>\"&\\u{1b}]")), "{process}");

    for (question, code) in [(format!("/{name}"), 2), (format!("net:{name}"), 2), ("no-such-container".to_owned(), 1)] {
        let refused = ended(&mut carboy.command(["see", &question, "--svg"]));
        assert_eq!((refused.code, refused.stdout.as_str()), (code, ""), "{question}");
        assert!(refused.stderr.starts_with("error: cannot "), "{}", refused.stderr);
    }
    for (container, name) in [(second, &other), (first, &name)] {
        removed(&carboy, container, name);
    }
    drop(parent);
}
