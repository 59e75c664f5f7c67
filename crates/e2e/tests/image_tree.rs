//! The layers of an image, what each of them costs, and which files come from it. Its images are umoci's.

use std::fs;
use std::path::Path;
use std::process::Command;

use carboy_e2e::{Carboy, ended, says};

fn done(command: &mut Command) {
    let ended = ended(command);
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// An archive of an OCI layout with an image of these layers, each from the words of `umoci insert`.
fn archive(folder: &Path, layers: &[&[&str]]) -> String {
    let umoci = |words: &[&str]| done(Command::new("umoci").current_dir(folder).args(words));
    umoci(&["init", "--layout", "layout"]);
    umoci(&["new", "--image", "layout:it"]);
    for words in layers {
        umoci(&[&["insert", "--image", "layout:it"], *words].concat());
    }
    let archive = folder.join("archive.tar").display().to_string();
    done(Command::new("tar").args(["-C"]).arg(folder.join("layout")).args(["-cf", &archive, "."]));
    archive
}

#[test]
fn what_each_layer_of_an_image_costs_is_told_with_what_later_ones_hide() {
    let carboy = Carboy::new();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("one", 3000), ("two", 5000), ("new", 7000)] {
        fs::create_dir_all(folder.path().join("data")).unwrap();
        let name = if name == "new" { name.to_owned() } else { format!("data/{name}") };
        fs::write(folder.path().join(name), vec![b'x'; bytes]).unwrap();
    }
    let made = "--history.created_by";
    let layers: [&[&str]; 3] = [
        &[made, "ADD data", "data", "/data"],
        &[made, "ADD new", "new", "/data/two"],
        &[made, "RUN rm", "--whiteout", "/data/one"],
    ];
    let loaded = says(&carboy, &["load", "-q", "-i", &archive(folder.path(), &layers)]);
    let id = loaded.trim_end().rsplit(':').next().unwrap().to_owned();
    let told = says(&carboy, &["image", "tree", &id]);
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().skip(1).collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["SIZE", "HIDDEN", "FILES", "REMOVALS", "SHARED", "MADE", "BY"],
            vec!["8kB", "8kB", "2", "0", "no", "ADD", "data"],
            vec!["7kB", "0B", "1", "0", "no", "ADD", "new"],
            vec!["0B", "0B", "0", "1", "no", "RUN", "rm"],
            vec!["15kB", "8kB", "3", "1", "0B"],
        ],
        "{told}"
    );
    let files = says(&carboy, &["image", "tree", "--files", &id]);
    for line in ["  /data/one  3kB, hidden by a later layer", "  /data/two  7kB", "  /data/one  removed"] {
        assert!(files.lines().any(|shown| shown == line), "{line}: {files}");
    }
    let refused = carboy.run(["image", "tree", "nobody"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
}
